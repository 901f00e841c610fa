//! Network requests for revocation: what is requested, how often, which addresses are forbidden, and the effect of an
//! outage.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::clock::Timestamp;
use countersign::http_client::Proxies;
use countersign::oci::Registry;
use countersign::trust::notation::{Anchor, Proven, RevocationClient};
use countersign::trust::{Rejection, Subject};
use futures_util::future::join_all;
use rcgen::CrlDistributionPoint;
use url::Url;

use super::site::{JWS, candidate, now, subject, trusting};
use crate::fake_registry::{FakeRegistry, Fault, respond};
use crate::notation_authority::{Response, crl, responder_at, revoked};
use crate::notation_signer::{Certified, DAY, Kind, NOW, Signing, at};

/// A root whose CRL is at `/root.crl` of a server, and a signer below it.
struct Site {
    server: FakeRegistry,
    list: Arc<Mutex<Vec<u8>>>,
    root: Certified,
    signer: Certified,
    strict: Anchor,
    responder: RevocationClient,
}

/// A responder of a gate with these upstreams.
fn responder_of(upstreams: &[(&str, &str)]) -> RevocationClient {
    let upstreams: Vec<(Registry, Url)> = upstreams
        .iter()
        .map(|(registry, url)| (registry.parse().unwrap(), url.parse().unwrap()))
        .collect();
    let upstreams = upstreams.iter().map(|(registry, url)| (registry, url, None));
    RevocationClient::new(upstreams, &Proxies::none()).unwrap()
}

async fn site() -> Site {
    let server = FakeRegistry::start().await;
    let root = Certified::root("root");
    let url = format!("{}/root.crl", server.url("127.0.0.1"));
    let signer = root.issue("signer", Kind::P256, |params| {
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url] }];
    });
    let list = Arc::new(Mutex::new(crl(&root, |_| {})));
    let given = list.clone();
    server.hook(move |_| Some(Fault::Respond(respond(200, given.lock().unwrap().clone()))));
    let strict = trusting(&root, "revocation = \"check\"");
    let responder = responder_of(&[("registry.example.com", "http://127.0.0.1:1")]);
    Site { server, list, root, signer, strict, responder }
}

impl Site {
    async fn judge(&self, anchor: &Anchor, now: Timestamp) -> Result<Proven, Rejection> {
        let candidate = candidate(JWS, Signing::new(&self.signer, &subject()).jws());
        self.responder.judge(anchor, &candidate, &subject(), now).await
    }

    fn undecided(&self, verdict: Result<Proven, Rejection>, reported: &str) {
        let shown = format!("{verdict:?}");
        let Err(Rejection::Undecided(why)) = verdict else { panic!("{shown}") };
        assert!(why.contains(reported), "{reported}: {why}");
    }
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds)
}

#[tokio::test]
async fn a_crl_is_asked_for_once_and_kept() {
    let site = site().await;
    for _ in 0..3 {
        site.judge(&site.strict, now()).await.unwrap();
    }
    assert_eq!(site.server.asked_for("/root.crl").len(), 1);
}

#[tokio::test]
async fn those_who_come_at_once_wait_for_one_answer() {
    let site = site().await;
    let verdicts = join_all((0..20).map(|_| site.judge(&site.strict, now()))).await;
    assert!(verdicts.iter().all(Result::is_ok));
    assert_eq!(site.server.asked_for("/root.crl").len(), 1);
}

#[tokio::test]
async fn a_revocation_is_found_over_the_network() {
    let site = site().await;
    *site.list.lock().unwrap() =
        crl(&site.root, |params| params.revoked_certs = vec![revoked(&site.signer)]);
    let refused = site.judge(&site.strict, now()).await.unwrap_err();
    assert!(matches!(refused, Rejection::Flawed(flaw) if flaw.check == "revocation"));
}

#[tokio::test]
async fn ocsp_is_asked_by_get_with_the_request_in_the_path() {
    let server = FakeRegistry::start().await;
    let root = Certified::root("root");
    let url = server.url("127.0.0.1");
    let signer = root.issue("signer", Kind::P256, |params| {
        params.custom_extensions.push(responder_at(&format!("{url}/ocsp/")));
    });
    let said = Response::good(&root, &signer).der();
    server.hook(move |_| Some(Fault::Respond(respond(200, said.clone()))));
    let responder = responder_of(&[("registry.example.com", "http://127.0.0.1:1")]);
    let candidate = candidate(JWS, Signing::new(&signer, &subject()).jws());
    let anchor = trusting(&root, "revocation = \"check\"");
    responder.judge(&anchor, &candidate, &subject(), now()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.starts_with("/ocsp/M") && asked[0].path.len() < 255, "{asked:?}");
}

