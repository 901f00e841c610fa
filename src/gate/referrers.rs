//! The list of referrers of an admitted manifest. The gate writes it from those entries of the upstream's list that it
//! could serve. It never passes on the upstream's bytes, which may contain whole manifests.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::denial::Denial;
use super::kinds::could_be_listed;
use super::{Shared, artifacts, deny};
use crate::json::{Document, Value};
use crate::oci::manifest::{MAX_MANIFEST, MAX_VALUES};
use crate::oci::{Digest, ImageRef, Manifest, MediaType};
use crate::parsing;
use crate::policy::Artifacts;
use crate::pull_through::FetchError;
use crate::registry_client::{Page, Referrers, UpstreamError, Violation};

/// One page of referrers, made by the gate.
#[derive(Clone, Debug)]
pub struct ReferrerList {
    bytes: Bytes,
    /// The filters that the upstream applied (`OCI-Filters-Applied`).
    pub filters_applied: Option<String>,
    pub next: Option<Page>,
}

impl ReferrerList {
    /// An empty list.
    pub fn none() -> Self {
        Self { bytes: index(&[]), filters_applied: None, next: None }
    }

    /// The index in the response.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The entries of the index `list` that could be served. The gate decides about each when a client fetches it by
    /// digest. An invalid list is an error and not an empty list.
    async fn of(list: Bytes, artifacts: Artifacts) -> Result<Self, FetchError> {
        let length = list.len();
        let rebuild = move || rebuild(&list, artifacts);
        let bytes = parsing::run(length, Manifest::most_memory(length), rebuild).await;
        let bytes = bytes.map_err(|violation| FetchError::from(UpstreamError::from(violation)))?;
        Ok(Self { bytes, filters_applied: None, next: None })
    }
}

impl Shared {
    /// One page of the referrers of `subject`, which is admitted: from the upstream's list, otherwise from the one that
    /// clients keep under the tag `sha256-<hex>`. `rule` is the value of `artifacts` in the rule that admitted it.
    pub(super) async fn listed_referrers(
        &self,
        image: &ImageRef,
        subject: &Digest,
        rule: Artifacts,
        (artifact_type, page): (Option<&str>, &Page),
    ) -> Result<ReferrerList, Denial> {
        let artifacts = if self.serves_any_digest(image) { Artifacts::All } else { rule };
        let upstream = self.pull_through.upstream(&image.repository.registry);
        let upstream = upstream.map_err(|error| deny::fetch(image, None, error))?;
        let listed = upstream.referrers(&image.repository.name, subject, artifact_type, page).await;
        match listed.map_err(|error| deny::fetch(image, None, error.into()))? {
            Some(listed) => {
                let Referrers { filters_applied, next, .. } = &listed;
                let (filters_applied, next) = (filters_applied.clone(), next.clone());
                let list = ReferrerList::of(listed.into_bytes(), artifacts).await;
                let list = list.map_err(|error| deny::fetch(image, None, error))?;
                Ok(ReferrerList { filters_applied, next, ..list })
            }
            None => self.tagged_referrers(image, subject, artifacts).await,
        }
    }

    /// The referrers in the index under the tag `sha256-<hex>` (distribution-spec, "Referrers Tag Schema").
    async fn tagged_referrers(
        &self,
        image: &ImageRef,
        subject: &Digest,
        artifacts: Artifacts,
    ) -> Result<ReferrerList, Denial> {
        let ImageRef { repository, .. } = image;
        let Some(tag) = artifacts::list_of(subject) else { return Ok(ReferrerList::none()) };
        match self.pull_through.tagged(repository, &tag, MAX_MANIFEST).await {
            Ok(list) if list.manifest().media_type() == MediaType::OciIndex => {
                let list = ReferrerList::of(list.bytes().clone(), artifacts).await;
                list.map_err(|error| deny::fetch(image, None, error))
            }
            Ok(_) => Ok(ReferrerList::none()),
            Err(FetchError::Upstream(UpstreamError::Absent { .. })) => Ok(ReferrerList::none()),
            Err(FetchError::Invalid(error)) => {
                // An invalid manifest is an error and not an empty list.
                let violation = UpstreamError::from(Violation::Manifest(error));
                Err(deny::fetch(image, None, violation.into()))
            }
            Err(error) => Err(deny::fetch(image, None, error)),
        }
    }

