//! The last step of a search: the content of signatures, a few at once, held against digest and size.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::future::join_all;

use super::asking::is_absent;
use super::inquiry::At;
use super::learned::Layout;
use super::limit::FETCHED_AT_ONCE;
use super::located::{Found, Why};
use super::shape::{self, Form};
use super::steps::{Outcome, Step};
use super::{Limit, Search};
use crate::oci::Layer;
use crate::trust::{Candidate, Content};

/// A signature whose content is to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    place: String,
    form: Form,
    layer: Layer,
}

impl Search {
    /// Fetches the content of the next few signatures.
    pub(super) async fn fetch(
        &self,
        at: &At,
        layout: Layout,
        place: &str,
        signatures: &VecDeque<Sought>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut rest = signatures.clone();
        let now: Vec<Sought> = rest.drain(..rest.len().min(FETCHED_AT_ONCE)).collect();
        let fetched = join_all(now.iter().map(|sought| self.content(at, &sought.layer))).await;
        for (sought, bytes) in now.into_iter().zip(fetched) {
            let Sought { place, form, layer } = sought;
            match bytes {
                Ok(bytes) if bytes.len() as u64 == layer.size => {
                    outcome.found.push(Candidate { place, content: content(form, layer, bytes) });
                }
                Ok(bytes) => {
                    let why = format!("it has {} bytes and not {}", bytes.len(), layer.size);
                    outcome.looked(&place, Found::Unfit(why));
                }
                Err(Why::Limit(Limit::Size { ceiling })) if ceiling as u64 == layer.size => {
                    let why = format!("it has more than the {ceiling} bytes it is said to have");
                    outcome.looked(&place, Found::Unfit(why));
                }
                Err(why) if is_absent(&why) => {
                    outcome.looked(&place, Found::Missing(layer.digest.to_string()));
                }
                Err(why) => outcome.missed(&place, why),
            }
        }
        if !outcome.found.is_empty() {
            self.places.learned.found(at, self.kind, layout);
        }
        if !rest.is_empty() {
            let (at, place) = (at.clone(), place.to_owned());
            outcome.next.push(Step::Fetch { at, layout, place, signatures: rest, counted: true });
        }
        outcome
    }

    async fn content(&self, at: &At, layer: &Layer) -> Result<Bytes, Why> {
        self.asking().blob(at, &layer.digest, shape::fits(layer)?).await
    }
}

/// The signatures in `layers` of the manifest at `place`.
pub(super) fn sought(
    place: &str,
    layers: impl ExactSizeIterator<Item = (usize, Form, Layer)>,
) -> VecDeque<Sought> {
    let only = layers.len() == 1;
    let named = |(number, form, layer)| {
        let place = match only {
            true => place.to_owned(),
            false => format!("{place}, layer {number}"),
        };
        Sought { place, form, layer }
    };
    layers.map(named).collect()
}

fn content(form: Form, layer: Layer, bytes: Bytes) -> Content {
    let Layer { media_type, annotations, .. } = layer;
    match form {
        Form::Layer => Content::Layer { media_type, payload: bytes, annotations },
        Form::Bundle => Content::Bundle { json: bytes },
        Form::Envelope => Content::Envelope { media_type, bytes },
    }
}
