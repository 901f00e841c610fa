//! Advice: one sentence that says who can change a decision, and how. Knows every reason and the signing command of
//! each scheme.

mod restricted;

use std::sync::Arc;

use crate::gate::{Admitted, Denial, Doubt, Remark};
use crate::oci::{ErrorCode, ImageRef, Reference};
use crate::policy::{Mode, Rule};
use crate::trust::{Anchor, Reason, Refusal, Trust, findings, notaryv1};

/// The facts that advice depends on.
pub(super) struct Case<'a> {
    pub(super) image: &'a ImageRef,
    pub(super) trust: &'a Trust,
    /// The pattern of the rule that decides, and the rule, if one matches.
    pub(super) rule: Option<(&'a Arc<str>, &'a Rule)>,
}

impl Case<'_> {
    /// What would change an admission.
    pub(super) fn admitted(&self, admitted: &Admitted) -> String {
        match admitted.remark() {
            Some(Remark::Exempted { exemption, .. }) => {
                return format!(
                    "publisher: sign it before {:#}, when the exemption expires; \
                     `countersign exempt --end` ends the exemption now",
                    exemption.says().until
                );
            }
            Some(Remark::Held { .. }) => {
                return format!(
                    "publisher: sign the image that {} moved to; until then, the gate serves the previous \
                     image",
                    self.image
                );
            }
            Some(Remark::RolledBack { .. }) => {
                return "publisher: if the older image is not intended, push the newer one again; operator of the gate: \
                        `on_rollback = \"refuse\"` in the rule denies older images"
                    .to_owned();
            }
            None => {}
        }
        let mode = self.rule.map(|(_, rule)| &rule.mode);
        if admitted.endorsements().is_empty() {
            let rule = admitted.rule();
            return match (mode, admitted.dry_run_denial()) {
                (Some(Mode::Audit(_)), Some(denial)) => format!(
                    "the image is served only because the rule for {rule} has `mode = \"audit\"`; with `mode = \
                     \"enforce\"` it needs this: {}",
                    self.denied(denial)
                ),
                (Some(Mode::Allow { .. }), _) => format!(
                    "operator of the gate: to require a signature, name an anchor in `require` of the rule for \
                     {rule} and remove `mode = \"allow\"`"
                ),
                (Some(Mode::Audit(_)), None) => {
                    "no action needed: it is served with `mode = \"enforce\"`, too".to_owned()
                }
                (_, _) => format!(
                    "operator of the gate: the rule for {rule} serves it without a signature; to require one, \
                     change the rule"
                ),
            };
        }
        let ends = admitted.endorsements().iter().filter_map(|one| one.says().expires).min();
        let until =
            ends.map(|ends| format!("; the endorsement expires at {ends:#} unless it is renewed"));
        let enforce = match mode {
            Some(Mode::Audit(_)) => "no action needed: it is served with `mode = \"enforce\"`, too",
            Some(Mode::Enforce(_) | Mode::Allow { .. } | Mode::Deny { .. }) | None => {
                "no action needed"
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
                "client: check the spelling of the name; operator of the gate: check that there is an [[upstream]] \
                 for {} and that it has the repository {}",
                image.repository.registry, image.repository.name
            ),
            Denial::Missing { .. } => format!(
                "client: check the spelling of the name; publisher: push the image to {}, which does not have \
                 it",
                image.repository
            ),
            Denial::Throttled { .. } => format!(
                "client: retry later; operator of the gate: give the [[upstream]] of {} a `username` and \
                 `password_file` with a higher request limit",
                image.repository.registry
            ),
            Denial::Unsatisfiable { .. } => "client: request a range within the blob".to_owned(),
        }
    }

    fn undecided(&self, doubt: Doubt, anchor: Option<&Anchor>) -> String {
        let registry = &self.image.repository.registry;
        match (doubt, anchor) {
            (Doubt::TrustUnreachable, Some(Anchor::NotaryV1(anchor)))
                if let Some(failure) = anchor.memory_failure() =>
            {
                format!(
                    "operator of the gate: free disk space, or repair the disk of the store, because the trust memory \
                     cannot be written ({failure}); then retry"
                )
            }
            (Doubt::TrustUnreachable, Some(Anchor::NotaryV1(anchor))) => format!(
                "operator of the gate: check that the gate can reach {} and has access (`ca`, `username` of the \
                 anchor {}); then retry",
                anchor.config().place(),
                anchor.name()
            ),
            (Doubt::TrustUnreachable, Some(Anchor::Content(anchor))) => format!(
                "operator of the gate: check that the gate can read every location that the anchor {} needs \
                 (`why` lists the unread ones); then retry",
                anchor.name()
            ),
            (Doubt::TrustUnreachable, None) => {
                "operator of the gate: check that the store can be read and written; then retry"
                    .to_owned()
            }
            (Doubt::GateBusy(_), _) => {
                "client: retry; operator of the gate: `countersign_limit_reached_total` names the limit that was \
                 reached"
                    .to_owned()
            }
            (Doubt::UpstreamUnreachable, _) => format!(
                "operator of the gate: check that the gate can reach the registry {registry} (`url` and `ca` of its \
                 [[upstream]]); then retry"
            ),
            (Doubt::UpstreamRefused, _) => format!(
                "operator of the gate: give the [[upstream]] of {registry} a `username` and `password_file` \
                 that can read {}",
                self.image.repository.name
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
                "operator of the gate: add a [[rule]] whose `images` match {}",
                image.repository
            ),
            Reason::DeniedByRule => format!(
                "operator of the gate: to serve {image}, remove or narrow the rule for {rule}; a deny rule takes precedence over every other rule"
            ),
            Reason::NoTrustData => {
                let place = match anchor {
                    Some(Anchor::NotaryV1(anchor)) => format!(
                        "if it is signed under another name than {}, set `gun` of the anchor {name}",
                        self.gun(anchor)
                    ),
                    Some(Anchor::Content(_)) | None => {
                        "if it is signed elsewhere, copy its signatures with it to this registry (`cosign \
                         copy`, `oras cp -r`), or set `signature_repository` of the anchor"
                            .to_owned()
                    }
                };
                format!("{}; {place}", self.sign(anchor))
            }
            Reason::TagNotSigned => format!(
                "{}; client: check the spelling of the tag, because other tags of the repository are signed",
                self.sign(anchor)
            ),
            Reason::DigestNotSigned => {
                format!("client: pull a signed tag; {}", self.sign(anchor))
            }
            Reason::SignatureInvalid => format!(
                "{}; operator of the gate: if you trust the key or identity that signed it, add it to the anchor \
                 {name}",
                self.sign(anchor)
            ),
            Reason::SignerMissing => {
                let who = match anchor {
                    Some(Anchor::NotaryV1(anchor)) => {
                        let signers = &anchor.config().signers;
                        signers.iter().map(|role| role.signer()).collect::<Vec<_>>().join(", ")
                    }
                    Some(Anchor::Content(_)) | None => "all signers".to_owned(),
                };
                format!("signers {who}: each sign this digest: {}", self.command(anchor))
            }
            Reason::SignersDisagree => format!(
                "signers of {image}: agree on one image, and all sign its digest: {}",
                self.command(anchor)
            ),
            Reason::Expired => match anchor {
                Some(Anchor::NotaryV1(anchor)) if let Some(archive) = &anchor.config().frozen => {
                    format!(
                        "operator of the gate: the anchor {} is frozen until {}; require another anchor, or freeze \
                         again (`countersign trust freeze`)",
                        anchor.name(),
                        archive.until().day()
                    )
                }
                Some(Anchor::NotaryV1(anchor)) if anchor.config().url.is_none() => format!(
                    "operator of the gate: carry a newer bundle in, with trust data of {} that has not expired, \
                     signed by an exporter of the anchor {}",
                    self.gun(anchor),
                    anchor.name()
                ),
                Some(Anchor::NotaryV1(anchor)) => format!(
                    "owner of the keys of {}: publish again (each `docker push` with \
                     DOCKER_CONTENT_TRUST=1 does); operator of {}: if only the timestamp expired, check that \
                     the Notary signer is running",
                    self.gun(anchor),
                    anchor.config().place()
                ),
                Some(Anchor::Content(_)) | None => {
                    format!("the endorsement expired: {}", self.sign(anchor))
                }
            },
            Reason::RootNotPinned
                if let Some(key) =
                    refusal.unpinned.as_ref().and_then(|root| root.same_key.as_ref()) =>
            {
                format!(
                    "operator of the gate: write \"{key}\" into `root_keys` of the anchor {name} instead of the id \
                     of a certificate: the id of the root key covers every repository that the key signs"
                )
            }
            Reason::RootNotPinned => format!(
                "operator of the gate: ask the owner of the root key whether it was changed; only if so, add the \
                 canonical id of the new key to `root_keys` of the anchor {name}"
            ),
            Reason::WrongRepository => format!(
                "operator of the gate: check that `gun` of the anchor {name} names the signed repository; if it \
                 does, the trust data was copied from another repository and must be signed again"
            ),
            Reason::Rollback if anchor.is_none() => format!(
                "publisher: push and sign a newer image; operator of the gate: if the older image is intended, run \
                 `countersign forget {image}`"
            ),
            Reason::Rollback => format!(
                "{}: the server returns older trust data than before; restore its newest backup, or publish again \
                 until its versions exceed the versions that the gate has seen",
                server(anchor)
            ),
            Reason::MixAndMatch => format!(
                "client: retry in a moment, because a publication may be in progress; {}: if the error persists, restore \
                 one backup of all trust data, or publish again",
                server(anchor)
            ),
            Reason::TrustRemoved => format!(
                "{}: the trust data of this image is gone; restore it; operator of the gate: if it was removed on \
                 purpose, delete the trust memory of the anchor {name} for it (docs/operations.md, \"Trust memory\")",
                server(anchor)
            ),
            Reason::Malformed => match anchor {
                Some(Anchor::NotaryV1(_)) => format!(
                    "{}: the server returns malformed trust data; examine it, and publish again",
                    server(anchor)
                ),
                Some(Anchor::Content(_)) | None => format!(
                    "publisher: build and push {image} again, because the registry has malformed content"
                ),
            },
            Reason::ContentMismatch => format!(
                "operator of the registry {}: its content is not the signed content, so treat the registry as compromised; \
                 push the signed image again from its build, and do not sign the content that is there",
                image.repository.registry
            ),
        }
    }

    /// Asks the publisher to sign, and says how.
    fn sign(&self, anchor: Option<&Anchor>) -> String {
        format!("publisher: sign it ({})", self.command(anchor))
    }

    /// How the anchor's scheme signs this image.
    fn command(&self, anchor: Option<&Anchor>) -> String {
        let ImageRef { repository, reference } = self.image;
        let digest = match reference {
            Reference::Digest(digest) => digest.to_string(),
            Reference::Tag(_) => "DIGEST".to_owned(),
        };
        match anchor {
            Some(Anchor::NotaryV1(anchor)) if anchor.config().url.is_none() => format!(
                "with cosign or notation, and name its anchor in the rule: the anchor {} has no server that accepts \
                 signatures",
                anchor.name()
            ),
            Some(Anchor::NotaryV1(anchor)) => {
                let tag = self.image.tag().map_or("TAG", |tag| tag.as_str());
                format!(
                    "`DOCKER_CONTENT_TRUST=1 DOCKER_CONTENT_TRUST_SERVER={} docker push {}:{tag}`",
                    anchor.config().place().trim_end_matches('/'),
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
                    "`cosign {verb} {repository}@{digest}`: the anchor {} accepts {}",
                    anchor.name(),
                    config.summary()
                )
            }
            Some(Anchor::Content(findings::Anchor::Notation(anchor, _))) => format!(
                "`notation sign {repository}@{digest}`: the anchor {} accepts {}",
                anchor.name(),
                anchor.config().summary()
            ),
            None => "with the keys that the rule requires".to_owned(),
        }
    }

    fn gun(&self, anchor: &notaryv1::Anchor) -> String {
        let gun = anchor.gun(&self.image.repository);
        gun.map_or_else(|_| "a name that Notary does not allow".to_owned(), |gun| gun.to_string())
    }
}

/// Who operates the trust server.
fn server(anchor: Option<&Anchor>) -> String {
    match anchor {
        Some(Anchor::NotaryV1(anchor)) => format!("operator of {}", anchor.config().place()),
        Some(Anchor::Content(_)) | None => "operator of the registry".to_owned(),
    }
}

#[cfg(test)]
mod tests;
