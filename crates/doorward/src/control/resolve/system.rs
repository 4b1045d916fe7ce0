//! What this machine's own files say about names.

use std::net::{IpAddr, SocketAddr};

use super::client::Client;

/// The port of name servers.
const PORT: u16 = 53;

/// The most name servers and domains that are taken; resolvers take three and six (resolv.conf(5)).
const LISTED_MAX: usize = 8;

/// The client that the text of `/etc/resolv.conf` describes.
pub(super) fn client(text: &str) -> Client {
    let mut client = Client { dots: 1, ..Client::default() };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                // An address may have its interface behind it (`fe80::1%eth0`): no standard type has
                // both from a text, so such a server is left out.
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                client.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
            }
            // The last one counts.
            Some("search" | "domain") => {
                client.search = words
                    .map(|word| word.trim_end_matches('.').to_owned())
                    .filter(|domain| !domain.is_empty())
                    .collect();
            }
            Some("options") => {
                let dots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                client.dots = dots.unwrap_or(client.dots);
            }
            _ => {}
        }
    }
    client.servers.truncate(LISTED_MAX);
    client.search.truncate(LISTED_MAX);
    client
}

/// The addresses of `name` in the text of `/etc/hosts`.
pub(super) fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_resolvers_do() {
        let read = client(
            "# ours\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver ::1\n\
             domain example\nsearch b.local. c.local\noptions timeout:1 ndots:5 rotate\n",
        );
        let servers: Vec<String> = read.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[::1]:53"]);
        assert_eq!((read.search.join(" "), read.dots), ("b.local c.local".to_owned(), 5));
        assert_eq!(client("").dots, 1);
    }

    #[test]
    fn hosts_have_addresses_first_and_names_behind() {
        let text = "127.0.0.1 localhost\n::1 localhost ip6 # one\n10.0.0.1\tdb DB.example\nx y\n";
        let find = |name| in_hosts(text, name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(find("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(find("Db.Example"), ["10.0.0.1"]);
        assert_eq!(find("one"), [""; 0]);
    }
}
