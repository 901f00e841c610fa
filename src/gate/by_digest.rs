//! The decision about a digest: signed itself, listed by an index that is, about a manifest that is,
//! or let pass by a rule. What is not known is looked for, within bounds.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::oci::{Digest, ImageRef, Reference};
use crate::policy::{Mode, Unmet};
use crate::pull_through::{FetchError, Fetched};
use crate::trust::{Reason, Refusal, SignedNames, Unendorsed};
use crate::upstream::UpstreamError;

use super::Shared;
use super::admitted::{Admitted, Excused, Grounds, Place};
use super::by_tag::{place, would_refuse};
use super::denial::{Denial, Doubt, Undecided};
use super::deny;

/// How deep indexes may list indexes.
const MAX_LEVELS: usize = 4;
/// The most upstream requests that one decision may cost.
const MAX_REQUESTS: usize = 100;
/// The most bytes of manifests that one decision may cost.
const MAX_BYTES: usize = 16 << 20;

/// What one decision may still cost, and the first thing that it could not look at.
struct Search<'a> {
    image: &'a ImageRef,
    requests: usize,
    bytes: usize,
    doubt: Option<Denial>,
}

impl Shared {
    pub(super) async fn by_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
    ) -> Result<Admitted, Denial> {
        let decided = self.decide(image, digest).await;
        if let Err(Denial::Absent(_) | Denial::Refused(_)) = &decided {
            self.lineage.denied(image, digest).await;
        }
        decided
    }

    async fn decide(&self, image: &ImageRef, digest: &Digest) -> Result<Admitted, Denial> {
        let now = self.clock.now();
        let ImageRef { registry, repository, .. } = image;
        if !self.policy.serves(registry, repository, now) {
            let chosen = self.policy.rule_for(registry, repository, None, now);
            return Err(match chosen.map(|chosen| (&chosen.rule.mode, chosen.pattern)) {
                Some((Mode::Deny { reason }, rule)) => {
                    deny::by_rule(image, rule, reason.as_deref())
                }
                Some(_) | None => deny::no_rule(image),
            });
        }
        let names = self.names(image).await;
        let denial = match self.directly(image, digest, &names).await {
            Ok(admitted) => return Ok(admitted),
            Err(denial) => denial,
        };
        // Something other than a missing signature is not mended by looking elsewhere.
        if !is_open(&denial) {
            return Err(denial);
        }
        let mut search = Search { image, requests: MAX_REQUESTS, bytes: MAX_BYTES, doubt: None };
        if let Some(found) =
            self.through_parents(image, digest, &names, MAX_LEVELS, &mut search).await?
        {
            return Ok(found);
        }
        if let Some(found) = self.about_subject(image, digest, &names, &mut search).await? {
            return Ok(found);
        }
        let walk = self.lineage.walk(image).await;
        let _alone = walk.lock().await;
        self.walk(image, &names, &mut search).await;
        let found = self.through_parents(image, digest, &names, MAX_LEVELS, &mut search).await?;
        found.ok_or_else(|| search.doubt.unwrap_or(denial))
    }

    /// What each anchor that has a say in this repository signs in it.
    pub(super) async fn names<'a>(
        &'a self,
        image: &'a ImageRef,
    ) -> Vec<(Arc<str>, Result<SignedNames<'a>, Unendorsed>)> {
        let anchors = self.policy.anchors(&image.registry, &image.repository, self.clock.now());
        // At once: one that is silent takes nearly all of the time that there is.
        join_all(anchors.into_iter().map(async |anchor| {
            let signed = self.trust.signed(&anchor, &image.registry, &image.repository).await;
            (anchor, signed)
        }))
        .await
    }

    /// Admits `digest` for itself: by one of the tags that it was signed by, or by a rule.
    async fn directly(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
    ) -> Result<Admitted, Denial> {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.registry, &image.repository, None, now);
        let mut denied: Option<Denial> = None;
        // Every tag that it was signed by, and every one by which a rule let it pass before.
        let passed = self.lineage.tags(image, digest).await;
        let signed = names.iter().filter_map(|(_, signed)| signed.as_ref().ok());
        for tag in signed.flat_map(|signed| signed.tags_of(digest)).chain(passed.iter()) {
            let by_tag = self.policy.rule_for(&image.registry, &image.repository, Some(tag), now);
            let Some(by_tag) = by_tag else { continue };
            let place = place(image, &by_tag);
            let grounds = match &by_tag.rule.mode {
                Mode::Deny { .. } => continue,
                Mode::Allow { .. } => Grounds::Rule(Excused { digest: *digest }),
                Mode::Enforce(requirement) | Mode::Audit(requirement) => {
                    match self.judge(image, tag, requirement).await {
                        Ok(met) if met.iter().all(|one| one.digest() == *digest) => {
                            Grounds::Endorsed(met)
                        }
                        Ok(_) => continue,
                        Err(unmet) => {
                            let denial = deny::unmet(image, place.rule, unmet, &self.trust);
                            if !matches!(by_tag.rule.mode, Mode::Audit(_)) {
                                // What is open leaves it open, whatever the others say.
                                if denied.as_ref().is_none_or(|denied| {
                                    is_undecided(&denial) && !is_undecided(denied)
                                }) {
                                    denied = Some(denial);
                                }
                                continue;
                            }
                            would_refuse(&denial);
                            Grounds::Rule(Excused { digest: *digest })
                        }
                    }
                }
            };
            return self.fetch(image, *digest, grounds, &place).await;
        }
        let Some(chosen) = chosen else {
            return Err(denied.unwrap_or_else(|| self.unsigned(image, names)));
        };
        let place = place(image, &chosen);
        match &chosen.rule.mode {
            Mode::Deny { reason } => {
                Err(denied.unwrap_or_else(|| deny::by_rule(image, place.rule, reason.as_deref())))
            }
            Mode::Enforce(_) => Err(denied.unwrap_or_else(|| self.unsigned(image, names))),
            Mode::Audit(_) => {
                would_refuse(&denied.unwrap_or_else(|| self.unsigned(image, names)));
                self.excused(image, digest, &place).await
            }
            Mode::Allow { .. } => self.excused(image, digest, &place).await,
        }
    }

    async fn excused(
        &self,
        image: &ImageRef,
        digest: &Digest,
        place: &Place<'_>,
    ) -> Result<Admitted, Denial> {
        self.fetch(image, *digest, Grounds::Rule(Excused { digest: *digest }), place).await
    }

    /// Why nobody vouches for a digest that no tag leads to: undecided where somebody could not be
    /// asked, and else what the first anchor says.
    fn unsigned(
        &self,
        image: &ImageRef,
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
    ) -> Denial {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.registry, &image.repository, None, now);
        let rule = chosen.map_or_else(|| Arc::from(""), |chosen| chosen.pattern.clone());
        let failed = |(anchor, signed): &(Arc<str>, Result<SignedNames<'_>, Unendorsed>)| {
            let why = signed.as_ref().err()?.clone();
            Some(Unmet { anchor: anchor.clone(), why })
        };
        let open = names
            .iter()
            .filter_map(failed)
            .find(|unmet| matches!(unmet.why, Unendorsed::Undecided(_)));
        // Whoever signs something here could have signed an index that lists it.
        let signs = names.iter().find(|(_, signed)| signed.is_ok()).map(|(anchor, _)| {
            let because = "this digest is not signed, nor listed by a signed index";
            let refusal = Refusal::new(Reason::DigestNotSigned, because);
            Unmet { anchor: anchor.clone(), why: Unendorsed::Refused(refusal) }
        });
        let unmet = open.or(signs).or_else(|| names.first().and_then(failed));
        match unmet {
            Some(unmet) => deny::unmet(image, &rule, unmet, &self.trust),
            None => deny::no_rule(image),
        }
    }

    /// Admits `digest` for itself, or through an index that is known to list it.
    async fn known(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
        levels: usize,
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        let denial = match self.directly(image, digest, names).await {
            Ok(admitted) => return Ok(Some(admitted)),
            Err(denial) => denial,
        };
        if is_open(&denial)
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
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
        levels: usize,
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        if levels == 0 {
            return Ok(None);
        }
        for parent in self.lineage.parents(image, digest).await.iter() {
            let above = beside(image, parent);
            let parent = Box::pin(self.known(&above, parent, names, levels - 1, search)).await?;
            let Some(parent) = parent else { continue };
            let fetched = self.content(image, digest, &parent).await?;
            // An index that lists it with another size does not list it; another one may.
            let Ok(admitted) = Admitted::through(&parent, fetched) else { continue };
            self.lineage.children(image, &admitted).await;
            return Ok(Some(admitted));
        }
        Ok(None)
    }

    async fn content(
        &self,
        image: &ImageRef,
        digest: &Digest,
        parent: &Admitted,
    ) -> Result<Fetched, Denial> {
        self.pull_through
            .manifest(&image.registry, &image.repository, digest)
            .await
            .map_err(|error| deny::fetch(image, Some(parent.pattern()), error))
    }

    /// Admits `digest` if it is an artifact about a manifest that is admitted.
    async fn about_subject(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
        search: &mut Search<'_>,
    ) -> Result<Option<Admitted>, Denial> {
        // Without any signed name there is nothing that it could be about.
        if names.iter().all(|(_, signed)| signed.is_err()) {
            return Ok(None);
        }
        let Some(fetched) = self.look(image, digest, search).await? else { return Ok(None) };
        let Some(subject) = fetched.manifest().subject().map(|subject| subject.digest) else {
            return Ok(None);
        };
        if fetched.manifest().is_runnable() {
            return Ok(None);
        }
        let above = beside(image, &subject);
        let subject = self.known(&above, &subject, names, MAX_LEVELS, search).await?;
        let Some(subject) = subject else { return Ok(None) };
        let admitted = Admitted::about(&subject, fetched);
        admitted.map(Some).map_err(|refusal| deny::plain(image, refusal, Some(subject.pattern())))
    }

    /// Looks at every signed manifest of the repository that was not looked at yet, and remembers what
    /// it lists; what cannot be read hides nothing of the others. The next request goes on where the
    /// bounds ended this one.
    async fn walk(
        &self,
        image: &ImageRef,
        names: &[(Arc<str>, Result<SignedNames<'_>, Unendorsed>)],
        search: &mut Search<'_>,
    ) {
        let mut open: Vec<(Digest, usize)> = Vec::new();
        for signed in names.iter().filter_map(|(_, signed)| signed.as_ref().ok()) {
            open.extend(signed.digests().map(|digest| (*digest, MAX_LEVELS)));
        }
        while let Some((digest, levels)) = open.pop() {
            if self.lineage.is_walked(image, &digest) {
                continue;
            }
            match self.look(image, &digest, search).await {
                Ok(Some(fetched)) => {
                    self.lineage.walked(image, &fetched).await;
                    if levels > 1 {
                        let nested = fetched.manifest().child_indexes();
                        open.extend(nested.map(|child| (child.digest, levels - 1)));
                    }
                }
                Ok(None) => self.lineage.nothing_behind(image, &digest).await,
                Err(denial) => {
                    let throttled = matches!(denial, Denial::Throttled { .. });
                    search.doubts(denial);
                    if throttled || search.is_spent() {
                        return;
                    }
                }
            }
        }
    }

    /// Upstream's manifest, to look at: none where upstream has none that can be looked at.
    async fn look(
        &self,
        image: &ImageRef,
        digest: &Digest,
        search: &mut Search<'_>,
    ) -> Result<Option<Fetched>, Denial> {
        if search.is_spent() {
            let because = format!(
                "the signed indexes that could list it are more than {MAX_REQUESTS} requests or {MAX_BYTES} \
                 bytes; asking again goes on from here"
            );
            return Err(deny::exhausted(image, None, because));
        }
        search.requests -= 1;
        match self.pull_through.manifest(&image.registry, &image.repository, digest).await {
            Ok(fetched) => {
                search.bytes = search.bytes.saturating_sub(fetched.bytes().len());
                Ok(Some(fetched))
            }
            Err(
                FetchError::Invalid(_)
                | FetchError::Mismatch(_)
                | FetchError::Upstream(UpstreamError::Absent { .. }),
            ) => Ok(None),
            Err(error @ (FetchError::NoUpstream(_) | FetchError::Upstream(_))) => {
                Err(deny::fetch(image, None, error))
            }
        }
    }
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.requests == 0 || self.bytes == 0
    }

    /// Keeps `denial`, which is another manifest's, if it leaves open what is searched for.
    fn doubts(&mut self, denial: Denial) {
        let image = self.image.clone();
        let doubt = match denial {
            Denial::Undecided(undecided) => Denial::Undecided(Undecided { image, ..undecided }),
            Denial::Throttled { retry_after, .. } => Denial::Throttled { image, retry_after },
            Denial::Absent(_)
            | Denial::Refused(_)
            | Denial::Missing { .. }
            | Denial::Unsatisfiable { .. } => return,
        };
        self.doubt.get_or_insert(doubt);
    }
}

/// Whether the digest may still be admitted through another manifest: nobody said no, and nobody who
/// could be asked vouches for it.
fn is_open(denial: &Denial) -> bool {
    match denial {
        Denial::Absent(_) => true,
        Denial::Undecided(undecided) => undecided.doubt == Doubt::TrustUnreachable,
        Denial::Refused(_)
        | Denial::Missing { .. }
        | Denial::Throttled { .. }
        | Denial::Unsatisfiable { .. } => false,
    }
}

fn is_undecided(denial: &Denial) -> bool {
    matches!(denial, Denial::Undecided(_))
}

/// The image `digest` in the same repository.
fn beside(image: &ImageRef, digest: &Digest) -> ImageRef {
    ImageRef { reference: Reference::Digest(*digest), ..image.clone() }
}
