//! The record of each decision that reached a client.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use countersign::audit::recent::KEPT;
use countersign::audit::{Record, RequestInfo};
use countersign::oci::{Digest, ImageRef};
use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::proxy::stand;
use crate::wire::body;

/// Collects log events.
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
    /// Collects events from now on, until the guard is dropped. The runtime of a test is a single thread, so this
    /// includes all its tasks.
    pub(crate) fn is_written(&self) -> DefaultGuard {
        // With only one subscriber, tracing caches an event that first occurs in a thread without it as disabled, for
        // all threads.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing_subscriber::fmt().with_writer(io::sink).finish().into());
        let json = tracing_subscriber::fmt().json().flatten_event(true).with_writer(self.clone());
        tracing::subscriber::set_default(json.finish())
    }

    /// Every event since the last call.
    pub(crate) fn all(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    }

    /// The audit events since the last call, without the fields that always differ.
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
            // With `would`, the sentence belongs to the expected event.
            if !fields.contains_key("would") {
                let sentence = fields.remove("because");
                assert_eq!(sentence.is_some(), fields["verdict"] != "admitted", "{fields:?}");
            }
        }
        events
    }
}

/// The file and the log contain the same records.
#[tokio::test]
async fn a_recorded_decision_has_its_event_and_the_text_of_a_denial() {
    let stand = stand().await;
    let page = Page::default();
    let _here = page.is_written();
    for (name, sentence) in [
        ("open/app", None),
        (
            "shut/app",
            Some("r.example/shut/app:v1 is denied: the rule for */shut/** denies it: a test"),
        ),
    ] {
        stand.served.request("GET", &format!("/v2/{name}/manifests/v1"), "").await;
        let mut events = page.all();
        events.retain(|event| event["target"] == "countersign::audit");
        let [mut event] = events.try_into().unwrap();
        let id = event["request_id"].as_str().unwrap().parse().unwrap();
        let record = stand.audit.recent().find(id).unwrap();
        let mut record = serde_json::to_value(&*record).unwrap();
        let because = record.as_object_mut().unwrap().remove("because");
        assert_eq!(because.as_ref().and_then(Value::as_str), sentence);
        assert_eq!(event.as_object_mut().unwrap().remove("because"), because);
        // The log has its own clock.
        for reported in [&mut event, &mut record] {
            assert!(reported.as_object_mut().unwrap().remove("timestamp").is_some());
        }
        assert_eq!(record, event);
    }
}

#[tokio::test]
async fn many_admissions_do_not_evict_recorded_denials() {
    let stand = stand().await;
    let denied = stand.served.request("GET", "/v2/shut/app/manifests/v1", "").await;
    let denied: Value = serde_json::from_str(body(&denied)).unwrap();
    let id = denied["errors"][0]["detail"]["request_id"].as_str().unwrap().parse().unwrap();
    let image: ImageRef = "r.example/open/app:v1".parse().unwrap();
    let admitted = stand.generations.current().gate.admit(&image).await.unwrap();
    let client = "127.0.0.1:1".parse().unwrap();
    let mut first = None;
    for _ in 0..=KEPT {
        let asked = RequestInfo {
            client,
            user: None,
            listener: None,
            id: stand.audit.name(),
            started: Instant::now(),
        };
        first.get_or_insert(asked.id);
        stand.audit.record(Record::admitted(asked, stand.audit.now(), &image, &admitted));
    }
    assert!(stand.audit.recent().find(first.unwrap()).is_none());
    assert!(stand.audit.recent().find(id).is_some());
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
    // Invalid requests and content that upstream does not have are not decisions.
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

#[tokio::test]
async fn a_denied_tag_list_is_not_recorded_as_a_pull_of_latest() {
    let stand = stand().await;
    let page = Page::default();
    let _here = page.is_written();
    let answer = stand.served.request("GET", "/v2/shut/app/tags/list", "").await;
    let answer: Value = serde_json::from_str(body(&answer)).unwrap();
    let error = &answer["errors"][0];
    assert_eq!(error["detail"]["image"], "r.example/shut/app");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("r.example/shut/app is denied: "), "{message}");
    assert_eq!(
        page.events(),
        [json!({
            "message": "verdict", "verdict": "refused", "reason": "denied_by_rule",
            "rule": "*/shut/**", "image.registry": "r.example", "image.repository": "shut/app",
            "operation": "tags",
        })]
    );
}

#[tokio::test]
async fn a_denied_blob_is_recorded_as_a_blob() {
    let stand = stand().await;
    let page = Page::default();
    let _here = page.is_written();
    let digest = Digest::of(&stand.content.blob).to_string();
    stand.served.request("GET", &format!("/v2/shut/app/blobs/{digest}"), "").await;
    let events = page.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (&events[0]["operation"], &events[0]["image.reference"]),
        (&json!("blob"), &json!(digest))
    );
}
