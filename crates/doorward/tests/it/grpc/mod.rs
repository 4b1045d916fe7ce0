//! Calls of gRPC through the whole program: what `conformance/run grpc` cannot see from its client.

mod calls;
mod web;

use http::{HeaderMap, Request, Response};

use crate::door::Door;
use crate::frames::{FrameService, request_with};

/// A door in front of a service, with `route` keys and `more` tables.
fn pair(route: &str, more: &str) -> (Door, FrameService) {
    let service = FrameService::new();
    let address = service.address;
    let door = Door::start(&format!(
        "[[route]]\npath = \"/it.Calls/*\"\nservice = \"it\"\n{route}\n\
         [service.it]\nprotocol = \"h2\"\nendpoints = [\"{address}\"]\n{more}"
    ));
    (door, service)
}

/// A call as clients of gRPC begin it, with `fields`.
fn call(fields: &[(&str, &str)]) -> Request<()> {
    let usual = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    request_with("POST", "/it.Calls/Echo", &[&usual, fields].concat())
}

/// The head of an answer to a call.
fn answer() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc+proto");
    head.body(()).expect("a response")
}

/// A message in its frame.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
        .collect()
}

/// The status and the message in `fields`, without the request's id.
fn status(fields: &HeaderMap) -> (u32, String) {
    let text = |name| fields.get(name).map(|value| value.to_str().expect("text").to_owned());
    let status = text("grpc-status").expect("a status").parse().expect("a number");
    let message = text("grpc-message").unwrap_or_default();
    let message = message.split(" (request ").next().unwrap_or_default();
    (status, message.to_owned())
}
