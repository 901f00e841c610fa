//! The steps of a search: which request each sends, and what its answer means. No step changes the search, so a step
//! that was dropped before its end was never taken.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use futures_util::future::join_all;

use super::artifact::{Unfit, read};
use super::asking::{Asking, is_absent};
use super::fetch::{Sought, sought};
use super::learned::Layout;
use super::limit::{MAX_PAGES, OPENED_AT_ONCE, SMALL};
use super::located::{Found, Looked, Unread, Why, shown};
use super::order::{self, Class, SearchHistory};
use super::shape::{self, Signatures};
use super::{Limit, Search, SignatureKind};
use crate::oci::{Digest, Manifest, Referrer, RepositoryRef, Tag};
use crate::parsing;
use crate::pull_through::{FetchError, Fetched};
use crate::registry_client::{Listing, Page, UpstreamError, Violation};
use crate::trust::Candidate;

/// A step of the search.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The `.sig` or `.att` tag.
    Tag(RepositoryRef),
    /// The referrers API, or its replacement.
    Referrers(RepositoryRef),
    /// A later page of a list.
    Page { at: RepositoryRef, page: Page, number: usize, types: Types },
    /// The whole list of the referrers API, if the registry filtered it: the type of an entry may be wrong or missing.
    AllReferrers(RepositoryRef),
    /// The tag that replaces the referrers API.
    Schema(RepositoryRef),
    /// Referrer manifests to open.
    Open(Open),
    /// Signatures whose content has to be fetched.
    Fetch {
        at: RepositoryRef,
        layout: Layout,
        place: String,
        signatures: VecDeque<Sought>,
        /// Whether they count towards the limit of signatures of one search.
        counted: bool,
    },
}

/// Which entries to request from the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    /// The entries with the artifact type of the signatures, if there is only one.
    Wanted,
    All,
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) at: RepositoryRef,
    pub(super) place: String,
    pub(super) referrers: VecDeque<Referrer>,
}

/// The outcome of a step.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) found: Vec<Candidate>,
    /// The origin of each signature, by its place.
    pub(super) origins: Vec<(String, RepositoryRef, Digest)>,
    /// Steps to take before all remaining ones.
    pub(super) next: Vec<Step>,
    /// Steps to take after all remaining ones, so that the places alternate.
    pub(super) later: Vec<Step>,
    pub(super) looked: Vec<Looked>,
    pub(super) unread: Vec<Unread>,
}

impl Outcome {
    pub(super) fn looked(&mut self, place: &str, found: Found) {
        self.looked.push(Looked { place: place.to_owned(), found });
    }

    pub(super) fn unread(&mut self, place: &str, why: impl Into<Why>) {
        self.unread.push(Unread { place: place.to_owned(), why: why.into() });
    }

    /// Records that the content at `place` is not a usable signature.
    fn unfit(&mut self, place: &str, why: &Unfit) {
        match why {
            Unfit::Shape(why) => self.looked.push(unfit(place, why)),
            Unfit::Limit(limit) => self.unread(place, *limit),
        }
    }

    /// Records why content that may be at `place` could not be fetched.
    pub(super) fn missed(&mut self, place: &str, why: Why) {
        match why {
            Why::Fetch(FetchError::Invalid(why)) if why.exceeds_limit() => {
                self.unread(place, Limit::Entries);
            }
            Why::Fetch(FetchError::Invalid(why)) => {
                self.looked.push(unfit(place, &why.to_string()));
            }
            why @ (Why::Fetch(_) | Why::Limit(_)) => self.unread(place, why),
        }
    }
}

impl Search {
    pub(super) async fn take(&self, step: &Step) -> Outcome {
        match step {
            // Boxed, so that this future is not as large as the largest of them.
            Step::Tag(at) => Box::pin(self.tag(at)).await,
            Step::Referrers(at) if self.places.learned.has_no_api(&at.registry) => Outcome {
                next: vec![Step::Schema(at.clone())],
                looked: vec![Looked {
                    place: self.list_of(at),
                    found: Found::Cannot("the registry has no referrers API".to_owned()),
                }],
                ..Outcome::default()
            },
            Step::Referrers(at) => {
                Box::pin(self.page(at, &Page::default(), 1, Types::Wanted)).await
            }
            Step::AllReferrers(at) => {
                Box::pin(self.page(at, &Page::default(), 1, Types::All)).await
            }
            Step::Page { at, page, number, types } => {
                Box::pin(self.page(at, page, *number, *types)).await
            }
            Step::Schema(at) => Box::pin(self.schema(at)).await,
            Step::Open(open) => Box::pin(self.open(open)).await,
            Step::Fetch { at, layout, place, signatures, .. } => {
                Box::pin(self.fetch(at, *layout, place, signatures)).await
            }
        }
    }

