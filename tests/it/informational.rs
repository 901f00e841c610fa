//! An upstream that sends informational responses (1xx) forever, and never a final one.

use std::time::Duration;

use countersign::oci::Repository;
use countersign::registry_client::{self, Page, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::fake_registry::REGISTRY;

/// Longer than any step of this test, and shorter than the time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_sends_endless_103_responses_is_disconnected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
        let mut connections = 0;
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connections += 1;
            assert_eq!(connections, 1, "the request was retried");
            let mut request = [0; 16];
            connection.read_exact(&mut request).await.unwrap();
            while connection.write_all(hints.as_bytes()).await.is_ok() {}
        }
    });
    let config = registry_client::Config::new(REGISTRY.parse().unwrap(), url);
    let upstream = Upstream::new(&config, &registry_client::Metrics::default()).unwrap();
    let app: Repository = "library/app".parse().unwrap();
    let page = Page::default();
    let answer = tokio::time::timeout(PATIENCE, upstream.tags(&app, &page)).await;
    let error = answer.expect("the gate still waits for an answer").unwrap_err().to_string();
    assert!(error.contains("more than 16 informational responses"), "{error}");
    assert!(!server.is_finished());
    server.abort();
}
