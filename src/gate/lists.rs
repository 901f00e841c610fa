//! The list of tags, without those that the gate would not serve, and the list of referrers of an admitted manifest
//! ([`super::referrers`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::oci::{Digest, ImageRef, RepositoryRef, Tag};
use crate::policy::{Answers, Artifacts, Requirement};
use crate::registry_client::{Page, TagPage};
use crate::trust::{SignedNames, Unendorsed};

use super::denial::Denial;
use super::referrers::ReferrerList;
use super::resource::Resource;
use super::{Gate, deny};

/// A manifest that was admitted, and whose referrers may be listed.
pub struct Subject {
    image: ImageRef,
    digest: Digest,
    artifacts: Artifacts,
}

impl Gate {
    /// One page of the upstream's tags, without those that the gate would not serve.
    pub async fn tags(&self, repository: &RepositoryRef, page: &Page) -> Result<TagPage, Denial> {
        let shared = &self.shared;
        let list = Resource::tag_list(repository);
        if !shared.policy.serves(repository, shared.clock.now()) {
            return Err(shared.unserved(&list));
        }
        let _pass = self.pass_for_list(&list).await?;
        let names = shared.names(repository).await;
        let upstream = shared.pull_through.upstream(&repository.registry);
        let upstream = upstream.map_err(|error| deny::fetch(&list, None, error))?;
        let listed = upstream.tags(&repository.name, page).await;
        let TagPage { tags, next } =
            listed.map_err(|error| deny::fetch(&list, None, error.into()))?;
        let names = names.into_iter().collect();
        let mut served = Vec::with_capacity(tags.len());
        for tag in tags.iter() {
            if shared.lists(&list, tag, &names)? {
                served.push(tag.clone());
            }
        }
        Ok(TagPage { tags: served.into(), next })
    }

    /// The manifest `subject`, if it is admitted.
    pub async fn subject(
        &self,
        repository: &RepositoryRef,
        subject: &Digest,
    ) -> Result<Subject, Denial> {
        let image = ImageRef::by_digest(repository, subject);
        let artifacts = self.admit(&image).await?.artifacts();
        Ok(Subject { image, digest: *subject, artifacts })
    }

    /// One page of the referrers of an admitted manifest. If the upstream has no referrers API, the list comes from the
    /// tag under which clients keep it: clients read that tag only if the referrers API answers 404, and the gate
    /// always answers it. Without either, the list is empty.
    pub async fn referrers(
        &self,
        Subject { image, digest, artifacts }: Subject,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<ReferrerList, Denial> {
        let _pass = self.pass_for_list(&Resource::from(&image)).await?;
        self.shared.listed_referrers(&image, &digest, artifacts, (artifact_type, page)).await
    }
}

impl super::Shared {
    /// Whether the gate would serve `tag`, by its rule and trust data; an error if it cannot tell.
    fn lists(
        &self,
        list: &Resource,
        tag: &Tag,
        names: &BTreeMap<Arc<str>, Result<SignedNames<'_>, Unendorsed>>,
    ) -> Result<bool, Denial> {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&list.repository, Some(tag), now);
        let Some(chosen) = chosen else { return Ok(false) };
        if chosen.serves_every_digest() {
            return Ok(true);
        }
        let Some(required) = chosen.required() else { return Ok(false) };
        let of_names;
        let requirement = if required.content.is_empty() {
            &*required
        } else {
            of_names = required.of_names();
            &of_names
        };
        let answers = answers(requirement, tag, names);
        match requirement.judge(&answers, &requirement.named(&answers)) {
            Ok(met) => Ok(!met.iter().any(|one| self.is_denied(&list.repository, &one.digest()))),
            Err(unmet) if unmet.why.is_open() => {
                Err(deny::unmet(list, Some(chosen.pattern()), unmet, &self.trust, self.clock.now()))
            }
            Err(_) => Ok(false),
        }
    }
}

fn answers(
    requirement: &Requirement,
    tag: &Tag,
    names: &BTreeMap<Arc<str>, Result<SignedNames<'_>, Unendorsed>>,
) -> Answers {
    let answer = |anchor: &Arc<str>| {
        let signed = names.get(anchor)?;
        let answer = match signed {
            Ok(signed) => signed.tag(tag).map_err(Unendorsed::Refused),
            Err(why) => Err(why.clone()),
        };
        Some((anchor.clone(), answer))
    };
    Answers::of_names(requirement.anchors().filter_map(answer).collect())
}