    /// Whether an allow or audit rule serves every digest of the repository, signed or not.
    pub(super) fn serves_any_digest(&self, image: &ImageRef) -> bool {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.repository, None, now);
        chosen.is_some_and(|chosen| chosen.serves_every_digest())
    }
}

fn rebuild(list: &[u8], artifacts: Artifacts) -> Result<Bytes, Violation> {
    let parsed = Document::parse_within(list, MAX_VALUES);
    let parsed = parsed.map_err(|error| Violation::Json(Arc::new(error)))?;
    let entries = parsed.root().member("manifests").ok_or(Violation::Missing("manifests"))?;
    // Go encodes an empty list as null.
    let entries = entries.as_array().into_iter().flatten();
    let rebuilt: Vec<Json> = entries.filter_map(|entry| rebuilt(entry, artifacts)).collect();
    Ok(index(&rebuilt))
}

fn index(manifests: &[Json]) -> Bytes {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests,
    });
    index.to_string().into()
}

/// The entry, rebuilt from its known members, if it could be served.
fn rebuilt(entry: Value<'_>, artifacts: Artifacts) -> Option<Json> {
    let text = |name: &str| entry.member(name).and_then(Value::as_str);
    let stated = text("artifactType");
    if text("mediaType") != Some(MediaType::OciImage.as_str())
        || !could_be_listed(stated, artifacts)
    {
        return None;
    }
    let digest: Digest = text("digest")?.parse().ok()?;
    let size = u64::try_from(entry.member("size")?.as_integer()?).ok()?;
    let mut rebuilt = json!({
        "mediaType": MediaType::OciImage.as_str(),
        "digest": digest.to_string(),
        "size": size,
    });
    if let Some(stated) = stated {
        rebuilt["artifactType"] = json!(stated);
    }
    let annotations = entry.member("annotations").and_then(Value::as_object);
    if let Some(annotations) = annotations.filter(|annotations| !annotations.is_empty()) {
        let texts =
            annotations.iter().map(|(name, value)| Some((name.to_owned(), json!(value.as_str()?))));
        rebuilt["annotations"] = Json::Object(texts.collect::<Option<Map<_, _>>>()?);
    }
    Some(rebuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Json {
        json!({"mediaType": MediaType::OciImage.as_str(), "digest": Digest::of(b"x").to_string(),
               "size": 1, "artifactType": "application/spdx+json", "annotations": {"a": "b"}})
    }

    fn entries(list: &[Json], artifacts: Artifacts) -> Json {
        let list = json!({"schemaVersion": 2, "manifests": list}).to_string();
        let built: Json =
            serde_json::from_slice(&rebuild(list.as_bytes(), artifacts).unwrap()).unwrap();
        built["manifests"].clone()
    }

    #[test]
    fn an_entry_keeps_what_clients_need_and_nothing_else() {
        let mut more = entry();
        for name in ["data", "urls", "platform", "other"] {
            more[name] = json!("x");
        }
        assert_eq!(entries(&[more], Artifacts::Listed), json!([entry()]));
    }

    #[test]
    fn an_entry_that_could_not_be_served_is_left_out() {
        for (name, value) in [
            ("mediaType", json!(MediaType::OciIndex.as_str())),
            ("mediaType", json!(MediaType::DockerImage.as_str())),
            ("mediaType", json!("application/vnd.oci.image.manifest.v1+json;a=b")),
            ("artifactType", json!("application/vnd.cncf.helm.config.v1+json")),
            ("digest", json!("sha256:0")),
            ("size", json!(-1)),
            ("annotations", json!({"a": {"b": "c"}})),
        ] {
            let mut entry = entry();
            entry[name] = value;
            assert_eq!(entries(&[entry.clone()], Artifacts::Listed), json!([]), "{entry}");
        }
        let mut chart = entry();
        chart["artifactType"] = json!("application/vnd.cncf.helm.config.v1+json");
        assert_eq!(entries(&[chart.clone()], Artifacts::All), json!([chart]));
    }

    #[test]
    fn an_invalid_list_is_an_error_and_not_an_empty_list() {
        let none = ReferrerList::none().into_bytes();
        assert_eq!(rebuild(br#"{"manifests":null}"#, Artifacts::All).unwrap(), none);
        for answer in ["no list", "{}", "<html>", r#"{"errors":[]}"#] {
            assert!(rebuild(answer.as_bytes(), Artifacts::All).is_err(), "{answer}");
        }
    }
}
