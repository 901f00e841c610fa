//! Searches for a manifest through which an unsigned digest is admitted: a signed index that lists it, or its signed
//! subject. The search examines manifests that are not known yet, within limits.

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

/// The most levels of nested indexes.
const MAX_LEVELS: usize = 4;

/// The state of a search: the decision whose budget it uses, and what it found so far.
pub(in crate::gate) struct Search<'a> {
    image: &'a ImageRef,
    decision: Decision,
    /// The indexes that are not admitted, and the number of levels within which that is known. If indexes list each
    /// other, there are many more paths than indexes.
    tried: HashMap<Digest, usize>,
    spent: bool,
    doubt: Option<Denial>,
    /// Why it is not a permitted artifact of its admitted subject.
    unlisted: Option<Denial>,
}

/// The signed names of each anchor that a rule for the repository uses.
pub(in crate::gate) type Names<'a> = [(Arc<str>, Result<SignedNames<'a>, Unendorsed>)];

/// The result of fetching a manifest to examine it.
enum Looked {
    Manifest(Fetched),
    /// Neither the store nor upstream has it.
    Absent,
    /// The upstream's answer is not a manifest with that digest.
    Unfit,
}

/// The result of examining a manifest as a referrer.
enum About {
    Admitted(Box<Admitted>),
    /// Neither the store nor upstream has it.
    Absent,
    /// It does not refer to an admitted manifest.
    Nothing,
}

/// A step of the walk.
enum Way {
    /// Examine a manifest, with so many levels of nested indexes, itself included.
    Down(Digest, usize),
    /// Everything below the manifest was examined.
    Up(Digest),
}

impl Shared {
    /// Searches for a manifest through which `digest` is admitted, and admits it. Undecided if a manifest could not be
    /// examined.
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
            // The manifest itself is missing, so no index helps.
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
        // The code below may search for another manifest of the repository, which takes the same lock.
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
        // The admission through an index that an audit rule serves, used only if no other index admits the digest.
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

    /// Admits `digest` if it is a permitted artifact of an admitted manifest.
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
        // Without a signed name, no subject can be admitted.
        let ImageRef { repository, .. } = image;
        if names.iter().all(|(_, signed)| signed.is_err())
            && !self.policy.asks_content(repository, self.clock.now())
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
            // For example, the signature of an SBOM of an image.
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
                // A signed index may still list it.
                search.unlisted = Some(deny::plain(image, refusal, Some(subject.pattern())));
                Ok(About::Nothing)
            }
        }
    }

    /// Examines every signed manifest of the repository that was not examined yet, and remembers what it lists. An
    /// unreadable manifest does not end the walk. If a limit ends it, the next request continues from there. Returns
    /// whether everything was examined.
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
            let repository = &image.repository;
            if self.pull_through.kept_manifest(repository, &digest).await.is_none()
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
                    // The manifests above an unreadable one must be examined again.
                    open.retain(|way| matches!(way, Way::Down(..)));
                }
            }
        }
        complete
    }

    /// Fetches a manifest from the store or the upstream, to examine it.
    async fn look(
        &self,
        image: &ImageRef,
        digest: &Digest,
        search: &mut Search<'_>,
    ) -> Result<Looked, Denial> {
        if search.spent || search.decision.budget().ask(&image.repository.registry, 0).is_err() {
            search.spent = true;
            let because = format!(
                "the search for a signed index that lists it needs more than {MAX_REQUESTS} requests or {MAX_BYTES} \
                 bytes; retry to continue it"
            );
            return Err(deny::exhausted(image, None, because));
        }
        match self.pull_through.manifest(&image.repository, digest).await {
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

    /// Keeps `denial`, which is of another manifest, if it is undecided: then the search is undecided, too.
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
