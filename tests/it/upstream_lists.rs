//! Tag lists and lists of referrers, as the registry client parses them.

use countersign::oci::{Digest, MediaType, Repository, Tag};
use countersign::registry_client::{Page, UpstreamError};
use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, LINK};

use crate::fake_registry::{FakeRegistry, Fault, respond, with};

fn app() -> Repository {
    "library/app".parse().unwrap()
}

/// A registry with `library/app:v1`, and the digest of that image.
async fn with_app() -> (FakeRegistry, Digest) {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.registry().put_tag(&app(), "v1".parse().unwrap(), digest);
    (fake, digest)
}

#[tokio::test]
async fn tags_are_listed_page_by_page() {
    let (fake, digest) = with_app().await;
    for tag in ["v2", "v3"] {
        fake.registry().put_tag(&app(), tag.parse().unwrap(), digest);
    }
    let upstream = fake.upstream();
    let first = upstream.tags(&app(), &Page::parse("n=2")).await.unwrap();
    assert_eq!(first.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v1", "v2"]);
    let second = upstream.tags(&app(), &first.next.unwrap()).await.unwrap();
    assert_eq!(second.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v3"]);
    assert_eq!(second.next, None);
    let all = upstream.tags(&app(), &Page::default()).await.unwrap();
    assert_eq!(all.tags.len(), 3);
}

#[tokio::test]
async fn a_tag_list_link_is_not_followed_elsewhere_and_only_tags_are_returned() {
    let (fake, _) = with_app().await;
    fake.hook(|_| {
        let list = r#"{"name":"other","tags":["v1","../x","","v 2",7,null,"v2"]}"#;
        let link = r#"<http://169.254.169.254/v2/evil?n=2&last=v2&x=y>; rel="next""#;
        Some(Fault::Respond(with(respond(200, list), LINK, link)))
    });
    let page = fake.upstream().tags(&app(), &Page::default()).await.unwrap();
    assert_eq!(page.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(page.next.unwrap().to_query(), "n=2&last=v2&x=y");
}

#[tokio::test]
async fn an_invalid_tag_list_is_refused() {
    for body in ["", "[]", "{}", r#"{"tags":"v1"}"#, r#"{"tags":[],"tags":["v1"]}"#] {
        let (fake, _) = with_app().await;
        fake.hook(move |_| Some(Fault::Respond(respond(200, body))));
        let error = fake.upstream().tags(&app(), &Page::default()).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{body}: {error}");
    }
    let (fake, _) = with_app().await;
    fake.hook(|_| Some(Fault::Respond(respond(200, r#"{"name":"a","tags":null}"#))));
    assert!(fake.upstream().tags(&app(), &Page::default()).await.unwrap().tags.is_empty());
}

#[tokio::test]
async fn referrers_are_an_index_and_a_404_means_no_api() {
    let (fake, subject) = with_app().await;
    let signature = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(), "artifactType": "a/signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
                   "digest": Digest::of(b"{}").to_string(), "size": 2},
        "layers": [],
        "subject": {"mediaType": MediaType::OciImage.as_str(), "digest": subject.to_string(),
                    "size": 1},
    });
    let signature =
        fake.registry().put_manifest(&app(), MediaType::OciImage.as_str(), signature.to_string());
    let upstream = fake.upstream();
    let ask = |artifact_type| {
        let upstream = upstream.clone();
        async move { upstream.referrers(&app(), &subject, artifact_type, &Page::default()).await }
    };
    let all = ask(None).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(all.bytes()).contains(&signature.to_string()));
    assert_eq!(all.filters_applied, None);
    let others = ask(Some("a/other")).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(others.bytes()).contains(&signature.to_string()));
    assert_eq!(others.filters_applied.as_deref(), Some("artifactType"));
    fake.hook(|_| Some(Fault::Respond(respond(404, ""))));
    assert!(ask(None).await.unwrap().is_none());
    fake.hook(|_| {
        let index = respond(200, r#"{"schemaVersion":2,"manifests":[]}"#);
        let index = with(index, CONTENT_TYPE, MediaType::OciIndex.as_str());
        Some(Fault::Respond(with(index, LINK, r#"</x?last=abc>; rel="next""#)))
    });
    let page = ask(None).await.unwrap().unwrap();
    assert_eq!(page.next.unwrap().to_query(), "last=abc");
}

#[tokio::test]
async fn identical_concurrent_list_requests_ask_upstream_once() {
    let (fake, subject) = with_app().await;
    let (upstream, app, page) = (fake.upstream(), app(), Page::default());
    let tags = join_all((0..8).map(|_| upstream.tags(&app, &page))).await;
    assert!(tags.iter().all(|page| page.as_ref().unwrap().tags.len() == 1));
    assert_eq!(fake.asked_for("/tags/list").len(), 1);
    let other = Page::parse("n=5");
    let (one, two) = tokio::join!(upstream.tags(&app, &page), upstream.tags(&app, &other));
    assert_eq!((one.unwrap().tags.len(), two.unwrap().tags.len()), (1, 1));
    assert_eq!(fake.asked_for("/tags/list").len(), 3);
    let referrers = (0..8).map(|_| upstream.referrers(&app, &subject, None, &page));
    assert!(join_all(referrers).await.iter().all(|page| page.as_ref().unwrap().is_some()));
    assert_eq!(fake.asked_for(&format!("/referrers/{subject}")).len(), 1);
}

#[tokio::test]
async fn referrers_that_are_not_an_oci_index_are_refused() {
    let image_index = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (media_type, body) in [
        (MediaType::OciIndex.as_str(), "<html>"),
        (MediaType::OciIndex.as_str(), r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#),
        (MediaType::DockerIndex.as_str(), image_index),
        (MediaType::OciImage.as_str(), image_index),
        ("text/html", image_index),
    ] {
        let (fake, subject) = with_app().await;
        fake.hook(move |_| {
            Some(Fault::Respond(with(respond(200, body), CONTENT_TYPE, media_type)))
        });
        let answer = fake.upstream().referrers(&app(), &subject, None, &Page::default()).await;
        let error = answer.unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{media_type}: {error}");
    }
}
