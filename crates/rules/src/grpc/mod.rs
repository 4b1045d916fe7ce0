//! gRPC: what of it concerns a proxy (`PROTOCOL-HTTP2.md` and `PROTOCOL-WEB.md` of gRPC).
//!
//! Calls are requests like all others; these rules are about what HTTP does not know: deadlines,
//! statuses behind a 200, and the form that browsers have to use.

mod failure;
mod health;
mod status;
#[cfg(test)]
mod tests;
mod timeout;
mod web;

use std::time::Duration;

use wire::{Fields, Known, RequestHead, ResponseHead};

use crate::{Cx, Fault, Reply};

pub use failure::{Pushback, judged_status, pushback};
pub use health::{CHECK_PATH, check_answer, check_request};
pub use status::{Status, encode_message};
pub use timeout::{NotTimeout, read_timeout, write_timeout};
pub use web::{Base64Decoder, NotBase64, encode_base64, trailers_frame};

/// How a client speaks gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By HTTP/2, with trailers.
    Native,
    /// gRPC-Web: trailers are the last message.
    Web,
    /// gRPC-Web in base64, for clients that cannot take binary bodies as they come.
    WebText,
}

/// What is known of a call when its head has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How the client speaks.
    pub kind: Kind,
    /// The form of messages: what follows the kind in `Content-Type`, such as `+proto`. Of answers,
    /// too.
    pub format: Box<str>,
    /// How long the client waits, from when the head came.
    pub timeout: Option<Duration>,
    /// Whether answers of the service, which speaks plain gRPC, are to become gRPC-Web.
    pub translated: bool,
    /// How the service says that it ended, once it has said so.
    pub status: Option<Status>,
    /// How the service broke it off, if it was the service and said how: clients are to hear the same
    /// as without us.
    pub broken: Option<Status>,
}

/// The kind of gRPC and the form of messages that a `Content-Type` says.
#[must_use]
pub fn kind(content_type: &[u8]) -> Option<(Kind, &str)> {
    let prefix = b"application/grpc";
    let (start, rest) = content_type.split_at_checked(prefix.len())?;
    if !start.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let (kind, rest) = match rest {
        _ if starts_with(rest, b"-web-text") => (Kind::WebText, &rest[b"-web-text".len()..]),
        _ if starts_with(rest, b"-web") => (Kind::Web, &rest[b"-web".len()..]),
        _ => (Kind::Native, rest),
    };
    // `application/grpcx` is something else.
    let form = rest.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
    let is_form = form.is_empty()
        || (form[0] == b'+' && form[1..].iter().all(|&byte| wire::fields::is_token_byte(byte)));
    let form = std::str::from_utf8(form).ok().filter(|_| is_form)?;
    Some((kind, form))
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Notes in `cx` what kind of call `head` is, if it is one.
///
/// # Errors
/// A deadline that cannot be read: to guess would be to wait for nobody, or not long enough.
#[inline]
pub fn receive(head: &RequestHead, cx: &mut Cx) -> Result<(), Fault> {
    match head.fields.get(Known::ContentType) {
        Some(content_type) => receive_call(content_type, head, cx),
        None => Ok(()),
    }
}

fn receive_call(content_type: &[u8], head: &RequestHead, cx: &mut Cx) -> Result<(), Fault> {
    let Some((kind, format)) = kind(content_type) else { return Ok(()) };
    let mut call = Call {
        kind,
        format: format.into(),
        timeout: None,
        translated: false,
        status: None,
        broken: None,
    };
    let mut timeouts = head.fields.all_named("grpc-timeout");
    let timeout = match (timeouts.next(), timeouts.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => read_timeout(one).map(Some),
        (Some(_), Some(_)) => Err(NotTimeout),
    };
    call.timeout = timeout.unwrap_or_default();
    cx.note("kind", format_args!("{kind:?}"));
    if let Some(timeout) = call.timeout {
        cx.note("timeout", format_args!("{timeout:?}"));
    }
    cx.record("grpc", "call", "`Content-Type` says so");
    cx.grpc = Some(Box::new(call));
    timeout.map(drop).map_err(|NotTimeout| Fault::DeadlineMalformed)
}

/// Writes into `head` how long the client still waits, `spent` after its call came.
///
/// # Errors
/// The time is over.
pub fn pass_deadline_on(call: &Call, spent: Duration, head: &mut RequestHead) -> Result<(), Fault> {
    let Some(timeout) = call.timeout else { return Ok(()) };
    let mut text = Vec::with_capacity(9);
    let left = timeout.checked_sub(spent).unwrap_or_default();
    write_timeout(left, &mut text).ok_or(Fault::DeadlineExceeded)?;
    head.fields.set("grpc-timeout", &text);
    Ok(())
}

impl Call {
    /// Notes the status that `fields` say, the head of an answer or its trailers, if they say one.
    pub fn note_status(&mut self, fields: &Fields) {
        if let Some(value) = fields.get_named("grpc-status") {
            self.status = Some(Status::read(value));
        }
    }

    /// How it ended for the client, behind an answer of this status of HTTP, or a fault.
    #[must_use]
    pub fn ended(&self, http_status: u16, fault: Option<Fault>) -> Status {
        match (fault, self.status) {
            (Some(fault), _) => self.broken.unwrap_or(Status::of_fault(fault)),
            (None, Some(status)) => status,
            (None, None) => Status::of_http(http_status),
        }
    }

    /// The `Content-Type` of answers to the client.
    #[must_use]
    pub fn content_type(&self) -> String {
        let kind = match self.kind {
            Kind::Native => "application/grpc",
            Kind::Web => "application/grpc-web",
            Kind::WebText => "application/grpc-web-text",
        };
        format!("{kind}{}", self.format)
    }

    /// The answer to a call that failed before the service could answer: trailers and nothing else,
    /// sent as the head.
    #[must_use]
    pub fn reply(&self, fault: Fault, request_id: &str) -> Reply {
        let mut reply = Reply::status(200).header("content-type", self.content_type().into_bytes());
        for (name, value) in self.status_fields(fault, request_id) {
            reply = reply.header(name, value);
        }
        if let Some(value) = crate::fault::proxy_status(fault) {
            reply = reply.header("proxy-status", value);
        }
        reply
    }

    /// The trailers for a call that failed while it was answered.
    #[must_use]
    pub fn trailers(&self, fault: Fault, request_id: &str) -> Box<Fields> {
        let mut trailers = Box::<Fields>::default();
        for (name, value) in self.status_fields(fault, request_id) {
            trailers.push(name, &value);
        }
        trailers
    }

    fn status_fields(&self, fault: Fault, request_id: &str) -> [(&'static str, Vec<u8>); 2] {
        let status = self.broken.unwrap_or(Status::of_fault(fault));
        let mut message = fault.title().to_owned();
        if !request_id.is_empty() {
            // The id finds the line in our log, which says why.
            message += &format!(" (request {request_id})");
        }
        [
            ("grpc-status", (status as u8).to_string().into_bytes()),
            ("grpc-message", encode_message(&message).into_bytes()),
        ]
    }
}

/// What a client of gRPC-Web is to be told where `head` is no answer of gRPC at all, such as an error
/// page of something on the way: `None` if it is one.
#[must_use]
pub fn status_of_foreign(head: &ResponseHead) -> Option<Status> {
    let content_type = head.fields.get(Known::ContentType).unwrap_or_default();
    match kind(content_type) {
        Some((Kind::Native, _)) if head.status == 200 => None,
        _ if head.fields.get_named("grpc-status").is_some() => None,
        _ => Some(Status::of_http(head.status)),
    }
}