    pub(super) fn asking(&self) -> Asking<'_> {
        Asking { pull_through: &self.places.pull_through, budget: &self.budget }
    }

    fn list_of(&self, at: &RepositoryRef) -> String {
        format!("referrers of {} in {at}", self.subject.digest)
    }

    /// The manifest of cosign's own tag.
    async fn tag(&self, at: &RepositoryRef) -> Outcome {
        let suffix = match self.kind {
            SignatureKind::CosignSignature => "sig",
            SignatureKind::CosignAttestation => "att",
            SignatureKind::Notation => return Outcome::default(),
        };
        let digest = &self.subject.digest;
        let name = format!("{}-{}.{suffix}", digest.algorithm().name(), digest.hex());
        let (place, mut outcome) = (format!("{at}:{name}"), Outcome::default());
        let Ok(tag) = name.parse::<Tag>() else {
            outcome.looked(&place, Found::Cannot("the tag would be too long".to_owned()));
            return outcome;
        };
        let artifact = match self.asking().tag(at, &tag).await {
            Ok(fetched) => read(&fetched).await,
            Err(why) if is_absent(&why) => {
                outcome.looked(&place, Found::Nothing { others: 0 });
                return outcome;
            }
            Err(why) => {
                outcome.missed(&place, why);
                return outcome;
            }
        };
        let signatures =
            artifact.and_then(|artifact| Ok(shape::of_tag(self.kind, &self.subject, &artifact)?));
        match signatures {
            Ok(Signatures { layers, others, .. }) => {
                outcome.looked(&place, Found::Signatures(layers.len()));
                outcome.looked.extend(others.map(|others| unfit(&place, &others)));
                // The newest is the last, and the most likely to be valid.
                let signatures = self.ordered(at, sought(&place, None, layers.into_iter().rev()));
                let (at, layout) = (at.clone(), Layout::Tag);
                outcome.next.push(Step::Fetch { at, layout, place, signatures, counted: false });
            }
            Err(why) => outcome.unfit(&place, &why),
        }
        outcome
    }

    /// One page of the referrers API.
    async fn page(&self, at: &RepositoryRef, page: &Page, number: usize, types: Types) -> Outcome {
        let (mut place, mut outcome) = (self.list_of(at), Outcome::default());
        if number > 1 {
            place = format!("{place}, page {number}");
        }
        let learned = &self.places.learned;
        let artifact_type = match (self.kind, types) {
            (SignatureKind::Notation, Types::Wanted) => Some(shape::NOTATION),
            // There are several types, and a registry filters by one.
            (SignatureKind::CosignSignature | SignatureKind::CosignAttestation, Types::Wanted)
            | (_, Types::All) => None,
        };
        let asked = self.asking().referrers(at, &self.subject.digest, artifact_type, page).await;
        match asked {
            Ok(Listing::Page(list, violation)) => {
                learned.api_is_there(&at.registry);
                self.listed(at, &place, list.bytes(), &mut outcome).await;
                if let Some(violation) = violation {
                    outcome.unread(&place, FetchError::from(UpstreamError::from(violation)));
                }
                if number == 1 && artifact_type.is_some() && list.filters_applied.is_some() {
                    outcome.later.push(Step::AllReferrers(at.clone()));
                }
                match list.next {
                    Some(_) if number >= MAX_PAGES => outcome.unread(&place, Limit::Pages),
                    Some(page) => {
                        outcome.next.push(Step::Page {
                            at: at.clone(),
                            page,
                            number: number + 1,
                            types,
                        });
                    }
                    // A registry that mirrors another one may have its own, empty list. Signers that do not use the API
                    // write the tag to every registry.
                    None if types == Types::Wanted => {
                        outcome.next.push(Step::Schema(at.clone()));
                    }
                    None => {}
                }
            }
            Ok(Listing::Unknown | Listing::Unsupported(_) | Listing::WebPage(_)) if number > 1 => {
                let broken = UpstreamError::Protocol(Violation::Missing("next page"));
                outcome.unread(&place, FetchError::from(broken));
            }
            Ok(Listing::Unknown) => {
                outcome.looked(&place, Found::Nothing { others: 0 });
                outcome.next.push(Step::Schema(at.clone()));
            }
            Ok(Listing::Unsupported(status)) => {
                if self.is_without_api(at).await {
                    let why = format!("the registry has no referrers API (status {status})");
                    outcome.looked(&place, Found::Cannot(why));
                } else {
                    let unconfirmed = Violation::UnconfirmedNoReferrers(status);
                    outcome.unread(&place, FetchError::from(UpstreamError::from(unconfirmed)));
                }
                outcome.next.push(Step::Schema(at.clone()));
            }
            Ok(Listing::WebPage(status)) => {
                let page = Violation::WebPage(status);
                outcome.unread(&place, FetchError::from(UpstreamError::from(page)));
                outcome.next.push(Step::Schema(at.clone()));
            }
            Err(why) => {
                // An unreadable list must not hide the tag: some registries without the API refuse its path, or fail there.
                outcome.next.push(Step::Schema(at.clone()));
                outcome.unread(&place, why);
            }
        }
        outcome
    }

    /// The index that replaces the referrers API.
    async fn schema(&self, at: &RepositoryRef) -> Outcome {
        let digest = &self.subject.digest;
        let tag = Tag::of_referrers(digest);
        let (place, mut outcome) = (format!("{at}:{tag}"), Outcome::default());
        match self.asking().tag(at, &tag).await {
            Ok(fetched) if fetched.manifest().media_type().is_index() => {
                self.listed(at, &place, fetched.bytes(), &mut outcome).await;
            }
            Ok(_) => outcome.looked(&place, Found::Unfit("it is not an index".to_owned())),
            Err(why) if is_absent(&why) => outcome.looked(&place, Found::Nothing { others: 0 }),
            Err(why) => outcome.missed(&place, why),
        }
        outcome
    }

    /// Parses a list of referrers, and adds a step to open those that may be signatures.
    async fn listed(&self, at: &RepositoryRef, place: &str, list: &Bytes, outcome: &mut Outcome) {
        let (text, length) = (list.clone(), list.len());
        let parse = move || Referrer::parse_list(&text);
        let entries = match parsing::run(length, Manifest::most_memory(length), parse).await {
            Ok(entries) => entries,
            Err(why) => {
                let violation = Violation::List(why.to_string());
                outcome.unread(place, FetchError::from(UpstreamError::from(violation)));
                return;
            }
        };
        let is_other = |entry: &&Referrer| self.class(entry) == Class::SomethingElse;
        let others = entries.iter().filter(is_other).count();
        let found = match entries.len() - others {
            0 => Found::Nothing { others },
            count => Found::Signatures(count),
        };
        outcome.looked(place, found);
        let mut referrers = order::ordered(entries, |entry| {
            let history = self.places.learned.history(at, self.kind, &entry.digest);
            (history != SearchHistory::Good, self.class(entry), history)
        });
        let mut listed = HashSet::new();
        referrers.retain(|entry| {
            listed.insert(entry.digest) && !self.opened.contains(&(at.clone(), entry.digest))
        });
        if !referrers.is_empty() {
            let (at, place) = (at.clone(), place.to_owned());
            outcome.next.push(Step::Open(Open { at, place, referrers }));
        }
    }

    /// Opens the next few referrers of a list.
    async fn open(&self, open: &Open) -> Outcome {
        let Open { at, place, referrers } = open;
        let mut outcome = Outcome::default();
        let mut rest = referrers.clone();
        let now: Vec<Referrer> = rest.drain(..rest.len().min(OPENED_AT_ONCE)).collect();
        let asking = self.asking();
        let opened = join_all(now.iter().map(|entry| asking.manifest(at, &entry.digest))).await;
        let mut signatures = Vec::new();
        let mut spent = false;
        for (entry, opened) in now.iter().zip(opened) {
            if matches!(opened, Err(Why::Limit(Limit::Requests))) {
                spent = true;
                continue;
            }
            self.places.learned.examined(at, self.kind, &entry.digest);
            let own = referrer(at, &entry.digest);
            match opened {
                Ok(fetched) => match self.of_referrer(&fetched).await {
                    Ok(Signatures { beside: Some(what), .. }) => {
                        outcome.looked(&own, Found::Other(what));
                    }
                    Ok(Signatures { layers, others, .. }) => {
                        outcome.looked.extend(others.map(|others| unfit(&own, &others)));
                        signatures.extend(sought(&own, Some(&entry.digest), layers.into_iter()));
                    }
                    Err(Unfit::Shape(why)) if self.class(entry) > Class::OtherPredicate => {
                        outcome.looked(&own, Found::Other(shown(&why)));
                    }
                    Err(why) => outcome.unfit(&own, &why),
                },
                // Lists that clients maintain may still contain deleted entries.
                Err(why) if is_absent(&why) => {
                    outcome.looked(place, Found::Missing(entry.digest.to_string()));
                }
                Err(why) => outcome.missed(&own, why),
            }
        }
        // A few large ones would use up the byte limit of the decision.
        let (small, large): (VecDeque<Sought>, VecDeque<Sought>) =
            signatures.into_iter().partition(|sought| sought.size() <= SMALL);
        for (steps, signatures) in [(&mut outcome.next, small), (&mut outcome.later, large)] {
            if signatures.is_empty() {
                continue;
            }
            let (at, layout, place) = (at.clone(), Layout::Referrers, place.clone());
            steps.push(Step::Fetch { at, layout, place, signatures, counted: false });
        }
        if spent {
            outcome.unread(place, Limit::Requests);
        } else if !rest.is_empty() {
            let (at, place) = (at.clone(), place.clone());
            outcome.later.push(Step::Open(Open { at, place, referrers: rest }));
        }
        outcome
    }

    fn class(&self, entry: &Referrer) -> Class {
        shape::class(self.kind, entry)
    }

    async fn of_referrer(&self, fetched: &Fetched) -> Result<Signatures, Unfit> {
        Ok(shape::of_referrer(self.kind, &self.subject, &read(fetched).await?)?)
    }
}

fn referrer(at: &RepositoryRef, digest: &Digest) -> String {
    format!("referrer {at}@{digest}")
}

fn unfit(place: &str, why: &str) -> Looked {
    Looked { place: place.to_owned(), found: Found::Unfit(shown(why)) }
}
