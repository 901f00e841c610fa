//! The search for a way to a digest that is not signed itself: an index that is signed and lists it, or
//! a signed manifest that it is about. What is not known is looked at, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use crate::oci::{Digest, ImageRef, Reference};
use crate::pull_through::{FetchError, Fetched};
use crate::registry_client::UpstreamError;
use crate::trust::discovery::{MAX_BYTES, MAX_REQUESTS};
use crate::trust::{SignedNames, Unendorsed};

use super::walks::{MAX_SEARCH_REQUESTS, SearchBudget, SignedSet};
use crate::gate::Shared;
use crate::gate::admitted::Admitted;
use crate::gate::decision::Decision;
use crate::gate::denial::{Denial, Undecided};
use crate::gate::deny;

/// How deep indexes may list indexes.
const MAX_LEVELS: usize = 4;

/// What one decision may still cost, and the first thing that it could not look at.
pub(in crate::gate) struct Search<'a> {
    image: &'a ImageRef,
    decision: Decision,
    /// The indexes that are not admitted, and within how many levels: where they list each other
    /// crosswise, there are many more ways than indexes.
    tried: HashMap<Digest, usize>,
    spent: bool,
    doubt: Option<Denial>,
    /// Why it is not served as the artifact about an admitted manifest that it says it is.
    unlisted: Option<Denial>,
}

/// What each anchor that has a say in the repository signs in it.
pub(in crate::gate) type Names<'a> = [(Arc<str>, Result<SignedNames<'a>, Unendorsed>)];

/// What looking at a manifest gives.
enum Looked {
    Manifest(Fetched),
    /// Neither the store nor upstream has it.
    Absent,
    /// Upstream's answer is no manifest of that digest.
    Unfit,
}

/// What a manifest is as an artifact about another one.
enum About {
    Admitted(Box<Admitted>),
    /// Neither the store nor upstream has it.
    Absent,
    /// It is not about an admitted manifest.
    Nothing,
}

/// A step of the walk.
enum Way {
    /// To look at a manifest, below which there may be so many levels of indexes, itself among them.
    Down(Digest, usize),
    /// All that is below it was looked at.
    Up(Digest),
}

impl Shared {
    /// Looks for a manifest through which `digest` is admitted, and admits it; undecided where that
    /// could not be looked at.
    pub(in crate::gate) async fn search(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        mut search: Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        if let Some(found) =
            self.through_parents(image, digest, names, MAX_LEVELS, &mut search).await?
        {
            return Ok(Some(found));
        }
        match self.about_subject(image, digest, names, &mut search).await? {
            About::Admitted(found) => return Ok(Some(*found)),
            // Nothing can be served, whatever lists it.
            About::Absent => return Ok(None),
            About::Nothing => {}
        }
        let walks = &self.index_graph.walks;
        let signed = names.iter().filter_map(|(_, signed)| signed.as_ref().ok());
        let signed = SignedSet::of(signed.flat_map(SignedNames::digests).copied());
        if walks.is_complete(image, signed).await {
            return search.doubt.or(search.unlisted).map_or(Ok(None), Err);
        }
        let search_budget = walks.search_budget(image, self.clock.now()).await;
        let mut alone = search_budget.lock().await;
        if self.walk(image, names, &mut search, &mut alone).await {
            walks.completed(image, signed).await;
        }
        // What follows may search for another manifest of the repository, and walk.
        drop(alone);
        search.tried.clear();
        let found = self.through_parents(image, digest, names, MAX_LEVELS, &mut search).await?;
        match (found, search.doubt.or(search.unlisted)) {
            (None, Some(denial)) => Err(denial),
            (found, _) => Ok(found),
        }
    }

    /// Admits `digest` through an index that is known to list it, without a search.
    pub(in crate::gate) async fn through_known(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        self.through_parents(image, digest, names, MAX_LEVELS, search).await
    }

