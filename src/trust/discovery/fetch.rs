//! The last step of a search: fetches the content of several signatures at once, and checks its digest and size.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::future::join_all;

use super::asking::is_absent;
use super::learned::Layout;
use super::limit::FETCHED_AT_ONCE;
use super::located::{Found, Why};
use super::order::{self, SearchHistory};
use super::shape::{self, Form};
use super::steps::{Outcome, Step};
use super::{Limit, Search};
use crate::oci::{Digest, Layer, RepositoryRef};
use crate::trust::{Candidate, SignatureContent};

/// A signature whose content has to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    place: String,
    form: Form,
    layer: Layer,
    /// Identifies it in later searches: the manifest of a referrer, or the layer of a tag's manifest.
    origin: Digest,
}

impl Search {
    /// Fetches the content of the next few signatures.
    pub(super) async fn fetch(
        &self,
        at: &RepositoryRef,
        layout: Layout,
        place: &str,
        signatures: &VecDeque<Sought>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut rest = signatures.clone();
        let mut spent = false;
        let now: Vec<Sought> = rest.drain(..rest.len().min(FETCHED_AT_ONCE)).collect();
        let fetched = join_all(now.iter().map(|sought| self.content(at, &sought.layer))).await;
        for (sought, bytes) in now.into_iter().zip(fetched) {
            let Sought { place, form, layer, origin } = sought;
            if matches!(bytes, Err(Why::Limit(Limit::Requests))) {
                spent = true;
                continue;
            }
            self.places.learned.examined(at, self.kind, &origin);
            match bytes {
                Ok(bytes) if bytes.len() as u64 == layer.size => {
                    outcome.origins.push((place.clone(), at.clone(), origin));
                    let content = content(form, layer, bytes);
                    outcome.found.push(Candidate { place, source: origin, content });
                }
                Ok(bytes) => {
                    let why = format!("it has {} bytes instead of {}", bytes.len(), layer.size);
                    outcome.looked(&place, Found::Unfit(why));
                }
                Err(Why::Limit(Limit::Size { ceiling })) if ceiling as u64 == layer.size => {
                    let why = format!("it has more than the {ceiling} bytes of its descriptor");
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
        if spent {
            outcome.unread(place, Limit::Requests);
        } else if !rest.is_empty() {
            let (at, place) = (at.clone(), place.to_owned());
            outcome.later.push(Step::Fetch { at, layout, place, signatures: rest, counted: true });
        }
        outcome
    }

    async fn content(&self, at: &RepositoryRef, layer: &Layer) -> Result<Bytes, Why> {
        self.asking().blob(at, &layer.digest, shape::fits(layer)?).await
    }
}

/// The signatures in `layers` of the manifest at `place`.
pub(super) fn sought(
    place: &str,
    manifest: Option<&Digest>,
    layers: impl ExactSizeIterator<Item = (usize, Form, Layer)>,
) -> VecDeque<Sought> {
    let only = layers.len() == 1;
    let named = |(number, form, layer): (usize, Form, Layer)| {
        let place = match only {
            true => place.to_owned(),
            false => format!("{place}, layer {number}"),
        };
        let origin = *manifest.unwrap_or(&layer.digest);
        Sought { place, form, layer, origin }
    };
    layers.map(named).collect()
}

fn content(form: Form, layer: Layer, bytes: Bytes) -> SignatureContent {
    let Layer { media_type, annotations, .. } = layer;
    match form {
        Form::Layer => SignatureContent::Layer { media_type, payload: bytes, annotations },
        Form::Bundle => SignatureContent::Bundle { json: bytes },
        Form::Envelope => SignatureContent::Envelope { media_type, bytes },
    }
}

impl Sought {
    /// The size of its content according to its descriptor, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.layer.size
    }
}

impl Search {
    /// The signatures of a tag, the most likely ones first.
    pub(super) fn ordered(
        &self,
        at: &RepositoryRef,
        signatures: VecDeque<Sought>,
    ) -> VecDeque<Sought> {
        order::ordered(signatures, |sought| {
            let history = self.places.learned.history(at, self.kind, &sought.origin);
            let is_hinted = self.hint.as_ref().is_none_or(|hint| hint(&sought.layer.annotations));
            (history != SearchHistory::Good, !is_hinted, history)
        })
    }
}
