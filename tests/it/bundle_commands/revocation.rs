//! CRLs and OCSP responses in a bundle: the receiver judges them by its own clock and asks no server.

use std::time::Duration;

use rcgen::{CertificateParams, CrlDistributionPoint};

use super::Exporter;
use super::receiver::Receiver;
use crate::attached::{JOSE, NOTATION, put_referrer, subject_of};
use crate::fake_registry::{FakeRegistry, Fault, REGISTRY, respond};
use crate::notation_authority::{Response, crl, responder_at, revoked};
use crate::notation_signer::{Certified, Kind, NOW, Signing};
use crate::whole_gate::Setup;

const DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Trusts `root` and checks revocation.
fn setup(root: &Certified) -> Setup {
    let tables = format!(
        "[[anchor]]\nname = \"platform\"\nscheme = \"notation\"\ntrust_store = [\"ca:root.crt\"]\n\
         identities = [\"*\"]\nrevocation = \"check\"\n\
         [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"platform\"]\n"
    );
    Setup::new(tables).file("root.crt", root.pem()).at(NOW)
}

/// A server that answers every request with these bytes.
async fn server(root: &Certified, answer: Vec<u8>) -> (FakeRegistry, Certified) {
    let server = FakeRegistry::start().await;
    server.hook(move |_| Some(Fault::Respond(respond(200, answer.clone()))));
    let url = server.url("127.0.0.1");
    let signer = root.issue("signer", Kind::P256, |params| at(params, &url));
    (server, signer)
}

fn at(params: &mut CertificateParams, url: &str) {
    let uris = vec![format!("{url}/root.crl")];
    params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
}

/// Pushes and signs an image, writes it to `a.tar`, and ends `server`.
async fn carried(root: &Certified, server: &FakeRegistry, signer: &Certified) -> Exporter {
    let exporter = Exporter::of(setup(root)).await;
    let manifest = exporter.world.push("v1", "one");
    let envelope = Signing::new(signer, &subject_of(&manifest)).jws();
    put_referrer(&exporter.world.registry, &manifest, NOTATION, JOSE, &envelope);
    let bundle = exporter.bundle("a.tar", &["v1"]).await;
    let [response] = &bundle.contents().revocation[..] else {
        panic!("{:?}", bundle.contents().revocation)
    };
    assert!(response.ends.is_some_and(|ends| ends > NOW), "{response:?}");
    assert!(bundle.document(&response.document).unwrap().is_some());
    server.hook(|_| Some(Fault::Drop));
    exporter
}

/// The image passes while the revocation data is valid, and is undecided later. No server is asked.
async fn is_judged_by_its_dates(root: &Certified, server: &FakeRegistry, signer: &Certified) {
    let exporter = carried(root, server, signer).await;
    let asked = server.asked().len();
    let receiver = Receiver::of(setup(root)).await;
    let verified = receiver.verify(&exporter.path("a.tar"), None).await;
    assert_eq!(verified.exit_status(), 0, "{verified}");
    receiver.world.pass(DAYS);
    let verified = receiver.verify(&exporter.path("a.tar"), None).await;
    assert_eq!(verified.exit_status(), 4, "{verified}");
    assert_eq!(server.asked().len(), asked);
    receiver.asked_nobody();
}

#[tokio::test]
async fn a_carried_crl_counts_until_its_next_update() {
    let root = Certified::root("root");
    let (server, signer) = server(&root, crl(&root, |_| {})).await;
    Box::pin(is_judged_by_its_dates(&root, &server, &signer)).await;
}

#[tokio::test]
async fn a_carried_ocsp_response_counts_until_its_next_update() {
    let root = Certified::root("root");
    let server = FakeRegistry::start().await;
    let url = server.url("127.0.0.1");
    let signer = root.issue("signer", Kind::P256, |params| {
        params.custom_extensions.push(responder_at(&format!("{url}/ocsp/")));
    });
    let answer = Response::good(&root, &signer).der();
    server.hook(move |_| Some(Fault::Respond(respond(200, answer.clone()))));
    Box::pin(is_judged_by_its_dates(&root, &server, &signer)).await;
}

#[tokio::test]
async fn an_image_whose_signer_is_revoked_is_not_written() {
    let root = Certified::root("root");
    let (server, signer) = server(&root, crl(&root, |_| {})).await;
    let exporter = carried(&root, &server, &signer).await;
    let list = crl(&root, |params| params.revoked_certs = vec![revoked(&signer)]);
    server.hook(move |_| Some(Fault::Respond(respond(200, list.clone()))));
    let created = exporter.create(&exporter.order("b.tar", &["v1"])).await.unwrap();
    assert_eq!(created.exit_status(), 3, "{created}");
    assert!(!exporter.path("b.tar").exists());
}