#[tokio::test]
async fn an_outage_denies_when_strict_and_warns_when_permissive() {
    let site = site().await;
    site.server.hook(|_| Some(Fault::Respond(respond(503, ""))));
    site.undecided(site.judge(&site.strict, now()).await, "503");
    let permissive = trusting(&site.root, "level = \"permissive\"\nrevocation = \"check\"");
    let proven = site.judge(&permissive, now()).await.unwrap();
    assert_eq!(proven.tolerated[0].check, "revocation");
    site.server.hook(|_| Some(Fault::Drop));
    site.undecided(site.judge(&site.strict, later(6)).await, "127.0.0.1");
}

#[tokio::test]
async fn an_outage_is_forgotten_when_the_server_is_back() {
    let site = site().await;
    site.server.hook(|_| Some(Fault::Respond(respond(503, ""))));
    site.judge(&site.strict, now()).await.unwrap_err();
    let given = site.list.lock().unwrap().clone();
    site.server.hook(move |_| Some(Fault::Respond(respond(200, given.clone()))));
    site.judge(&site.strict, later(4)).await.unwrap_err();
    site.judge(&site.strict, later(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    let site = site().await;
    site.server.hook(|_| Some(Fault::Silence));
    let begun = tokio::time::Instant::now();
    site.undecided(site.judge(&site.strict, now()).await, "in time");
    assert!(begun.elapsed() <= Duration::from_secs(10));
}

#[tokio::test]
async fn an_endless_crl_is_not_read() {
    let site = site().await;
    *site.list.lock().unwrap() = vec![0x30; (8 << 20) + 1];
    site.undecided(site.judge(&site.strict, now()).await, "exceeds");
}

/// The first upstream is on this machine; the one of the image is not.
#[tokio::test]
async fn an_upstream_of_another_image_opens_no_private_address() {
    let site = site().await;
    let candidate = candidate(JWS, Signing::new(&site.signer, &subject()).jws());
    for first in ["a.example.com", "z.example.com"] {
        let upstreams =
            [(first, "http://127.0.0.1:1"), ("registry.example.com", "http://192.0.2.1")];
        let responder = responder_of(&upstreams);
        let verdict = responder.judge(&site.strict, &candidate, &subject(), now()).await;
        site.undecided(verdict, "not a public address");
        // What was asked for an image of that registry is no answer for this one.
        let repository = format!("{first}/library/app").parse().unwrap();
        let local = Subject { repository, ..subject() };
        drop(responder.judge(&site.strict, &candidate, &local, now()).await);
        let verdict = responder.judge(&site.strict, &candidate, &subject(), now()).await;
        site.undecided(verdict, "not a public address");
    }
}

#[tokio::test]
async fn a_certificate_does_not_send_us_behind_the_firewall() {
    let site = site().await;
    let outside = responder_of(&[("registry.example.com", "http://registry.example.com")]);
    let candidate = candidate(JWS, Signing::new(&site.signer, &subject()).jws());
    let verdict = outside.judge(&site.strict, &candidate, &subject(), now()).await;
    site.undecided(verdict, "not a public address");
    assert_eq!(site.server.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_in_use_is_refreshed_beside_its_use() {
    let site = site().await;
    site.judge(&site.strict, now()).await.unwrap();
    *site.list.lock().unwrap() = crl(&site.root, |params| {
        params.next_update = at(NOW + 2 * DAY);
        params.revoked_certs = vec![revoked(&site.signer)];
    });
    site.judge(&site.strict, later(3600)).await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Err(refused) = site.judge(&site.strict, later(3600)).await {
                break refused;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(refused.await.unwrap(), Rejection::Flawed(_)));
    assert_eq!(site.server.asked_for("/root.crl").len(), 2);
}

#[tokio::test]
async fn an_answer_that_cannot_be_refreshed_is_used_to_its_end_and_not_after() {
    let site = site().await;
    site.judge(&site.strict, now()).await.unwrap();
    let asked = Arc::new(AtomicU8::new(0));
    let count = asked.clone();
    site.server.hook(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(Fault::Respond(respond(500, "")))
    });
    site.judge(&site.strict, later(DAY - 1)).await.unwrap();
    site.undecided(site.judge(&site.strict, later(DAY)).await, "500");
    assert!(asked.load(Ordering::SeqCst) >= 1);
}
