//! What is attached to an image is copied completely, or the image is undecided.

use countersign::oci::Digest;
use http::header::{CONTENT_TYPE, LINK};

use super::Exporter;
use crate::attached::{BUNDLE, MINE, key_bundle, put_referrer};
use crate::fake_registry::{Fault, respond, with};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// What `bundle create` returns if the registry answers requests for referrers as `answer` says: for the first page and for
/// the second.
async fn exit_status(answer: impl Fn(bool) -> Fault + Send + Sync + 'static) -> u8 {
    let exporter = Exporter::new().await;
    let manifest = exporter.push_cosigned("v1", "one");
    let statement = key_bundle(&manifest, &MINE).to_string().into_bytes();
    put_referrer(&exporter.world.registry, &manifest, BUNDLE, BUNDLE, &statement);
    let list = format!("/referrers/{}", Digest::of(&manifest));
    exporter.world.registry.hook(move |asked| {
        asked.path.ends_with(&list).then(|| answer(!asked.query.contains("last=a")))
    });
    let created = exporter.create(&exporter.order("a.tar", &["v1"])).await.unwrap();
    assert_eq!(exporter.path("a.tar").exists(), created.exit_status() == 0, "{created}");
    created.exit_status()
}

#[tokio::test]
async fn a_web_page_instead_of_referrers_makes_the_image_undecided() {
    for status in [200, 404, 400] {
        let page = move |_| {
            Fault::Respond(with(respond(status, "<html></html>"), CONTENT_TYPE, "text/html"))
        };
        assert_eq!(exit_status(page).await, 4, "{status}");
    }
}

#[tokio::test]
async fn a_later_page_that_is_no_list_makes_the_image_undecided() {
    for (status, content_type, body) in [
        (404, "text/plain", "404 page not found"),
        (404, "application/json", r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
        (400, "text/plain", ""),
        (404, "text/html", "<html></html>"),
        (200, "text/html", "<html></html>"),
    ] {
        let pages = move |is_first| {
            if is_first {
                let list = with(respond(200, EMPTY), CONTENT_TYPE, INDEX);
                return Fault::Respond(with(list, LINK, r#"</x?last=a>; rel="next""#));
            }
            Fault::Respond(with(respond(status, body), CONTENT_TYPE, content_type))
        };
        assert_eq!(exit_status(pages).await, 4, "{status} {content_type}");
    }
}

#[tokio::test]
async fn a_registry_without_the_api_has_no_referrers() {
    let absent = |_| Fault::Respond(respond(404, "404 page not found"));
    assert_eq!(exit_status(absent).await, 0);
}