    /// Admits `digest` for itself, or through an index that is known to list it.
    async fn known(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        levels: usize,
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        if self.not_denied(image, digest).is_err() {
            return Ok(None);
        }
        let denial = match self.directly(image, digest, names, &search.decision).await {
            Ok(admitted) => return Ok(Some(admitted)),
            Err(denial) => denial,
        };
        if denial.may_be_admitted_through_another()
            && let Some(found) = self.through_parents(image, digest, names, levels, search).await?
        {
            return Ok(Some(found));
        }
        search.doubts(denial);
        Ok(None)
    }

    /// Admits `digest` through an index that is known to list it and is admitted itself.
    async fn through_parents(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        levels: usize,
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        if levels == 0 {
            return Ok(None);
        }
        // Through one that a rule lets pass which only audits: the last resort.
        let mut passed = None;
        for parent in self.index_graph.parents(image, digest).await.iter() {
            if search.tried.get(parent).is_some_and(|before| *before >= levels) {
                continue;
            }
            let above = beside(image, parent);
            let known = Box::pin(self.known(&above, parent, names, levels - 1, search)).await?;
            let Some(parent) = known else {
                search.tried.insert(*parent, levels);
                continue;
            };
            let (rule, budget) = (Some(parent.pattern()), search.decision.budget());
            let fetched = self.manifest(image, digest, rule, budget).await?;
            // An index that lists it with another size does not list it; another one may.
            let decision = &search.decision;
            let outside = self.outside_below(image, &parent, &fetched, decision).await?;
            let Ok(admitted) = Admitted::through(&parent, fetched, &outside) else { continue };
            self.index_graph.remember(image, admitted.fetched(), self.clock.now()).await;
            if admitted.dry_run_denial().is_none() {
                return Ok(Some(admitted));
            }
            passed.get_or_insert(admitted);
        }
        Ok(passed)
    }

    /// Admits `digest` if it is an artifact about a manifest that is admitted.
    async fn about_subject(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        search: &mut Search<'_>,
    ) -> Result<About, Denial> {
        if self.not_denied(image, digest).is_err() {
            return Ok(About::Nothing);
        }
        // Without any signed name there is nothing that it could be about.
        let ImageRef { registry, repository, .. } = image;
        if names.iter().all(|(_, signed)| signed.is_err())
            && !self.policy.asks_content(registry, repository, self.clock.now())
        {
            return Ok(About::Nothing);
        }
        let fetched = match self.look(image, digest, search).await? {
            Looked::Manifest(fetched) => fetched,
            Looked::Absent => return Ok(About::Absent),
            Looked::Unfit => return Ok(About::Nothing),
        };
        let form = fetched.manifest().form();
        let Some(subject) = form.and_then(|form| Some(form.subject.as_ref()?.digest)) else {
            return Ok(About::Nothing);
        };
        let above = beside(image, &subject);
        let known = self.known(&above, &subject, names, MAX_LEVELS, search).await?;
        let subject = match (known, search.decision.about_subject()) {
            (Some(known), _) => known,
            // The signature of an SBOM of an image.
            (None, Some(below)) => {
                let mut nested = Search::new(&above, below);
                let found = self.about_subject(&above, &subject, names, &mut nested);
                let found = Box::pin(found).await?;
                nested.doubt.into_iter().for_each(|doubt| search.doubts(doubt));
                let About::Admitted(found) = found else { return Ok(About::Nothing) };
                *found
            }
            (None, None) => return Ok(About::Nothing),
        };
        let budget = search.decision.budget();
        let config = self.config_of_referrer(image, &fetched, &subject, budget).await?;
        match Admitted::about(&subject, fetched, config.as_ref()) {
            Ok(admitted) => Ok(About::Admitted(Box::new(admitted))),
            Err(refusal) => {
                // A signed index may list it all the same.
                search.unlisted = Some(deny::plain(image, refusal, Some(subject.pattern())));
                Ok(About::Nothing)
            }
        }
    }

