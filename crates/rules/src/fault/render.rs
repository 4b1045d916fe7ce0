//! What a fault looks like to the client: a problem document, a page, or a line of text.

use std::fmt::Write;

use wire::head::reason_of;

use super::Fault;
use crate::decision::Reply;

/// What the rendering may know of whoever asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// The value of `Accept`.
    pub accept: Option<&'a [u8]>,
    /// The id under which the log has this request; may be empty.
    pub request_id: &'a str,
    /// The value of `Allow`, for a method that is not allowed.
    pub allow: Option<&'a str>,
    /// The call, if gRPC was asked for: then nothing but a status of gRPC is understood.
    pub grpc: Option<&'a crate::grpc::Call>,
}

/// The forms that the explanation can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Text,
}

impl Fault {
    /// Whether the same request may succeed soon, and after how many seconds (`Retry-After`).
    #[must_use]
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::Overloaded { retry_after_s }
            | Self::UpstreamOverloaded { retry_after_s }
            | Self::BreakerOpen { retry_after_s } => Some(retry_after_s),
            _ if self.status() == 503 => Some(1),
            _ => None,
        }
    }

    /// The whole response. Nothing in it is made of what the client sent but the request id, which
    /// is visible ASCII and is escaped.
    #[must_use]
    pub fn reply(self, asker: Asker<'_>) -> Reply {
        if let Some(call) = asker.grpc {
            return call.reply(self, asker.request_id);
        }
        let (media_type, body) = match form(asker.accept) {
            Form::Json => ("application/problem+json", self.json(asker.request_id)),
            Form::Html => ("text/html; charset=utf-8", self.html(asker.request_id)),
            Form::Text => ("text/plain; charset=utf-8", self.text(asker.request_id)),
        };
        let mut reply = Reply::status(self.status())
            .header("content-type", media_type)
            // A fault is of the moment; 404 and others may be cached without being asked to
            // (RFC 9110, 15.1).
            .header("cache-control", "no-store")
            .body(body.into_bytes());
        if let Some(value) = proxy_status(self) {
            reply = reply.header("proxy-status", value);
        }
        if let Some(allow) = asker.allow {
            reply = reply.header("allow", allow);
        }
        if let Some(seconds) = self.retry_after_s() {
            reply = reply.header("retry-after", seconds.to_string());
        }
        reply
    }

    /// RFC 9457.
    fn json(self, request_id: &str) -> String {
        let (slug, title, status) = (self.slug(), self.title(), self.status());
        let mut text =
            format!(r#"{{"type":"urn:doorward:fault:{slug}","title":"{title}","status":{status}"#);
        if !request_id.is_empty() {
            text += r#","request-id":""#;
            for letter in request_id.chars() {
                match letter {
                    '"' | '\\' => text.extend(['\\', letter]),
                    letter => text.push(letter),
                }
            }
            text.push('"');
        }
        text += "}\n";
        text
    }

    fn text(self, request_id: &str) -> String {
        let (title, status) = (self.title(), self.status());
        let mut text = format!("{status} {}: {title}\n", reason_of(status));
        if !request_id.is_empty() {
            text += &format!("Request: {request_id}\n");
        }
        text
    }

    fn html(self, request_id: &str) -> String {
        let (title, status) = (self.title(), self.status());
        let reason = reason_of(status);
        let mut id = String::new();
        if !request_id.is_empty() {
            id += "<p class=id>Request <code>";
            for letter in request_id.chars() {
                match letter {
                    '<' => id += "&lt;",
                    '>' => id += "&gt;",
                    '&' => id += "&amp;",
                    letter => id.push(letter),
                }
            }
            id += "</code></p>";
        }
        let advice = match self.status() {
            404 => "The address may be misspelt, or what it led to is gone.",
            500.. => "This is not your doing. Please try again in a moment.",
            _ => "The request could not be understood or may not be made like this.",
        };
        let mut page = String::with_capacity(PAGE_STYLE.len() + 512);
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width,initial-scale=1\">\
             <title>{status} {reason}</title><style>{PAGE_STYLE}</style>\
             <main><p class=status>{status}</p><h1>{title}</h1><p>{advice}</p>{id}</main>"
        );
        page
    }
}

/// No script, no font, no picture from anywhere: the page must work when nothing else does.
const PAGE_STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;\
font:16px/1.5 system-ui,sans-serif;background:#f6f7f9;color:#1c2430}\
main{max-width:32rem;padding:2rem}\
.status{margin:0;font-size:4rem;line-height:1;font-weight:700;color:#5b6b82;letter-spacing:-.03em}\
h1{margin:.5rem 0;font-size:1.4rem}p{margin:.5rem 0}\
.id{margin-top:1.5rem;font-size:.85rem;color:#5b6b82;overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{background:#12161d;color:#e6eaf0}\
.status,.id{color:#8d9bb0}}";

/// The value of `Proxy-Status` (RFC 9209), if the fault has one.
#[must_use]
pub fn proxy_status(fault: Fault) -> Option<String> {
    Some(format!("doorward; error={}", fault.proxy_error()?))
}

/// The form that the client likes best (RFC 9110, 12.5.1): a program that names JSON or takes
/// anything gets the problem document, a browser the page.
fn form(accept: Option<&[u8]>) -> Form {
    let Some(accept) = accept else {
        return Form::Json;
    };
    let (mut json, mut html, mut text) = (0, 0, 0);
    for item in accept.split(|&byte| byte == b',') {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        // The weight may stand behind other parameters.
        let weight = parts
            .find(|part| part.len() > 2 && part[..2].eq_ignore_ascii_case(b"q="))
            .map_or(1000, quality);
        // What is named goes before a wildcard of the same weight.
        let named = 2 * weight + 1;
        match &*media {
            b"application/problem+json" | b"application/json" => json = json.max(named),
            b"application/*" | b"*/*" => json = json.max(2 * weight),
            b"text/html" | b"application/xhtml+xml" if weight > 0 => html = html.max(2 * weight),
            b"text/plain" if weight > 0 => text = text.max(named),
            _ => {}
        }
    }
    if html > 0 && html >= json && html + 1 >= text {
        Form::Html
    } else if text > json {
        Form::Text
    } else {
        Form::Json
    }
}

/// A weight in thousandths (RFC 9110, 12.4.2), from `q=0.8`; 1000 if it is none.
pub(crate) fn quality(parameter: &[u8]) -> u16 {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return 1000;
    };
    let text = std::str::from_utf8(value).unwrap_or_default();
    let weight: f32 = text.trim().parse().unwrap_or(1.0);
    (weight.clamp(0.0, 1.0) * 1000.0) as u16
}
