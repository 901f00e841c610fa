//! One sentence on what would change a decision: what to do, and for whom. Knows each reason, and what
//! each scheme signs with.

mod restricted;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::gate::{Admitted, Denial, Doubt, Remark};
use crate::oci::{ErrorCode, ImageRef, Reference};
use crate::policy::{Mode, Rule};
use crate::trust::{Anchor, Reason, Refusal, Trust, findings, notaryv1};

/// What advice is given upon.
pub(super) struct Case<'a> {
    pub(super) image: &'a ImageRef,
    pub(super) trust: &'a Trust,
    /// The rule that decides and its pattern, if there is one.
    pub(super) rule: Option<(&'a Arc<str>, &'a Rule)>,
}

impl Case<'_> {
    /// What would change an admission.
    pub(super) fn admitted(&self, admitted: &Admitted) -> String {
        match admitted.remark() {
            Some(Remark::Exempted { exemption, .. }) => {
                return format!(
                    "whoever released it: have it signed before {:#}, when the exemption ends by itself; \
                     `countersign exempt --end` ends it now",
                    exemption.says().until
                );
            }
            Some(Remark::Held { .. }) => {
                return format!(
                    "whoever released it: sign what {} was moved to, and it is served; until then it stays \
                     at the image before",
                    self.image
                );
            }
            Some(Remark::RolledBack { .. }) => {
                return "whoever released it: if the older image is meant, nothing is to be done; if it is \
                        not, push the newer one again; `on_rollback = \"refuse\"` in the rule would refuse \
                        the older one"
                    .to_owned();
            }
            None => {}
        }
        let mode = self.rule.map(|(_, rule)| &rule.mode);
        if admitted.endorsements().is_empty() {
            let rule = admitted.rule();
            return match (mode, admitted.dry_run_denial()) {
                (Some(Mode::Audit(_)), Some(denial)) => format!(
                    "it is served only because the rule for {rule} audits; to have it served with `mode = \
                     \"enforce\"`, too: {}",
                    self.denied(denial)
                ),
                (Some(Mode::Allow { .. }), _) => format!(
                    "whoever runs the gate: to have it served only when it is signed, name an anchor in \
                     `require` of the rule for {rule}, instead of `mode = \"allow\"`"
                ),
                (Some(Mode::Audit(_)), None) => {
                    "with `mode = \"enforce\"` it would be served just the same".to_owned()
                }
                (_, _) => format!(
                    "whoever runs the gate: the rule for {rule} has it served without a signature, and only \
                     another rule changes that"
                ),
            };
        }
        let ends = admitted.endorsements().iter().map(|one| one.says().expires).min();
        let ends = ends.filter(|ends| *ends < Timestamp::MAX);
        let until =
            ends.map(|ends| format!("; what vouches for it ends at {ends:#} unless it is renewed"));
        let enforce = match mode {
            Some(Mode::Audit(_)) => "with `mode = \"enforce\"` it would be served just the same",
            Some(Mode::Enforce(_) | Mode::Allow { .. } | Mode::Deny { .. }) | None => {
                "nothing is to be done"
            }
        };
        format!("{enforce}{}", until.unwrap_or_default())
    }

    /// What would change a denial.
    pub(super) fn denied(&self, denial: &Denial) -> String {
        let image = self.image;
        match denial {
            Denial::Absent(denied) | Denial::Refused(denied) => {
                let anchor = denied.anchor.as_ref().and_then(|name| self.trust.anchor(name));
                self.refused(&denied.refusal, anchor)
            }
            Denial::Undecided(undecided) => {
                let anchor = undecided.anchor.as_ref().and_then(|name| self.trust.anchor(name));
                self.undecided(undecided.doubt, anchor)
            }
            Denial::Missing { code: ErrorCode::NameUnknown, .. } => format!(
                "whoever pulls it: look for a slip in the name; whoever runs the gate: is there an \
                 [[upstream]] for {}, and does it have the repository {}?",
                image.registry, image.repository
            ),
            Denial::Missing { .. } => format!(
                "whoever releases it: push what was signed to {}/{}, which does not have it; whoever pulls \
                 it: look for a slip in the name",
                image.registry, image.repository
            ),
            Denial::Throttled { .. } => format!(
                "wait, and ask again; whoever runs the gate: give the [[upstream]] of {} a `username` and \
                 `password_file` that may ask more often",
                image.registry
            ),
            Denial::Unsatisfiable { .. } => "ask for a range that is within it".to_owned(),
        }
    }

    fn undecided(&self, doubt: Doubt, anchor: Option<&Anchor>) -> String {
        let registry = &self.image.registry;
        match (doubt, anchor) {
            (Doubt::TrustUnreachable, Some(Anchor::NotaryV1(anchor))) => format!(
                "whoever runs the gate: see that it reaches {} and may ask there (`ca`, `username` of the \
                 anchor {}); then ask again",
                anchor.config().url,
                anchor.name()
            ),
            (Doubt::TrustUnreachable, Some(Anchor::Content(anchor))) => format!(
                "whoever runs the gate: see that it can read everything that the anchor {} has to look at, \
                 which `why` lists as unread; then ask again",
                anchor.name()
            ),
            (Doubt::TrustUnreachable, None) => {
                "whoever runs the gate: see that its store can be read and written; then ask again"
                    .to_owned()
            }
            (Doubt::GateBusy(_), _) => {
                "wait, and ask again; the operator of the gate: `countersign_limit_reached_total` tells \
                 which limit was reached"
                    .to_owned()
            }
            (Doubt::UpstreamUnreachable, _) => format!(
                "whoever runs the gate: see that it reaches the registry {registry} (`url` and `ca` of its \
                 [[upstream]]); then ask again"
            ),
            (Doubt::UpstreamRefused, _) => format!(
                "whoever runs the gate: give the [[upstream]] of {registry} a `username` and `password_file` \
                 that may read {}",
                self.image.repository
            ),
        }
    }

    fn refused(&self, refusal: &Refusal, anchor: Option<&Anchor>) -> String {
        let reason = refusal.reason;
        if let Some(restriction) = refusal.restriction
            && matches!(reason, Reason::Expired | Reason::SignatureInvalid)
        {
            return self.restricted(restriction, anchor);
        }
        let image = self.image;
        let rule = self.rule.map_or("none", |(pattern, _)| &**pattern);
        let name = anchor.map_or("", |anchor| &**anchor.name());
        match reason {
            Reason::NoRule => format!(
                "whoever runs the gate: add a [[rule]] whose `images` cover {}/{}, or make a pattern wider",
                image.registry, image.repository
            ),
            Reason::DeniedByRule => format!(
                "operator of the gate: to serve {image}, remove or narrow the rule for {rule}; a deny rule wins over every other rule"
            ),
            Reason::NoTrustData => {
                let place = match anchor {
                    Some(Anchor::NotaryV1(anchor)) => format!(
                        "if it is signed under another name, `gun` of the anchor {name}, which asks for {}, \
                         must say which",
                        self.gun(anchor)
                    ),
                    Some(Anchor::Content(_)) | None => {
                        "if it is signed elsewhere, copy its signatures to this registry with it (`cosign \
                         copy`, `oras cp -r`), or name the place in `signature_repository` of the anchor"
                            .to_owned()
                    }
                };
                format!("{}; {place}", self.sign(anchor))
            }
            Reason::TagNotSigned => format!(
                "{}; whoever pulls it: look for a slip in the tag, for others of the repository are signed",
                self.sign(anchor)
            ),
            Reason::DigestNotSigned => {
                format!("whoever pulls it: pull by a tag that is signed; {}", self.sign(anchor))
            }
            Reason::SignatureInvalid => format!(
                "{}; or, if whoever signed it is to be trusted, whoever runs the gate: add that key or \
                 identity to the anchor {name}",
                self.sign(anchor)
            ),
            Reason::SignerMissing => {
                let who = match anchor {
                    Some(Anchor::NotaryV1(anchor)) => {
                        let signers = &anchor.config().signers;
                        signers.iter().map(|role| role.signer()).collect::<Vec<_>>().join(", ")
                    }
                    Some(Anchor::Content(_)) | None => "every signer".to_owned(),
                };
                format!("{who} must each sign this very digest: {}", self.command(anchor))
            }
            Reason::SignersDisagree => format!(
                "those who sign {image}: agree upon one image, and all sign its digest: {}",
                self.command(anchor)
            ),
            Reason::Expired => match anchor {
                Some(Anchor::NotaryV1(anchor)) => format!(
                    "whoever holds the keys of {}: publish again (each `docker push` with \
                     DOCKER_CONTENT_TRUST=1 does); whoever runs {}: if only its timestamp ended, its signer \
                     is not at work",
                    self.gun(anchor),
                    anchor.config().url
                ),
                Some(Anchor::Content(_)) | None => {
                    format!("what vouched for it has ended: {}", self.sign(anchor))
                }
            },
            Reason::RootNotPinned
                if let Some(key) =
                    refusal.unpinned.as_ref().and_then(|root| root.same_key.as_ref()) =>
            {
                format!(
                    "operator of the gate: write \"{key}\" into `root_keys` of the anchor {name}, in place of the id \
                     of a certificate: it is the root key itself, and covers every repository that it signs"
                )
            }
            Reason::RootNotPinned => format!(
                "whoever owns the root key: say whether it was changed; only if so, whoever runs the gate: add \
                 the canonical id of the new key to `root_keys` of the anchor {name}"
            ),
            Reason::WrongRepository => format!(
                "whoever runs the gate: does `gun` of the anchor {name} name the repository that was signed? \
                 If it does, the trust data was copied from another one: have it signed anew"
            ),
            Reason::Rollback if anchor.is_none() => format!(
                "whoever released it: push and sign a newer image; or, if the older one is meant, whoever runs \
                 the gate: `countersign forget {image}`"
            ),
            Reason::Rollback => format!(
                "{} gives older trust data than it gave before: restore its newest backup, or publish again \
                 until its versions are beyond those that were seen",
                server(anchor)
            ),
            Reason::MixAndMatch => format!(
                "ask again in a moment, for it may be in the middle of a publication; if it stays, {} has \
                 files that never belonged together: restore one backup of all of them, or publish again",
                server(anchor)
            ),
            Reason::TrustRemoved => format!(
                "{} had trust data of it that is gone: restore it; if it was meant to go, whoever runs the \
                 gate: remove what the anchor {name} remembers of it in the store (docs/operations.md, \"Trust memory\")",
                server(anchor)
            ),
            Reason::Malformed => match anchor {
                Some(Anchor::NotaryV1(_)) => format!(
                    "{} gives trust data that is not what it should be: look at what it has, and publish again",
                    server(anchor)
                ),
                Some(Anchor::Content(_)) | None => format!(
                    "whoever released it: build and push {image} again, for what the registry has is not what \
                     it should be"
                ),
            },
            Reason::ContentMismatch => format!(
                "whoever runs the registry {}: what it gives is not what was signed, so treat it as broken \
                 into; push the signed image again from where it was built, and sign nothing that is there",
                image.registry
            ),
        }
    }

    /// Who is to sign, and how.
    fn sign(&self, anchor: Option<&Anchor>) -> String {
        format!("whoever releases it: sign it ({})", self.command(anchor))
    }

    /// How the anchor's scheme signs this image.
    fn command(&self, anchor: Option<&Anchor>) -> String {
        let ImageRef { registry, repository, reference } = self.image;
        let digest = match reference {
            Reference::Digest(digest) => digest.to_string(),
            Reference::Tag(_) => "DIGEST".to_owned(),
        };
        match anchor {
            Some(Anchor::NotaryV1(anchor)) => {
                let tag = self.image.tag().map_or("TAG", |tag| tag.as_str());
                format!(
                    "`DOCKER_CONTENT_TRUST=1 DOCKER_CONTENT_TRUST_SERVER={} docker push {}:{tag}`",
                    anchor.config().url.as_str().trim_end_matches('/'),
                    self.gun(anchor)
                )
            }
            Some(Anchor::Content(findings::Anchor::Cosign(anchor))) => {
                let config = anchor.config();
                let verb = match &config.predicate_type {
                    Some(predicate_type) => format!("attest --type {predicate_type}"),
                    None => "sign".to_owned(),
                };
                format!(
                    "`cosign {verb} {registry}/{repository}@{digest}`: the anchor {} takes {}",
                    anchor.name(),
                    config.told()
                )
            }
            Some(Anchor::Content(findings::Anchor::Notation(anchor, _))) => format!(
                "`notation sign {registry}/{repository}@{digest}`: the anchor {} takes {}",
                anchor.name(),
                anchor.config().told()
            ),
            None => "by those whom the rule requires".to_owned(),
        }
    }

    fn gun(&self, anchor: &notaryv1::Anchor) -> String {
        let gun = anchor.gun(&self.image.registry, &self.image.repository);
        gun.map_or_else(|_| "no name that Notary could have".to_owned(), |gun| gun.to_string())
    }
}

/// Whoever runs the Notary server.
fn server(anchor: Option<&Anchor>) -> String {
    match anchor {
        Some(Anchor::NotaryV1(anchor)) => format!("whoever runs {}: it", anchor.config().url),
        Some(Anchor::Content(_)) | None => "whoever runs the registry: it".to_owned(),
    }
}

#[cfg(test)]
mod tests;
