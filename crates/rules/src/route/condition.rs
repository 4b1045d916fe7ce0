//! What a route asks of header fields, query parameters and the method.

use wire::{Method, RequestHead};

use super::text::Wanted;
use crate::percent;

/// A header field or query parameter that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) name: Box<str>,
    /// The value that it must have; any if there is none.
    pub(super) value: Option<Box<str>>,
}

impl Condition {
    pub(crate) fn new(name: String, wanted: &Wanted) -> Self {
        Self {
            name: name.into(),
            value: match wanted {
                Wanted::Present => None,
                Wanted::Exactly(value) => Some(value.as_str().into()),
            },
        }
    }

    pub(crate) fn accepts(&self, value: &[u8]) -> bool {
        self.value.as_ref().is_none_or(|wanted| wanted.as_bytes() == value)
    }

    /// Whether a field line of `head` is so.
    pub(crate) fn header_holds(&self, head: &RequestHead) -> bool {
        head.fields.all_named(&self.name).any(|value| self.accepts(value))
    }

    /// Whether a query parameter of `head` is so, compared decoded: `%61` is no way around a rule.
    pub(crate) fn query_holds(&self, head: &RequestHead) -> bool {
        let query = head.query().unwrap_or_default();
        query.split(|&byte| byte == b'&').any(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            percent::query_part_is(&pair[..at], self.name.as_bytes())
                && self
                    .value
                    .as_ref()
                    .is_none_or(|wanted| percent::query_part_is(value, wanted.as_bytes()))
        })
    }
}

/// Whether one request can satisfy both lists.
pub(super) fn compatible(a: &[Condition], b: &[Condition]) -> bool {
    // A field can be sent twice, but rules that lean on that are a mistake waiting to happen:
    // different values of one name count as exclusive.
    !a.iter().any(|a| {
        b.iter().any(|b| {
            a.name == b.name && matches!((&a.value, &b.value), (Some(a), Some(b)) if a != b)
        })
    })
}

/// A set of methods: one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Methods(u64);

/// The methods that have a bit of their own: the bit is their number in [`Method`].
const REGISTERED: [(Method, &str); 9] = [
    (Method::Get, "GET"),
    (Method::Head, "HEAD"),
    (Method::Post, "POST"),
    (Method::Put, "PUT"),
    (Method::Delete, "DELETE"),
    (Method::Options, "OPTIONS"),
    (Method::Patch, "PATCH"),
    (Method::Trace, "TRACE"),
    (Method::Connect, "CONNECT"),
];

/// The most unregistered methods that one configuration may name: the other bits but the last,
/// which stands for all that no route names.
pub(super) const OTHER_METHODS_MAX: usize = 63 - REGISTERED.len();

impl Methods {
    pub(super) const ANY: Self = Self(u64::MAX);
    pub(super) const NONE: Self = Self(0);

    /// The bit of `method`, given the unregistered methods that routes name.
    pub(super) fn of(head: &RequestHead, others: &[Box<str>]) -> Self {
        match head.method {
            Method::Other => Self(1 << other_bit(head.method_text(), others)),
            method => Self(1 << method as u32),
        }
    }

    /// The set of `names`; `others` learns the unregistered ones.
    pub(super) fn named(names: &[Box<str>], others: &mut Vec<Box<str>>) -> Self {
        let mut set = 0;
        for name in names {
            set |= match REGISTERED.iter().position(|(_, known)| **known == **name) {
                Some(bit) => 1 << bit,
                None => {
                    if !others.contains(name) {
                        others.push(name.clone());
                    }
                    1 << other_bit(name, others)
                }
            };
        }
        Self(set)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `HEAD` itself is named.
    pub(super) fn names_head(self) -> bool {
        self != Self::ANY && self.0 & 2 != 0
    }

    /// With `HEAD` where `GET` is: "the HEAD method is identical to GET" (RFC 9110, 9.3.2).
    pub(super) fn with_head(self) -> Self {
        Self(self.0 | (self.0 & 1) << 1)
    }

    /// The value of `Allow`.
    pub(super) fn allow(self, others: &[Box<str>]) -> String {
        let registered = REGISTERED.iter().map(|(_, name)| *name);
        let names = registered.chain(others.iter().map(|name| &**name));
        let named = names.enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        named.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }
}

fn other_bit(name: &str, others: &[Box<str>]) -> usize {
    let at = others.iter().position(|known| **known == *name);
    at.map_or(63, |at| (REGISTERED.len() + at).min(63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_the_bit_of_its_number() {
        for (bit, (method, name)) in REGISTERED.into_iter().enumerate() {
            assert_eq!(method as usize, bit);
            assert_eq!(Method::of(name.as_bytes()), method);
        }
    }

    #[test]
    fn unregistered_methods_are_told_apart_if_named() {
        let mut others = Vec::new();
        let purge = Methods::named(&["PURGE".into()], &mut others);
        let head = |method| RequestHead::new(method, "a", "/").expect("valid");
        assert!(purge.has(Methods::of(&head("PURGE"), &others)));
        assert!(!purge.has(Methods::of(&head("BAN"), &others)));
        assert!(Methods::ANY.has(Methods::of(&head("BAN"), &others)));
        assert!(!purge.has(Methods::of(&head("GET"), &others)));
        let both = purge.and(Methods::named(&["POST".into()], &mut others));
        assert_eq!(both.allow(&others), "POST, PURGE");
    }
}
