//! The parts that all generations of the configuration share (memory and files on disk), and how a generation is built
//! from them.

use std::sync::Arc;

use anyhow::Context as _;
use prometheus_client::registry::Registry;

use crate::access::Clients;
use crate::bundle::Bundles;
use crate::clock::Clock;
use crate::config::Config;
use crate::exemptions::{self, ExemptionFile, Exemptions, Reporting};
use crate::gate::Gate;
use crate::pull_through::{self, PullThrough};
use crate::registry_client;
use crate::server::{Generation, Names};
use crate::store::{self, Store};
use crate::trust::cosign;
use crate::trust::discovery::Places;
use crate::trust::findings::{self, AnchorVerdicts};
use crate::trust::notaryv1::{self, TrustCache};
use crate::trust::notation;
use crate::trust::tags::TagHistory;
use crate::trust::{self, Trust};

use super::Keeping;

const NO_RANDOM: &str = "the system provides no random numbers";

/// The parts that outlive a reload.
pub(super) struct Parts {
    pub(super) pull_through: PullThrough,
    /// `None` if the gate only reads (`why`, `replay`).
    pub(super) store: Option<Store>,
    clock: Clock,
    pub(super) tags: TagHistory,
    names: TrustCache,
    content: AnchorVerdicts,
    requests: registry_client::Metrics,
    bundles: Bundles,
}

impl Parts {
    /// Opens the files on disk and builds the first generation.
    pub(super) fn open(
        config: &Config,
        clock: &Clock,
        keeping: Keeping,
        bundles: Bundles,
        metrics: &mut Registry,
    ) -> anyhow::Result<(Self, Generation)> {
        let requests = registry_client::Metrics::registered(metrics);
        let refreshes = trust::Metrics::registered(metrics);
        let mut pull_through = PullThrough::new([], PullThrough::CACHE);
        let store = match keeping {
            Keeping::Remember => {
                let kept = store::Metrics::registered(metrics);
                Some(Store::open(&config.store, clock.clone(), &kept)?)
            }
            Keeping::OnlyRead => None,
        };
        if let Some(store) = &store {
            let downloads = pull_through::Metrics::registered(metrics);
            pull_through = pull_through.keeping(store.clone(), downloads);
        }
        let names = TrustCache::new(clock.clone(), refreshes.clone());
        let places = Places::new(pull_through.clone(), clock.clone());
        let content = AnchorVerdicts::new(places, clock.clone(), refreshes);
        trust::Expiries::register(metrics, &names, &content, clock);
        let tags = match keeping {
            Keeping::Remember => TagHistory::open(&config.store.path)?,
            Keeping::OnlyRead => TagHistory::look(&config.store.path),
        };
        let reporting = match keeping {
            Keeping::Remember => Reporting::Log,
            Keeping::OnlyRead => Reporting::Nothing,
        };
        let exemptions = Exemptions::new(
            ExemptionFile::below(&config.store.path),
            clock.clone(),
            exemptions::Metrics::registered(metrics),
            reporting,
        );
        let clock = clock.clone();
        let parts = Self { pull_through, store, clock, tags, names, content, requests, bundles };
        let made = parts.make(config)?;
        let gate = parts.gate(config, &made, exemptions);
        let clients = Clients::new(&config.clients, parts.clock.clone()).context(NO_RANDOM)?;
        let names = made.names;
        let denial_status = config.server.denial_status;
        Ok((parts, Generation { number: 1, gate, clients, names, denial_status }))
    }

    /// The generation after `last`. Reads files and opens no connections.
    pub(super) fn next(&self, config: &Config, last: &Generation) -> anyhow::Result<Generation> {
        let Made { trust, pull_through, names } = self.make(config)?;
        let clients = last.clients.renewed(&config.clients).context(NO_RANDOM)?;
        let registries = names.registries.clone();
        let gate = last.gate.renewed(config.policy.clone(), trust, pull_through, registries);
        let (number, denial_status) = (last.number + 1, config.server.denial_status);
        Ok(Generation { number, gate, clients, names, denial_status })
    }