    /// Looks at every signed manifest of the repository that was not looked at yet, and remembers what
    /// it lists; what cannot be read hides nothing of the others. The next request goes on where the
    /// bounds ended this one. Returns whether everything was looked at.
    async fn walk(
        &self,
        image: &ImageRef,
        names: &Names<'_>,
        search: &mut Search<'_>,
        search_budget: &mut SearchBudget,
    ) -> bool {
        let mut complete = true;
        let mut open: Vec<Way> = Vec::new();
        for signed in names.iter().filter_map(|(_, signed)| signed.as_ref().ok()) {
            open.extend(signed.digests().map(|digest| Way::Down(*digest, MAX_LEVELS)));
        }
        while let Some(way) = open.pop() {
            let (digest, levels) = match way {
                Way::Down(digest, levels) => (digest, levels),
                Way::Up(digest) => {
                    self.index_graph.walked(image, &digest).await;
                    continue;
                }
            };
            if self.index_graph.is_walked(image, &digest) {
                continue;
            }
            let (registry, repository) = (&image.registry, &image.repository);
            if self.pull_through.kept_manifest(registry, repository, &digest).await.is_none()
                && !search_budget.take(self.clock.now())
            {
                let because = format!(
                    "the searches for signed indexes in this repository have used \
                     {MAX_SEARCH_REQUESTS} upstream requests in the last hour"
                );
                search.doubts(deny::exhausted(image, None, because));
                return false;
            }
            match self.look(image, &digest, search).await {
                Ok(looked) => {
                    open.push(Way::Up(digest));
                    let Looked::Manifest(fetched) = looked else { continue };
                    self.index_graph.remember(image, &fetched, self.clock.now()).await;
                    if levels > 1 {
                        let nested = fetched.manifest().child_indexes();
                        open.extend(nested.map(|child| Way::Down(child.digest, levels - 1)));
                    }
                }
                Err(denial) => {
                    complete = false;
                    let throttled = matches!(denial, Denial::Throttled { .. });
                    search.doubts(denial);
                    if throttled || search.spent {
                        return false;
                    }
                    // What cannot be read now is looked at again.
                    open.retain(|way| matches!(way, Way::Down(..)));
                }
            }
        }
        complete
    }

    /// Fetches a manifest to look at, from the store or upstream.
    async fn look(
        &self,
        image: &ImageRef,
        digest: &Digest,
        search: &mut Search<'_>,
    ) -> Result<Looked, Denial> {
        if search.spent || search.decision.budget().ask(&image.registry, 0).is_err() {
            search.spent = true;
            let because = format!(
                "the signed indexes that could list it are more than {MAX_REQUESTS} requests or {MAX_BYTES} \
                 bytes; asking again goes on from here"
            );
            return Err(deny::exhausted(image, None, because));
        }
        match self.pull_through.manifest(&image.registry, &image.repository, digest).await {
            Ok(fetched) => {
                search.spent = search.decision.budget().hold(fetched.bytes().len()).is_err();
                Ok(Looked::Manifest(fetched))
            }
            Err(FetchError::Upstream(UpstreamError::Absent { .. })) => Ok(Looked::Absent),
            Err(FetchError::Invalid(_) | FetchError::Mismatch(_)) => Ok(Looked::Unfit),
            Err(error @ (FetchError::NoUpstream(_) | FetchError::Upstream(_))) => {
                Err(deny::fetch(image, None, error))
            }
        }
    }
}

impl<'a> Search<'a> {
    /// A search as a part of `decision`.
    pub(in crate::gate) fn new(image: &'a ImageRef, decision: Decision) -> Self {
        Self { image, decision, tried: HashMap::new(), spent: false, doubt: None, unlisted: None }
    }

    /// Keeps `denial`, which is another manifest's, if it leaves open what is searched for.
    fn doubts(&mut self, denial: Denial) {
        let resource = || self.image.into();
        let doubt = match denial {
            Denial::Undecided(undecided) => {
                Denial::Undecided(Undecided { resource: resource(), ..undecided })
            }
            Denial::Throttled { retry_after, .. } => {
                Denial::Throttled { resource: resource(), retry_after }
            }
            Denial::Absent(_)
            | Denial::Refused(_)
            | Denial::Missing { .. }
            | Denial::Unsatisfiable { .. } => return,
        };
        self.doubt.get_or_insert(doubt);
    }
}

/// The image `digest` in the same repository.
fn beside(image: &ImageRef, digest: &Digest) -> ImageRef {
    ImageRef { reference: Reference::Digest(*digest), ..image.clone() }
}
