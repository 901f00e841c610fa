//! One search: place after place, the most likely one first, until the caller that judges the signatures stops it.

use std::collections::{HashMap, HashSet, VecDeque};

use super::learned::Layout;
use super::limit::MAX_CANDIDATES;
#[cfg(feature = "test-support")]
use super::located::Located;
use super::located::{Looked, Unread, Why};
use super::order::Hint;
use super::request_budget::RequestBudget;
use super::steps::{Open, Outcome, Step};
use super::{Limit, Places, SignatureKind};
use crate::oci::{Digest, RepositoryRef};
use crate::trust::{Candidate, Subject};

/// A search for signatures of one kind over one manifest.
pub struct Search {
    pub(super) places: Places,
    pub(super) kind: SignatureKind,
    pub(super) subject: Subject,
    pub(super) budget: RequestBudget,
    /// The remaining steps.
    ahead: VecDeque<Step>,
    /// The referrers that were opened or will be.
    pub(super) opened: HashSet<(RepositoryRef, Digest)>,
    /// The number of signatures that were fetched or will be.
    taken: usize,
    /// The origins of the signatures that were found, by their places.
    origins: HashMap<String, (RepositoryRef, Digest)>,
    pub(super) hint: Option<Hint>,
    looked: Vec<Looked>,
    unread: Vec<Unread>,
}

impl Search {
    pub(super) fn new(
        places: Places,
        kind: SignatureKind,
        subject: Subject,
        budget: RequestBudget,
        apart: Option<RepositoryRef>,
        beside: RepositoryRef,
    ) -> Self {
        let mut ahead = VecDeque::new();
        for at in apart.into_iter().chain([beside]) {
            let (tag, referrers) = (Step::Tag(at.clone()), Step::Referrers(at.clone()));
            match (kind, places.learned.last(&at, kind)) {
                (SignatureKind::Notation, _) => ahead.push_back(referrers),
                (
                    SignatureKind::CosignSignature | SignatureKind::CosignAttestation,
                    Some(Layout::Referrers),
                ) => {
                    ahead.extend([referrers, tag]);
                }
                (
                    SignatureKind::CosignSignature | SignatureKind::CosignAttestation,
                    Some(Layout::Tag) | None,
                ) => {
                    ahead.extend([tag, referrers]);
                }
            }
        }
        let (looked, unread) = (Vec::new(), Vec::new());
        let opened = HashSet::new();
        Self {
            places,
            kind,
            subject,
            budget,
            ahead,
            opened,
            taken: 0,
            origins: HashMap::new(),
            hint: None,
            looked,
            unread,
        }
    }

    /// The next signatures, at least one; `None` once every place was searched. A caller that has enough stops calling,
    /// and the remaining steps cost nothing.
    ///
    /// Nothing is lost if the future is dropped: the same step then runs again.
    pub async fn next(&mut self) -> Option<Vec<Candidate>> {
        while let Some(step) = self.ahead.front() {
            let outcome = self.take(step).await;
            self.ahead.pop_front();
            let found = self.settle(outcome);
            if !found.is_empty() {
                return Some(found);
            }
        }
        None
    }

    /// The same search, but signatures that `hint` prefers come first.
    #[must_use]
    pub fn preferring(self, hint: Hint) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Records that the signature at `place` is valid: later searches begin with it.
    pub fn remember_good(&self, place: &str) {
        if let Some((at, digest)) = self.origins.get(place) {
            self.places.learned.good(at, self.kind, digest);
        }
    }

    /// Runs all remaining steps.
    #[cfg(feature = "test-support")]
    pub async fn all(mut self) -> Located {
        let mut candidates = Vec::new();
        while let Some(found) = self.next().await {
            candidates.extend(found);
        }
        Located { candidates, looked: self.looked, unread: self.unread }
    }

    /// The places searched so far, and what was found there.
    pub fn looked(&self) -> &[Looked] {
        &self.looked
    }

    /// The places that could not be read so far. After [`Self::next`] returned `None`: if this is empty and nothing was
    /// found, there is no signature.
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Adopts the outcome of a step, and returns the signatures that it found.
    fn settle(&mut self, outcome: Outcome) -> Vec<Candidate> {
        let Outcome { found, origins, next, later, looked, unread } = outcome;
        self.looked.extend(looked);
        self.unread.extend(unread);
        self.origins.extend(origins.into_iter().map(|(place, at, digest)| (place, (at, digest))));
        for mut step in next.into_iter().rev() {
            self.count(&mut step);
            self.ahead.push_front(step);
        }
        for mut step in later {
            self.count(&mut step);
            self.ahead.push_back(step);
        }
        found
    }

    /// Counts what a new step examines, and leaves out what exceeds the limit.
    fn count(&mut self, step: &mut Step) {
        match step {
            Step::Fetch { place, signatures, counted: counted @ false, .. } => {
                let room = MAX_CANDIDATES - self.taken.min(MAX_CANDIDATES);
                let left_out = signatures.len().saturating_sub(room);
                signatures.truncate(room);
                self.taken += signatures.len();
                *counted = true;
                if left_out > 0 {
                    let why = Why::Limit(Limit::Candidates { left_out });
                    self.unread.push(Unread { place: place.clone(), why });
                }
            }
            Step::Open(Open { at, referrers, .. }) => {
                let entries = referrers.iter().map(|entry| (at.clone(), entry.digest));
                self.opened.extend(entries);
            }
            Step::Tag(_)
            | Step::Referrers(_)
            | Step::AllReferrers(_)
            | Step::Page { .. }
            | Step::Schema(_)
            | Step::Fetch { .. } => {}
        }
    }
}
