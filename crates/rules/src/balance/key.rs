//! What is to meet the same endpoint again: the key for consistent hashing.

use std::net::IpAddr;

use wire::{Known, RequestHead};

use super::ring::Hasher;
use super::sticky::cookie;
use crate::cx::Cx;

/// What a request is hashed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The value of a header.
    Header(Box<str>),
    /// The value of a cookie.
    Cookie(Box<str>),
    /// The path, without the query.
    Path,
    /// The client's address.
    Client,
}

impl HashBy {
    /// The key of a request; `None` if it lacks what it is hashed by, and can go anywhere.
    #[must_use]
    pub fn key(&self, head: &RequestHead, cx: &Cx) -> Option<u64> {
        let mut hasher = Hasher::default();
        match self {
            Self::Header(name) => {
                let mut is_there = false;
                for value in head.fields.all_named(name) {
                    hasher.write(value);
                    hasher.write(&[0]);
                    is_there = true;
                }
                is_there.then_some(())?;
            }
            Self::Cookie(name) => {
                let mut fields = head.fields.all(Known::Cookie);
                hasher.write(fields.find_map(|field| cookie(field, name))?);
            }
            Self::Path => hasher.write(head.path()),
            Self::Client => return Some(of_client(cx.client)),
        }
        Some(hasher.finish())
    }

    /// The key of a connection that is not HTTP: all that is known of it is whom it is from.
    #[must_use]
    pub fn key_of_connection(&self, client: IpAddr) -> Option<u64> {
        matches!(self, Self::Client).then(|| of_client(client))
    }
}

fn of_client(client: IpAddr) -> u64 {
    let mut hasher = Hasher::default();
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        // One client has a whole /64, and changes within it.
        IpAddr::V6(address) => hasher.write(&address.octets()[..8]),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_for_the_same_and_for_nothing_else() {
        let key = |by: &HashBy, client: &str, path: &str, fields: &[(&str, &str)]| {
            let mut head = RequestHead::new("GET", "a", path).expect("a valid head");
            for (name, value) in fields {
                head.fields.push(name, value.as_bytes());
            }
            by.key(&head, &Cx::new(client.parse().expect("an address"), false))
        };
        let header = HashBy::Header("x-user".into());
        let cookie = HashBy::Cookie("session".into());
        let of = |by: &HashBy, fields: &[(&str, &str)]| key(by, "::1", "/", fields);
        assert_eq!(of(&header, &[]), None);
        assert!(of(&header, &[("X-User", "a")]).is_some());
        assert_eq!(of(&header, &[("X-User", "a")]), of(&header, &[("x-user", "a"), ("b", "c")]));
        assert_ne!(
            of(&header, &[("x-user", "ab"), ("x-user", "c")]),
            of(&header, &[("x-user", "a"), ("x-user", "bc")])
        );
        assert_eq!(of(&cookie, &[("cookie", "a=b")]), None);
        assert_eq!(
            of(&cookie, &[("cookie", "a=b; session=1")]),
            of(&cookie, &[("cookie", "c=d"), ("cookie", "session=1; e=f")])
        );
        let path = |path: &str| key(&HashBy::Path, "::1", path, &[]);
        assert_eq!(path("/a?b"), path("/a?c"));
        assert_ne!(path("/a"), path("/b"));
        let client = |client: &str| key(&HashBy::Client, client, "/", &[]);
        assert_eq!(client("2001:db8::1"), client("2001:db8::2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        let address = "192.0.2.1".parse().expect("an address");
        assert_eq!(HashBy::Client.key_of_connection(address), client("192.0.2.1"));
        assert_eq!(header.key_of_connection(address), None);
    }
}
