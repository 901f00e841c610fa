//! The response to each form of request; no two denials can be confused.

use serde_json::Value;

use super::message::MAX_SENTENCE;
use super::*;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::oci::{Digest, MediaType};

const SENTENCE: &str = "remote trust data does not exist for docker.io/library/x:1: not signed";

fn denial(sentence: &str) -> (MirrorDenial, String) {
    let id = Audit::new(Clock::System, None).name();
    (MirrorDenial::new(sentence, id), format!(" (request {id})"))
}

fn manifest(answer: Answer) -> (DenialManifest, Value) {
    assert_eq!((answer.status, answer.reason), (StatusCode::OK, None));
    let AnswerContent::Manifest(manifest) = answer.content else { panic!("no manifest") };
    let bytes = manifest.clone().into_bytes();
    assert_eq!((manifest.digest(), manifest.len()), (Digest::of(&bytes), bytes.len()));
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["mediaType"], manifest.media_type().as_str());
    assert_eq!(value["config"]["digest"], manifest.config().to_string());
    assert_eq!(value["layers"], serde_json::json!([]));
    (manifest, value)
}

#[test]
fn head_gets_304_with_the_message_as_reason_phrase() {
    let (denial, request) = denial(SENTENCE);
    let answer = denial.manifest(Form::Head);
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert_eq!(answer.reason.unwrap().as_bytes(), format!("{SENTENCE}{request}").as_bytes());
    assert!(matches!(answer.content, AnswerContent::None));
}

#[test]
fn a_tag_gets_an_image_whose_config_type_is_the_message() {
    let (denial, request) = denial(SENTENCE);
    let (sent, value) = manifest(denial.manifest(Form::Tag));
    assert_eq!(sent.media_type(), MediaType::OciImage);
    assert_eq!(value["config"]["mediaType"], format!("{SENTENCE}{request}"));
}

#[test]
fn a_digest_and_a_blob_get_no_such_process() {
    let (denial, request) = denial(SENTENCE);
    let message = format!("{SENTENCE}{request}: no such process");
    let (sent, value) = manifest(denial.manifest(Form::Digest));
    assert_eq!(sent.media_type(), MediaType::DockerImage);
    assert_eq!(value["config"]["mediaType"], message);

    for answer in [denial.failed(ErrorCode::Unavailable), denial.manifest(Form::IfThere)] {
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!(answer.reason.unwrap().as_bytes(), message.as_bytes());
    }
}

#[test]
fn two_denials_of_one_image_have_nothing_in_common() {
    let audit = Audit::new(Clock::System, None);
    let denials = [(); 2].map(|()| MirrorDenial::new(SENTENCE, audit.name()).manifest(Form::Tag));
    let [(one, _), (other, _)] = denials.map(manifest);
    assert_ne!(one.digest(), other.digest());
    assert_ne!(one.config(), other.config());
}

#[test]
fn a_message_is_one_short_line_of_printable_ascii() {
    let long = format!("a\r\nContent-Length: 0\u{7f}\u{2028}é{}", "x".repeat(100_000));
    let (denial, request) = denial(&long);
    let reason = denial.manifest(Form::Head).reason.unwrap();
    let message = std::str::from_utf8(reason.as_bytes()).unwrap();
    assert!(message.starts_with("a??Content-Length: 0???xxx"), "{message}");
    assert!(message.ends_with(&format!("x...{request}")), "{message}");
    assert_eq!(message.len(), MAX_SENTENCE + "...".len() + request.len());
    assert!(message.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
}

#[test]
fn denials_are_found_by_digest_and_limited_in_number() {
    let memory = Memory::new();
    let audit = Audit::new(Clock::System, None);
    let deny = || {
        let denial = MirrorDenial::new(SENTENCE, audit.name());
        let (sent, _) = manifest(denial.manifest(Form::Tag));
        memory.remember(&denial, &sent);
        sent
    };
    let is_found = |denial: &DenialManifest| {
        let found = memory.find(&denial.digest());
        matches!(found, Some(Remembered::Manifest(found)) if found == *denial)
    };
    let first = deny();
    assert!(is_found(&first));
    assert!(matches!(memory.find(&first.config()), Some(Remembered::Config(_))));
    let rest: Vec<_> = (0..20_000).map(|_| deny()).collect();
    assert!(!is_found(&first));
    assert!(is_found(rest.last().unwrap()));
}
