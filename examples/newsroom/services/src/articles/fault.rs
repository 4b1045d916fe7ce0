//! A request gone wrong, and what the client is told about it (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::answer;

#[derive(Debug)]
pub enum Fault {
    /// The client sent something that no article can be made or found from; the text says what.
    Invalid(String),
    Absent,
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Store(error)
    }
}

impl From<QueryRejection> for Fault {
    fn from(rejection: QueryRejection) -> Fault {
        Fault::Invalid(rejection.body_text())
    }
}

impl From<JsonRejection> for Fault {
    fn from(rejection: JsonRejection) -> Fault {
        Fault::Invalid(rejection.body_text())
    }
}

/// An id that is no number names no article.
impl From<PathRejection> for Fault {
    fn from(_: PathRejection) -> Fault {
        Fault::Absent
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Fault::Invalid(detail) => (StatusCode::BAD_REQUEST, detail),
            Fault::Absent => {
                (StatusCode::NOT_FOUND, "There is nothing under this address.".to_owned())
            }
            Fault::Store(error) => {
                eprintln!("articles: {error}");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The archive cannot be read right now.".to_owned(),
                )
            }
        };
        let body = json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
        let headers = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, answer::NEVER)];
        (status, headers, Json(body)).into_response()
    }
}
