//! HTTP/3: what a client says in frames over QUIC, what a service hears in lines, and back.

mod beginnings;
mod connection;
mod floods;
mod messages;
mod refused;
mod tunnels;

use super::to;
use crate::door::{Door, Folder, Upstream};
use crate::quic::Quic;
use crate::tls::client::{Made, tables};

/// A door for HTTPS and HTTP/3 with one route that leads everything to one service, which is the test
/// itself.
struct Secure {
    door: Door,
    upstream: Upstream,
    made: Made,
}

impl Secure {
    /// `more` is configuration beside the listeners, the route and its service.
    #[track_caller]
    fn new(more: &str) -> Self {
        let (folder, upstream) = (Folder::new(), Upstream::new());
        let made = Made::new(&folder, "own", &["localhost"]);
        let config = format!("{}{}{more}", tables(&[&made]), to(&upstream));
        Self { door: Door::start_in(folder, &config), upstream, made }
    }

    #[track_caller]
    fn connect(&self) -> Quic {
        Quic::connect(self.door.https[0], &self.made)
    }
}

impl Secure {
    /// Nothing has reached the service, and the connection goes on: the next request is one that is
    /// sent now.
    #[track_caller]
    fn is_next(&self, client: &Quic) {
        let mut asked = client.open(&crate::quic::request("GET", "/probe", &[]), true);
        let mut service = self.upstream.accept();
        let heard = service.read_request();
        assert!(heard.starts_with("GET /probe "), "{heard}");
        service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        assert_eq!(client.answer(&mut asked).expect("an answer").text(), "ok");
    }
}
