//! HTTP through the whole program: what a client says, what the service hears, what comes back.
//!
//! In tables `\n` stands for CR LF, and the lines that every message gets on its way (`Date`,
//! `Via`, `X-Request-Id` and their like) are left out; `forwarding` is about these.

mod answers;
mod bodies;
mod broken;
pub(crate) mod compress;
mod faults;
mod files;
mod forms;
mod forwarding;
mod h2;
mod h3;
mod interim;
mod limits;
mod mutations;
mod persistence;
mod proxied;
mod refused;
mod reuse;
mod routing;
pub(crate) mod streams;
mod upgrade;

use crate::door::{Door, End, Upstream, Wire};

/// A door with one route that leads everything to one service, which is the test itself.
pub(crate) struct Pass {
    pub(crate) door: Door,
    pub(crate) upstream: Upstream,
}

/// How much of a request stands in a message.
const SHOWN_BYTES_MAX: usize = 300;

/// What becomes of both connections behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The client's goes on, and the service's is used again.
    Reused,
    /// The client's goes on, and the service gets a new one.
    Fresh,
    /// The client's is closed.
    Closed,
    /// The client's is broken.
    Reset,
}

impl Pass {
    /// `more` is configuration beside the route and its service.
    #[track_caller]
    pub(crate) fn new(more: &str) -> Self {
        let upstream = Upstream::new();
        let door = Door::start(&format!("{}{more}", to(&upstream)));
        Self { door, upstream }
    }

    /// Sends `request` and, in the same write, one more request: `request` must be refused with
    /// `status`, the connection closed, and nothing of either may reach the service.
    #[track_caller]
    pub(crate) fn refuses(&self, request: impl AsRef<[u8]>, status: u16) {
        let request = request.as_ref();
        let mut client = self.door.connect();
        client.send([request, b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        let (response, end) = client.read_to_end();
        let response = crate::wire::text(&response);
        let shown = crate::wire::text(&request[..request.len().min(SHOWN_BYTES_MAX)]);
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {response}");
        let start = response.get(..12);
        assert_eq!(start, Some(&*format!("HTTP/1.1 {status}")), "{shown:?}: {response}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{shown:?}: {response}");
        assert_eq!(end, End::Closed, "{shown:?}: {response}");
        self.is_next("/probe");
    }

    /// Nothing has reached the service: the next request it gets is one that is sent now.
    #[track_caller]
    pub(crate) fn is_next(&self, path: &str) {
        let mut client = self.door.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut service = self.upstream.accept();
        let request = service.read_request();
        assert!(request.starts_with(&format!("GET {path} ")), "{request}");
        service.send(crlf("HTTP/1.1 204 No Content\nConnection: close\n\n"));
        client.read_response();
    }

    /// Sends `request`: the service must get `forwarded`, and its answer reach the client.
    #[track_caller]
    pub(crate) fn passes(&self, request: &str, forwarded: &str) {
        let mut client = self.door.connect();
        client.send(crlf(request));
        let mut service = self.upstream.accept();
        assert_eq!(plain(&service.read_request()), forwarded, "{request:?}");
        service.send(crlf("HTTP/1.1 204 No Content\nConnection: close\n\n"));
        let response = client.read_response();
        assert!(response.starts_with("HTTP/1.1 204 "), "{request:?}: {response}");
    }

    /// Sends `request`, answers it with `answer`: the client must get `received`, and then the
    /// connections go on or not. An answer that ends in `<end>` or `<reset>` ends so.
    #[track_caller]
    pub(crate) fn answers(&self, request: &str, answer: &str, received: &str, then: Then) {
        let mut client = self.door.connect();
        client.send(crlf(request));
        let mut service = self.upstream.accept();
        service.read_request();
        let mut service = Some(service).and_then(|service| say(service, answer));
        let story = format!("{request:?} {answer:?}");
        if let Then::Closed | Then::Reset = then {
            let (bytes, end) = client.read_to_end();
            assert_eq!(plain(&crate::wire::text(&bytes)), received, "{story}");
            let expected = if then == Then::Closed { End::Closed } else { End::Reset };
            assert_eq!(end, expected, "{story}");
            return;
        }
        let response = match request.starts_with("HEAD ") {
            true => client.read_head(),
            false => client.read_response(),
        };
        assert_eq!(plain(&response), received, "{story}");
        client.send(crlf("GET /next HTTP/1.1\nHost: h\n\n"));
        if then == Then::Fresh {
            service = Some(self.upstream.accept());
        }
        let mut service = service.expect("it was not ended");
        let request = service.read_request();
        assert!(request.starts_with("GET /next "), "{story} {request}");
        service.send(crlf("HTTP/1.1 204 No Content\nConnection: close\n\n"));
        assert_eq!(client.read_response().get(..12), Some("HTTP/1.1 204"), "{story}");
    }
}

/// Says `answer`, and ends as it says; the connection if it stays open.
#[track_caller]
pub(crate) fn say(mut service: Wire, answer: &str) -> Option<Wire> {
    let (said, end) = match answer.split_once('<') {
        Some((said, "end>")) => (said, Some(End::Closed)),
        Some((said, "reset>")) => (said, Some(End::Reset)),
        _ => (answer, None),
    };
    service.send(crlf(said));
    match end {
        None => Some(service),
        Some(End::Closed) => None,
        Some(End::Reset) => {
            service.reset();
            None
        }
    }
}

/// The configuration that leads everything to `upstream`.
pub(crate) fn to(upstream: &Upstream) -> String {
    let address = upstream.address();
    format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nendpoints = [\"{address}\"]\n"
    )
}

/// The text of a table as it goes on the wire.
pub(crate) fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// Lines that every message gets on its way.
const EVERY: [&str; 8] = [
    "date",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
];

/// Messages as tables have them: with `\n`, without the lines that all have, and all chunks of a
/// body as one.
pub(crate) fn plain(messages: &str) -> String {
    let Some((head, body)) = messages.split_once("\r\n\r\n") else {
        return messages.to_owned();
    };
    let kept = head.split("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !EVERY.contains(&&*name)
    });
    let kept: Vec<&str> = kept.collect();
    let body = if head.starts_with("HTTP/1.1 1") && !head.starts_with("HTTP/1.1 101") {
        plain(body)
    } else if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked") {
        in_one_chunk(body)
    } else {
        body.to_owned()
    };
    format!("{}\n\n{}", kept.join("\n"), body.replace("\r\n", "\n"))
}

/// A chunked body with all its data in one chunk; what breaks off breaks off.
fn in_one_chunk(mut body: &str) -> String {
    let mut data = String::new();
    let rest = loop {
        let Some((line, behind)) = body.split_once("\r\n") else {
            break body;
        };
        let count = usize::from_str_radix(line, 16).expect("a chunk size");
        if count == 0 {
            break body;
        }
        let Some(chunk) = behind.get(..count) else {
            break body;
        };
        data += chunk;
        body = behind[count..].strip_prefix("\r\n").unwrap_or_default();
    };
    if data.is_empty() {
        return rest.to_owned();
    }
    format!("{:x}\r\n{data}\r\n{rest}", data.len())
}
