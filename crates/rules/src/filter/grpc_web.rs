//! Lets browsers call a service that speaks gRPC: gRPC-Web on their side, gRPC on its own.
//!
//! Heads are changed here; bodies on their way, by the engine, which finds in [`Cx::grpc`] what was
//! decided.

use config::At;
use wire::{Known, RequestHead, ResponseHead};

use super::{Filter, Phases};
use crate::Cx;
use crate::decision::Decision;
use crate::grpc::{self, Kind};
use crate::template::Scope;

/// The compiled filter.
#[derive(Debug)]
pub(super) struct GrpcWeb;

impl Filter for GrpcWeb {
    const NAME: &'static str = "grpc-web";
    const ABOUT: &'static str = "translates gRPC-Web, which browsers speak, to gRPC and back";
    const PHASES: Phases = Phases(Phases::REQUEST.0 | Phases::RESPONSE.0);
    type Config = bool;

    fn build(config: &At<bool>, _: &mut Scope<'_>) -> Option<Self> {
        config.then_some(Self)
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        let Some(call) = cx.grpc.as_mut().filter(|call| call.kind != Kind::Native) else {
            return Decision::pass("it is no gRPC-Web");
        };
        call.translated = true;
        let fields = &mut head.fields;
        fields.set("content-type", format!("application/grpc{}", call.format).as_bytes());
        // "Te: trailers" tells the service that nobody on the way swallows trailers.
        fields.set("te", b"trailers");
        // What they say is true of the other form.
        fields.remove(Known::Accept);
        if call.kind == Kind::WebText {
            fields.remove(Known::ContentLength);
        }
        Decision::pass("it goes on as gRPC")
    }

    fn on_response(&self, head: &mut ResponseHead, _: &RequestHead, cx: &mut Cx) -> &'static str {
        let Some(call) = cx.grpc.as_mut().filter(|call| call.translated) else {
            return "it is no gRPC-Web";
        };
        if grpc::status_of_foreign(head).is_some() {
            // Clients of gRPC-Web make a status of the one of HTTP, as those of gRPC do.
            call.translated = false;
            return "the answer is not gRPC";
        }
        let content_type = head.fields.get(Known::ContentType).unwrap_or_default();
        if let Some((_, format)) = grpc::kind(content_type) {
            call.format = format.into();
        }
        let content_type = call.content_type();
        head.fields.set("content-type", content_type.as_bytes());
        head.fields.remove(Known::ContentLength);
        // They are part of the body now.
        head.fields.remove(Known::Trailer);
        "it goes back as gRPC-Web"
    }
}

#[cfg(test)]
mod tests {
    use wire::{Fields, ResponseHead};

    use super::*;
    use crate::harness::{cx, head};

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    /// The request as it goes on, and the answer `status content-type` as it goes back.
    fn pass(request: &str, status: u16, content_type: &str) -> (Vec<String>, Vec<String>, bool) {
        let (mut head, mut cx) = (head(request), cx());
        grpc::receive(&head, &mut cx).expect("a good deadline");
        let _ = GrpcWeb.on_request(&mut head, &mut cx);
        let mut response = ResponseHead::new(status);
        response.fields.push("content-type", content_type.as_bytes());
        response.fields.push("content-length", b"7");
        GrpcWeb.on_response(&mut response, &head, &mut cx);
        let translated = cx.grpc.is_some_and(|call| call.translated);
        (lines(&head.fields), lines(&response.fields), translated)
    }

    #[test]
    fn web_becomes_plain_and_back() {
        let request = "POST h /s/m content-type: application/grpc-web-text+proto; \
                       content-length: 8; accept: application/grpc-web-text";
        let (sent, back, translated) = pass(request, 200, "application/grpc+proto");
        assert!(translated);
        assert_eq!(sent, ["Host: h", "content-type: application/grpc+proto", "te: trailers"]);
        assert_eq!(back, ["content-type: application/grpc-web-text+proto"]);
    }

    #[test]
    fn what_is_not_web_stays_as_it_is() {
        for request in [
            "POST h /s/m content-type: application/grpc; te: trailers",
            "POST h /s/m content-type: application/json; accept: */*",
        ] {
            let (sent, back, translated) = pass(request, 200, "application/grpc");
            assert!(!translated);
            assert_eq!(sent.len(), 3, "{sent:?}");
            assert_eq!(back, ["content-type: application/grpc", "content-length: 7"]);
        }
        let request = "POST h /s/m content-type: application/grpc-web";
        let (_, back, translated) = pass(request, 502, "text/html");
        assert!(!translated);
        assert_eq!(back, ["content-type: text/html", "content-length: 7"]);
    }
}
