//! In-toto statements, version 1: what is claimed about which content.

use serde_json::{Value, json};

use crate::oci::Digest;

/// The type of the statements.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// One piece of content that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementSubject {
    /// Its name, for people. Verifiers compare digests only.
    pub name: String,
    pub digest: Digest,
}

/// An unsigned statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    subjects: Vec<StatementSubject>,
    predicate_type: String,
    predicate: Value,
}

impl Statement {
    /// The claim `predicate`, whose meaning the URI `predicate_type` defines, about `subjects`.
    pub fn new(
        subjects: Vec<StatementSubject>,
        predicate_type: impl Into<String>,
        predicate: Value,
    ) -> Self {
        Self { subjects, predicate_type: predicate_type.into(), predicate }
    }

    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The statement as JSON. Equal statements have equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let subjects: Vec<Value> = self
            .subjects
            .iter()
            .map(|subject| {
                let algorithm = subject.digest.algorithm().name();
                json!({ "name": subject.name, "digest": { algorithm: subject.digest.hex() } })
            })
            .collect();
        json!({
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        })
        .to_string()
        .into_bytes()
    }
}