    /// A gate that gets everything from `bundles` and stores it here, with caches of its own.
    pub(super) fn importing(&self, config: &Config, bundles: Bundles) -> anyhow::Result<Gate> {
        let refreshes = trust::Metrics::default();
        let clock = &self.clock;
        let places = Places::new(self.pull_through.clone(), clock.clone());
        let parts = Self {
            pull_through: self.pull_through.clone(),
            store: self.store.clone(),
            clock: clock.clone(),
            tags: self.tags.clone(),
            names: TrustCache::new(clock.clone(), refreshes.clone()),
            content: AnchorVerdicts::new(places, clock.clone(), refreshes),
            requests: self.requests.clone(),
            bundles,
        };
        let made = parts.make(config)?;
        let exemptions = Exemptions::new(
            ExemptionFile::below(&config.store.path),
            clock.clone(),
            exemptions::Metrics::default(),
            Reporting::Nothing,
        );
        Ok(parts.gate(config, &made, exemptions))
    }

    fn gate(&self, config: &Config, made: &Made, exemptions: Exemptions) -> Gate {
        Gate::new(
            config.policy.clone(),
            made.trust.clone(),
            made.pull_through.clone(),
            self.tags.clone(),
            exemptions,
            made.names.registries.clone(),
            self.clock.clone(),
        )
    }

    /// Uses the anchors of `generation`, which has taken effect: reports those that are frozen, in the log and in metrics, and
    /// drops cached results of anchors that it does not have.
    pub(super) async fn keep(&self, generation: &Generation) {
        let (mut names, mut content) = (Vec::new(), Vec::new());
        for anchor in generation.gate.trust().anchors() {
            match anchor {
                trust::Anchor::NotaryV1(anchor) => names.push(anchor.clone()),
                trust::Anchor::Content(anchor) => content.push(anchor.clone()),
            }
        }
        self.names.use_anchors(names.iter());
        self.names.keep(&names).await;
        self.content.keep(&content).await;
    }

    fn make(&self, config: &Config) -> anyhow::Result<Made> {
        let mut anchors = Vec::new();
        for anchor in &config.anchors {
            anchors.push(open(
                anchor,
                config,
                (self.store.as_ref(), &self.bundles),
                &self.requests,
            )?);
        }
        let mut upstreams = Vec::new();
        for upstream in &config.upstreams {
            let opened = self.bundles.upstream(upstream, &self.requests);
            upstreams.push(opened.with_context(|| format!("the upstream {}", upstream.registry))?);
        }
        let registries = config.upstreams.iter().map(|upstream| upstream.registry.clone());
        let default = config.upstreams.iter().find(|upstream| upstream.default);
        let names = Names {
            registries: registries.collect(),
            default: default.map(|upstream| upstream.registry.clone()),
            own_ports: std::iter::once(config.server.listen)
                .chain(config.mirror.as_ref().map(|mirror| mirror.listen))
                .map(|listen| listen.port())
                .collect(),
        };
        let pull_through = self.pull_through.asking(upstreams);
        let places = Places::new(pull_through.clone(), self.clock.clone());
        let trust = Trust::new(anchors, self.names.clone(), self.content.looking_in(places));
        Ok(Made { trust, pull_through, names })
    }
}

/// The parts that are built from one version of the configuration.
struct Made {
    trust: Trust,
    pull_through: PullThrough,
    names: Names,
}

fn open(
    anchor: &trust::Config,
    config: &Config,
    (kept, bundles): (Option<&Store>, &Bundles),
    requests: &registry_client::Metrics,
) -> anyhow::Result<trust::Anchor> {
    let store = &config.store.path;
    let upstreams = &config.upstreams;
    Ok(match anchor.clone() {
        trust::Config::NotaryV1(config) => {
            let name = config.name.clone();
            let archive = bundles.archive(upstreams);
            let opened = match kept {
                Some(kept) => notaryv1::Anchor::open(config, archive, store, requests)
                    .map(|anchor| anchor.reporting(kept.memory_health())),
                None => notaryv1::Anchor::look(config, archive, store, requests),
            };
            let opened = opened.with_context(|| format!("the anchor {name}"))?;
            trust::Anchor::NotaryV1(Arc::new(opened))
        }
        trust::Config::Cosign(config) => {
            let anchor = cosign::Anchor::new(config);
            trust::Anchor::Content(findings::Anchor::Cosign(Arc::new(anchor)))
        }
        trust::Config::Notation(config) => {
            // A certificate may name a private address only if the upstream of the image has a private address.
            let upstreams = upstreams
                .iter()
                .map(|upstream| (&upstream.registry, &upstream.url, bundles.revocation(upstream)));
            let responder = notation::RevocationClient::new(upstreams, config.proxy.proxies())
                .with_context(|| format!("the anchor {}", config.name))?;
            let anchor = Arc::new(notation::Anchor::new(config));
            trust::Anchor::Content(findings::Anchor::Notation(anchor, responder))
        }
    })
}
