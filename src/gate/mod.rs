//! Admits or denies: the only module that combines endorsements with content.
//!
//! ```text
//! Policy::rule_for ─► Trust::signed ─► Endorsement ─► Permit ─┐
//! PullThrough::manifest ───────────────────────────► Fetched ┴─► Admitted::new ─► Admitted
//! ```
//!
//! Trust comes first. If the anchors sign names, the gate asks the upstream for the endorsed digest and never for the
//! client's tag, so a moved tag has no effect.

pub mod admitted;
pub mod denial;

mod anchors;
mod artifact_config;
mod artifacts;
mod attached;
mod audited;
mod blobs;
mod by_digest;
mod by_tag;
mod decision;
mod denied;
mod deny;
mod door;
mod evidence;
mod exempted;
mod index_graph;
mod judge;
mod kinds;
mod known;
mod lists;
mod moved;
mod open_blob;
mod outside;
mod preview;
mod recheck;
mod referrers;
mod relay;
mod resource;
mod resolutions;
mod tagged;
mod verdict;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

pub use admitted::{Admitted, MatchedRule, Remark};
pub use artifacts::is_artifact_tag;
pub use attached::{Attachment, Attachments};
pub use denial::{Denial, Denied, Doubt, Shortage, Undecided};
pub use evidence::ContentVerdicts;
pub use index_graph::walks::MAX_SEARCH_REQUESTS;
pub use lists::Subject;
pub use open_blob::OpenBlob;
pub use preview::Preview;
pub use recheck::AnchorAnswer;
pub use referrers::ReferrerList;
pub use resource::{Resource, ResourceKind};
pub use verdict::Verdict;

use crate::clock::Clock;
use crate::exemptions::Exemptions;
use crate::oci::{ImageRef, Reference, Registry, RepositoryRef, Tag};
use crate::policy::{OnRollback, OnUnsigned, Policy};
use crate::pull_through::PullThrough;
use crate::requester::Requester;
use crate::trust::Trust;
use crate::trust::tags::{Need, Needs, TagHistory};
use audited::Audits;
use door::Door;
use index_graph::IndexGraph;
use resolutions::Resolutions;

/// The longest duration of one decision. After that, the image is undecided.
pub const MAX_DECISION: Duration = Duration::from_secs(30);
/// How long the gate waits for anchors if it may serve the image whatever they answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Decides about every manifest. Clones are cheap and share one state.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    requester: Requester,
}

struct Shared {
    policy: Policy,
    trust: Trust,
    pull_through: PullThrough,
    index_graph: IndexGraph,
    resolutions: Resolutions,
    tags: TagHistory,
    /// Which tags have a history that a rule depends on.
    needs: Needs,
    exemptions: Exemptions,
    audits: Audits,
    door: Door,
    registries: Vec<Registry>,
    clock: Clock,
    /// For work that continues after its request has ended.
    itself: Weak<Shared>,
}

/// The state that a gate keeps when its configuration is reloaded.
struct KeptOnReload {
    resolutions: Resolutions,
    tags: TagHistory,
    exemptions: Exemptions,
    door: Door,
    clock: Clock,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("registries", &self.shared.registries).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate for `registries`, the names of the configured upstreams.
    pub fn new(
        policy: Policy,
        trust: Trust,
        pull_through: PullThrough,
        tags: TagHistory,
        exemptions: Exemptions,
        registries: Vec<Registry>,
        clock: Clock,
    ) -> Self {
        let resolutions = Resolutions::new(pull_through.clone(), clock.clone());
        let door = Door::new(&registries, &pull_through);
        let kept = KeptOnReload { resolutions, tags, exemptions, door, clock };
        Self::with(kept, policy, trust, pull_through, registries)
    }

    /// The gate of a new configuration. It keeps tags, exemptions and known names; everything else is new.
    #[must_use]
    pub fn renewed(
        &self,
        policy: Policy,
        trust: Trust,
        pull_through: PullThrough,
        registries: Vec<Registry>,
    ) -> Self {
        let Shared { resolutions, tags, exemptions, clock, .. } = &*self.shared;
        let kept = KeptOnReload {
            resolutions: resolutions.by(pull_through.clone(), &registries),
            tags: tags.clone(),
            exemptions: exemptions.clone(),
            door: self.shared.door.renewed(&registries, &pull_through),
            clock: clock.clone(),
        };
        Self::with(kept, policy, trust, pull_through, registries)
    }

    fn with(
        kept: KeptOnReload,
        policy: Policy,
        trust: Trust,
        pull_through: PullThrough,
        registries: Vec<Registry>,
    ) -> Self {
        let KeptOnReload { resolutions, tags, exemptions, door, clock } = kept;
        let index_graph = IndexGraph::new(pull_through.clone());
        let needs = needs(policy.clone(), clock.clone());
        let shared = Arc::new_cyclic(|itself| Shared {
            policy,
            trust,
            pull_through,
            index_graph,
            resolutions,
            tags,
            needs,
            exemptions,
            audits: Audits::new(),
            door,
            registries,
            clock,
            itself: itself.clone(),
        });
        Self { shared, requester: Requester::Gate }
    }

    /// This gate, working for `requester`.
    #[must_use]
    pub fn on_behalf_of(&self, requester: Requester) -> Self {
        Self { requester, ..self.clone() }
    }

    /// The manifest that `image` names, if it may be served.
    pub async fn admit(&self, image: &ImageRef) -> Result<Admitted, Denial> {
        let (_pass, learn) = self.pass(image).await?;
        let admitted = self.decide(image).await?;
        self.shared.serves_none_denied(image, &admitted)?;
        if learn {
            self.learn(image, &admitted);
        }
        Ok(admitted)
    }

    async fn decide(&self, image: &ImageRef) -> Result<Admitted, Denial> {
        let mut decision = pin!(async {
            match &image.reference {
                Reference::Tag(tag) => self.shared.by_tag(image, tag).await,
                Reference::Digest(digest) => self.shared.by_digest(image, digest).await,
            }
        });
        // Most decisions complete at the first poll and need no timer.
        let at_once = poll_fn(|context| Poll::Ready(decision.as_mut().poll(context))).await;
        if let Poll::Ready(decided) = at_once {
            return decided;
        }
        let end = Instant::now() + MAX_DECISION;
        if self.shared.has_exemptions(image) {
            match timeout(PATIENCE, decision.as_mut()).await {
                Ok(decided) => return decided,
                Err(_) => {
                    let meanwhile = Box::pin(self.shared.exempted_meanwhile(image));
                    if let Ok(Some(admitted)) = timeout_at(end, meanwhile).await {
                        return Ok(admitted);
                    }
                }
            }
        }
        match timeout_at(end, decision).await {
            Ok(decided) => decided,
            Err(_) => Err(deny::too_slow(image)),
        }
    }

    /// The digests that operators exempted for a limited time.
    pub fn exemptions(&self) -> &Exemptions {
        &self.shared.exemptions
    }

    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    pub fn trust(&self) -> &Trust {
        &self.shared.trust
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

/// Says whether the rule for a tag depends on its history.
fn needs(policy: Policy, clock: Clock) -> Needs {
    Arc::new(move |repository: &RepositoryRef, tag: &Tag| {
        let chosen = policy.rule_for(repository, Some(tag), clock.now());
        match chosen.map(|chosen| (chosen.rule().on_unsigned, chosen.rule().on_rollback)) {
            Some((OnUnsigned::Hold, _) | (_, OnRollback::Refuse)) => Need::Required,
            Some((OnUnsigned::Refuse, OnRollback::Warn)) | None => Need::Optional,
        }
    })
}
