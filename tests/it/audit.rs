//! What is recorded of every decision that reached a client.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use countersign::oci::Digest;
use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::proxy::stand;

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

pub(crate) struct Pen<'a>(MutexGuard<'a, Vec<u8>>);

impl Write for Pen<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen(self.0.lock().unwrap())
    }
}

impl Page {
    /// Has it written from now on, until the guard is dropped. A test's runtime is its one thread, and so
    /// is all that it spawns.
    pub(crate) fn is_written(&self) -> DefaultGuard {
        let json = tracing_subscriber::fmt().json().flatten_event(true).with_writer(self.clone());
        tracing::subscriber::set_default(json.finish())
    }

    /// Every event since the last time.
    pub(crate) fn all(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    }

    /// The audit events since the last time, without what is different each time.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events = self.all();
        events.retain(|event| event["target"] == "countersign::audit");
        for event in &mut events {
            let fields = event.as_object_mut().unwrap();
            assert_eq!(fields.remove("level"), Some("INFO".into()));
            assert!(fields.remove("timestamp").unwrap().is_string());
            assert!(fields.remove("duration_ms").unwrap().as_f64().unwrap() >= 0.0);
            assert_eq!(fields.remove("request_id").unwrap().as_str().unwrap().len(), 16);
            let client = fields.remove("client.address").unwrap();
            assert!(client.as_str().unwrap().starts_with("127.0.0.1:"));
            fields.remove("target");
        }
        events
    }
}

#[tokio::test]
async fn each_decision_is_one_event_and_one_count() {
    let stand = stand().await;
    let page = Page::default();
    let _here = page.is_written();

    let digest = Digest::of(&stand.content.manifest).to_string();
    for method in ["GET", "HEAD"] {
        stand.served.request(method, "/v2/open/app/manifests/v1", "").await;
        assert_eq!(
            page.events(),
            [json!({
                "message": "verdict", "verdict": "admitted", "rule": "*/open/**",
                "image.registry": "r.example", "image.repository": "open/app",
                "image.reference": "v1", "manifest.digest": digest,
            })]
        );
    }
    stand.served.request("GET", &format!("/v2/shut/app/manifests/{digest}"), "").await;
    assert_eq!(
        page.events(),
        [json!({
            "message": "verdict", "verdict": "refused", "reason": "denied_by_rule",
            "rule": "*/shut/**", "image.registry": "r.example", "image.repository": "shut/app",
            "image.reference": digest, "manifest.digest": digest,
        })]
    );
    // What is asked wrongly, and what upstream does not have, is no decision.
    for target in ["/v2/", "/v2/A/manifests/v1", "/v2/open/app/manifests/none"] {
        stand.served.request("GET", target, "").await;
        assert_eq!(page.events(), Vec::<Value>::new(), "{target}");
    }
    let blob = Digest::of(&stand.content.blob);
    stand.served.request("GET", &format!("/v2/open/app/blobs/{blob}"), "").await;

    let mut text = String::new();
    encode(&mut text, &stand.registry).unwrap();
    for line in [
        r#"countersign_verdicts_total{verdict="admitted",reason="",scheme=""} 2"#,
        r#"countersign_verdicts_total{verdict="refused",reason="denied_by_rule",scheme=""} 1"#,
        r#"countersign_requests_total{route="manifest",status="200"} 2"#,
        r#"countersign_requests_total{route="manifest",status="404"} 2"#,
        r#"countersign_requests_total{route="malformed",status="400"} 1"#,
        r#"countersign_request_duration_seconds_count{route="base"} 1"#,
        r#"countersign_blob_bytes_total{source="upstream"} 800000"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
