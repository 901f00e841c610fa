//! A Notary server that serves what a test published, can inject faults, and records its requests. It runs until its
//! value is dropped.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use crate::fake_registry::{Asked, FakeRegistry, Fault, about_a_server, respond, with};
use crate::notary_repository::Files;

type Published = Arc<RwLock<BTreeMap<String, Files>>>;
type Hook = Arc<RwLock<Box<dyn Fn(&Asked) -> Option<Fault> + Send + Sync>>>;

pub struct FakeNotary {
    server: FakeRegistry,
    published: Published,
    hook: Hook,
}

impl FakeNotary {
    /// An empty server.
    pub async fn start() -> Self {
        let server = FakeRegistry::start().await;
        let published = Published::default();
        let hook: Hook = Arc::new(RwLock::new(Box::new(|_| None)));
        let (files, faults) = (published.clone(), hook.clone());
        server.answer_with(move |asked| {
            Some(faults.read().unwrap()(asked).unwrap_or_else(|| answer(&files, &asked.path)))
        });
        Self { server, published, hook }
    }

    pub fn url(&self) -> String {
        self.server.url("127.0.0.1")
    }

    /// Replaces all metadata of `gun`.
    pub fn publish(&self, gun: &str, files: Files) {
        self.published.write().unwrap().insert(gun.to_owned(), files);
    }

    /// All metadata, by GUN.
    pub fn published(&self) -> BTreeMap<String, Files> {
        self.published.read().unwrap().clone()
    }

    /// Removes all metadata of `gun`.
    pub fn remove(&self, gun: &str) {
        self.published.write().unwrap().remove(gun);
    }

    /// From now on, `hook` decides about each request. If it returns `None`, the response is good.
    pub fn hook(&self, hook: impl Fn(&Asked) -> Option<Fault> + Send + Sync + 'static) {
        about_a_server();
        *self.hook.write().unwrap() = Box::new(hook);
    }

    /// From now on, every answer is this status with an empty body.
    pub fn only_says(&self, status: u16) {
        self.hook(move |_| Some(Fault::Respond(respond(status, ""))));
    }

    /// From now on, every connection breaks.
    pub fn goes_down(&self) {
        self.hook(|_| Some(Fault::Drop));
    }

    /// From now on, every answer is good.
    pub fn comes_back(&self) {
        self.hook(|_| None);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }

    /// The number of requests so far for the file of that name.
    pub fn asked_for(&self, file: &str) -> usize {
        self.server.asked_for(&format!("/_trust/tuf/{file}.json")).len()
    }
}

fn answer(published: &Published, path: &str) -> Fault {
    let found = || {
        let (gun, file) = path.strip_prefix("/v2/")?.split_once("/_trust/tuf/")?;
        let published = published.read().unwrap();
        published.get(gun)?.get(file.strip_suffix(".json")?).cloned()
    };
    let answer = match found() {
        Some(file) => respond(200, file),
        None => {
            respond(404, r#"{"errors":[{"code":"METADATA_NOT_FOUND","message":"","detail":{}}]}"#)
        }
    };
    Fault::Respond(with(answer, http::header::CONTENT_TYPE, "text/plain; charset=utf-8"))
}
