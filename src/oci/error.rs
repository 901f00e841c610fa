//! The error body of the distribution specification ("Error Codes"): one error, with a message for people and a detail
//! for programs.

use serde::Serialize;
use serde_json::Value;

/// The error codes of our responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    /// The `n` of a list request is not a number.
    PaginationNumberInvalid,
    TagInvalid,
    Unauthorized,
    Toomanyrequests,
    Unavailable,
    Unsupported,
    /// The code of Notary servers for metadata that they do not have.
    MetadataNotFound,
    RangeInvalid,
}

/// One error of the `errors` list. Clients show only the first, so there is only one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorBody {
    pub code: ErrorCode,
    pub message: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

impl ErrorBody {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Value::Null }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// `{"errors":[…]}`
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::json!({ "errors": [self] }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_follows_the_specification() {
        let body = ErrorBody::new(ErrorCode::ManifestUnknown, "no \"such\" thing");
        assert_eq!(
            String::from_utf8(body.to_json()).unwrap(),
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no \"such\" thing"}]}"#
        );
        assert_eq!(serde_json::to_value(ErrorCode::Toomanyrequests).unwrap(), "TOOMANYREQUESTS");
    }
}
