//! `GET /why`: explains the decision about an image, or the recorded decision about a request.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::Semaphore;
use url::form_urlencoded;

use crate::audit::recent::KEPT;
use crate::audit::{Audit, Record, RequestId};
use crate::commands::why::{Explanation, explain};
use crate::oci::ImageRef;
use crate::server::{Generations, Names};
use crate::text::grouped;

use super::{TEXT, answer};

/// The most explanations at once; each costs up to twice as much as a decision.
pub const MAX_AT_ONCE: usize = 4;
const JSON: &str = "application/json";
/// How to use the page.
const USAGE: &str = "write /why?image=registry/repository[:tag][@digest], or /why?request=ID with the \
                     `detail.request_id` of a denial";

/// Explains decisions of the current gate and recorded decisions.
#[derive(Debug)]
pub struct Why {
    generations: Generations,
    audit: Audit,
    places: Semaphore,
}

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Image(ImageRef),
    Request(RequestId),
}

/// A recorded decision, and the current decision about the same image.
#[derive(Serialize)]
struct Recalled<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// `None` if the request was for no manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Explanation>,
}

impl Why {
    pub fn new(generations: Generations, audit: Audit) -> Self {
        Self { generations, audit, places: Semaphore::new(MAX_AT_ONCE) }
    }

    pub(super) async fn answer(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let generation = self.generations.current();
        let question = match Question::read(query.unwrap_or_default(), &generation.names) {
            Ok(question) => question,
            Err(wrong) => return answer(StatusCode::BAD_REQUEST, TEXT, wrong + "\n"),
        };
        let Ok(_place) = self.places.try_acquire() else { return busy() };
        match question {
            Question::Image(image) => json(&self.explain(&image).await),
            Question::Request(id) => match self.audit.recent().find(id) {
                Some(record) => {
                    let now = match record.image() {
                        Some(image) => Some(self.explain(&image).await),
                        None => None,
                    };
                    json(&Recalled { record: &record, now })
                }
                None => answer(StatusCode::NOT_FOUND, TEXT, forgotten(id)),
            },
        }
    }

    async fn explain(&self, image: &ImageRef) -> Explanation {
        let gate = self.generations.current().gate.clone();
        // Boxed to keep the type of the future small.
        let explained: BoxFuture<'_, Explanation> = Box::pin(explain(&gate, image));
        explained.await
    }
}

impl Question {
    fn read(query: &str, names: &Names) -> Result<Self, String> {
        let mut asked = form_urlencoded::parse(query.as_bytes());
        let (Some((key, value)), None) = (asked.next(), asked.next()) else {
            return Err(USAGE.to_owned());
        };
        let wrong = |why: &dyn std::fmt::Display| format!("{value:?}: {why}; {USAGE}");
        match &*key {
            "image" => names.called(&value).map(Self::Image).map_err(|error| wrong(&error)),
            "request" => value.parse().map(Self::Request).map_err(|error| wrong(&error)),
            _ => Err(USAGE.to_owned()),
        }
    }
}

pub(super) fn json(report: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(report) {
        Ok(text) => answer(StatusCode::OK, JSON, text + "\n"),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn busy() -> Response<Full<Bytes>> {
    let text = format!("{MAX_AT_ONCE} explanations are in progress; retry in a moment\n");
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn forgotten(id: RequestId) -> String {
    format!(
        "no decision about the request {id} is recorded: the gate keeps its last {} denials and as many \
         admissions until it stops; use /why?image=… for the current decision\n",
        grouped(KEPT as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_other_than_an_image_or_a_request_is_answered_with_the_usage() {
        let image = "r.example/a:1".parse().unwrap();
        let names = Names::default();
        assert_eq!(Question::read("image=r.example%2Fa:1", &names), Ok(Question::Image(image)));
        let id = "00000000000000ff";
        let asked = Question::read(&format!("request={id}"), &names);
        assert_eq!(asked, Ok(Question::Request(id.parse().unwrap())));
        for query in
            ["", "image", "image=", "image=UPPER", "request=", "request=1", "imge=r.example/a:1"]
        {
            let wrong = Question::read(query, &names).unwrap_err();
            assert!(wrong.ends_with(USAGE), "{query}: {wrong}");
        }
        for query in ["image=r.example/a:1&image=r.example/b:1", "image=r.example/a:1&request=1"] {
            assert_eq!(Question::read(query, &names).unwrap_err(), USAGE);
        }
    }
}
