//! The cache through the whole program: what the service is asked, what clients get, and what
//! `Cache-Status` says of it.

mod collapse;
mod config;
mod forms;
mod large;
mod purge;
mod stories;
mod told;
mod versions;

use crate::door::{Door, Upstream, Wire};
use crate::http::crlf;
use crate::wire::field;

/// A door whose one route has a cache, before a service that is the test itself.
pub(crate) struct Kitchen {
    pub(crate) door: Door,
    pub(crate) service: Upstream,
}

impl Kitchen {
    /// `cache` is what the route says of it.
    #[track_caller]
    pub(crate) fn new(cache: &str) -> Self {
        Self::with(cache, "", "")
    }

    /// `route` is what else the route says, `tables` what else there is.
    #[track_caller]
    pub(crate) fn with(cache: &str, route: &str, tables: &str) -> Self {
        let service = Upstream::new();
        let address = service.address();
        let door = Door::start(&format!(
            "[runtime]\nworkers = 2\n\
             [[route]]\npath = \"/*\"\nservice = \"it\"\ncache = {cache}\n{route}\n\
             [service.it]\nendpoints = [\"{address}\"]\n{tables}"
        ));
        Self { door, service }
    }

    /// Asks for `request` (method, path and field lines): the service must be asked and answers with
    /// `answer`. What it was asked and what the client got.
    #[track_caller]
    pub(crate) fn fetch(&self, request: &str, answer: &str) -> (String, String) {
        let mut client = self.ask(request);
        let mut service = self.service.accept();
        let asked = service.read_request();
        service.send(crlf(&said(answer)));
        (asked, read(&mut client, request))
    }

    /// Asks for `request`: the answer must come without the service.
    #[track_caller]
    pub(crate) fn hit(&self, request: &str) -> String {
        let mut client = self.ask(request);
        let response = read(&mut client, request);
        assert!(self.is_quiet(), "{request}: the service was asked");
        response
    }

    /// Sends `request` on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Wire {
        let mut client = self.door.connect();
        let (line, fields) = request.split_once('\n').unwrap_or((request, ""));
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        client.send(crlf(&format!("{line} HTTP/1.1\nHost: h\n{fields}\n")));
        client
    }

    /// Whether nothing has reached the service that was not answered. What a client was told came
    /// before it was told, so this need not wait.
    pub(crate) fn is_quiet(&self) -> bool {
        self.service.try_accept(std::time::Duration::from_millis(1)).is_none()
    }
}

/// An answer whose connection is not used again, so that each fetch is one that is accepted.
pub(crate) fn said(answer: &str) -> String {
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let length = match head.contains("Content-Length") || head.contains(" 304 ") {
        true => String::new(),
        false => format!("\nContent-Length: {}", body.len()),
    };
    format!("HTTP/1.1 {head}{length}\nConnection: close\n\n{body}")
}

#[track_caller]
fn read(client: &mut Wire, request: &str) -> String {
    if request.starts_with("HEAD ") { client.read_head() } else { client.read_response() }
}

/// What `Cache-Status` says, without our name.
#[track_caller]
pub(crate) fn status(response: &str) -> &str {
    let value = field(response, "cache-status").unwrap_or_else(|| panic!("none in {response}"));
    value.strip_prefix("Doorward; ").unwrap_or_else(|| panic!("not ours: {value}"))
}

/// The body of a response.
pub(crate) fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
