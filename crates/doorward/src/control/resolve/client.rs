//! Asks name servers, by UDP and if need be by TCP.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use wire::dns::{self, Answer, Kind, NotAnswer, Record};

/// How long one server may take: what resolvers wait for their own servers, and some more.
const SERVER_LIMIT: Duration = Duration::from_secs(2);

/// How often all servers are asked: a packet may be lost.
const ROUNDS: usize = 2;

/// Whom to ask, and for what names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) servers: Vec<SocketAddr>,
    /// Appended to names with few dots.
    pub(super) search: Vec<String>,
    /// Names with so many dots are looked up as they are, first.
    pub(super) dots: usize,
}

/// What a look-up found, and for how many seconds it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Good<T> {
    pub(super) found: Vec<T>,
    pub(super) ttl_s: u32,
}

impl Client {
    /// The addresses of a host: of IPv4 and of IPv6.
    ///
    /// # Errors
    /// Why there are none, as a clause.
    pub(super) async fn addresses(&self, name: &str) -> Result<Good<IpAddr>, String> {
        let mut error = NO_NAME.to_owned();
        for name in self.candidates(name) {
            let (four, six) =
                tokio::join!(self.records(&name, Kind::A), self.records(&name, Kind::Aaaa));
            let mut good = Good { found: Vec::new(), ttl_s: u32::MAX };
            for answer in [four, six] {
                match answer {
                    Ok(Some(part)) => {
                        good.ttl_s = good.ttl_s.min(part.ttl_s);
                        good.found.extend(part.found.into_iter().filter_map(|one| match one {
                            Record::Address(address) => Some(address),
                            Record::Service { .. } => None,
                        }));
                    }
                    Ok(None) => {}
                    Err(why) => error = why,
                }
            }
            if !good.found.is_empty() {
                return Ok(good);
            }
            if error != NO_NAME {
                break;
            }
        }
        Err(error)
    }

    /// The `SRV` records of a name.
    ///
    /// # Errors
    /// Why there are none, as a clause.
    pub(super) async fn services(&self, name: &str) -> Result<Good<Record>, String> {
        for name in self.candidates(name) {
            if let Some(good) = self.records(&name, Kind::Srv).await?
                && !good.found.is_empty()
            {
                return Ok(good);
            }
        }
        Err(NO_NAME.to_owned())
    }

    /// The names that `name` may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') || self.search.is_empty() {
            return vec![name.to_owned()];
        }
        let mut names: Vec<String> =
            self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.matches('.').count();
        names.insert(if dots >= self.dots { 0 } else { names.len() }, name.to_owned());
        names
    }

    /// What the servers say; `None` if there is no such name.
    async fn records(&self, name: &str, kind: Kind) -> Result<Option<Good<Record>>, String> {
        let mut why = "there is no name server".to_owned();
        for server in self.servers.iter().cycle().take(self.servers.len() * ROUNDS) {
            let answer = match tokio::time::timeout(SERVER_LIMIT, ask(*server, name, kind)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    why = format!("{server}: {error}");
                    continue;
                }
                Err(_) => {
                    why = format!("{server} does not answer");
                    continue;
                }
            };
            match answer {
                Answer::Records(found, ttl_s) => return Ok(Some(Good { found, ttl_s })),
                Answer::NoName => return Ok(None),
                Answer::Failed(code) => why = format!("{server} failed with code {code}"),
                Answer::Truncated => why = format!("{server} has too much to say"),
            }
        }
        Err(why)
    }
}

pub(super) const NO_NAME: &str = "there is no such name";

/// Asks one server.
async fn ask(server: SocketAddr, name: &str, kind: Kind) -> std::io::Result<Answer> {
    // Guessing it, and the port, is what forging an answer takes (RFC 5452).
    let id = RandomState::new().hash_one(name) as u16;
    let mut question = vec![0; 2];
    if !dns::encode_question(id, name, kind, &mut question) {
        return Ok(Answer::NoName);
    }
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&question[2..]).await?;
    let mut bytes = [0; dns::UDP_BYTES_MAX as usize];
    loop {
        let count = socket.recv(&mut bytes).await?;
        match dns::read_answer(&bytes[..count], id, name, kind) {
            Ok(Answer::Truncated) | Err(NotAnswer::Malformed) => break,
            Ok(answer) => return Ok(answer),
            // Perhaps somebody else's.
            Err(NotAnswer::Other) => {}
        }
    }
    // Each message has its length before it (RFC 1035, 4.2.2).
    let length = (question.len() - 2) as u16;
    question[..2].copy_from_slice(&length.to_be_bytes());
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&question).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    dns::read_answer(&bytes, id, name, kind)
        .map_err(|_| std::io::Error::other("the answer is broken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_few_dots_are_looked_up_in_the_own_domains_first() {
        let search = ["b.cluster.local", "cluster.local"].map(str::to_owned).to_vec();
        let client = Client { servers: Vec::new(), search, dots: 2 };
        let candidates = |name| client.candidates(name).join(" ");
        assert_eq!(candidates("shop"), "shop.b.cluster.local shop.cluster.local shop");
        assert_eq!(
            candidates("a.b.example"),
            "a.b.example a.b.example.b.cluster.local a.b.example.cluster.local"
        );
        assert_eq!(candidates("shop."), "shop.");
    }
}
