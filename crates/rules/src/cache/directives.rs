//! `Cache-Control` as it is understood, and the fields that are aimed at caches like this one.

use wire::{Fields, Known};

/// What the directives of one message say, requests and responses alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) max_age: Option<Seconds>,
    pub(crate) s_maxage: Option<Seconds>,
    pub(crate) stale_while_revalidate: Option<Seconds>,
    pub(crate) stale_if_error: Option<Seconds>,
    pub(crate) min_fresh: Option<Seconds>,
    pub(crate) max_stale: Option<MaxStale>,
    pub(crate) no_cache: Scope,
    pub(crate) private: Scope,
    pub(crate) no_store: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    pub(crate) only_if_cached: bool,
}

/// A number of seconds, or that there should have been one.
///
/// RFC 9111, 4.2.1: "Caches are encouraged to consider responses that have invalid freshness
/// information (e.g., a max-age directive with non-integer content) to be stale."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seconds {
    Of(u64),
    Broken,
}

impl Seconds {
    /// As milliseconds; none are what is broken.
    pub(crate) fn as_ms(self) -> u64 {
        match self {
            Self::Of(seconds) => seconds.saturating_mul(1000),
            Self::Broken => 0,
        }
    }

    /// RFC 9111, 1.2.2: `delta-seconds = 1*DIGIT`; what is too large is the largest.
    fn read(text: &[u8]) -> Self {
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Self::Broken;
        }
        let digits = text.iter().map(|digit| u64::from(digit - b'0'));
        Self::Of(digits.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(digit)))
    }
}

/// How stale a response a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxStale {
    Any,
    Of(u64),
}

/// What a directive is about that may name fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It was not given.
    #[default]
    None,
    /// Only these fields, in lower case (RFC 9111, 5.2.2.4: the "qualified form").
    Fields(Vec<Box<[u8]>>),
    /// The whole message.
    All,
}

impl Scope {
    fn add(&mut self, argument: Argument<'_>) {
        let names = match argument {
            Argument::None | Argument::Broken => return *self = Self::All,
            Argument::Token(text) | Argument::Quoted(text) => text,
        };
        let names = names.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let names =
            names.filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase().into());
        match self {
            Self::None => *self = Self::Fields(names.collect()),
            Self::Fields(fields) => fields.extend(names),
            Self::All => {}
        }
    }
}

/// What stands behind a directive's `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument<'t> {
    None,
    Token(&'t [u8]),
    /// What stands between the quotes, as written.
    Quoted(&'t [u8]),
    /// Something that is no argument.
    Broken,
}

impl Argument<'_> {
    /// RFC 9111, 5.2: "recipients ought to accept both forms".
    fn seconds(self) -> Seconds {
        match self {
            Self::Token(text) | Self::Quoted(text) => Seconds::read(text),
            Self::None | Self::Broken => Seconds::Broken,
        }
    }
}

impl Directives {
    /// What `Cache-Control` in `fields` says.
    pub(crate) fn of(fields: &Fields) -> Self {
        let mut directives = Self::default();
        for line in fields.all(Known::CacheControl) {
            let mut rest = line;
            while let Some((name, argument)) = next(&mut rest) {
                directives.add(name, argument);
            }
        }
        directives
    }

    /// What a field that is aimed at this cache says (RFC 9213), if there is one that is sound.
    pub(crate) fn targeted(fields: &Fields) -> Option<Self> {
        // RFC 9213, 2.2: "the cache MUST select the first (in target-list order) field with a valid,
        // non-empty value and use its value to determine the caching policy for the response".
        TARGETS.iter().find_map(|name| super::structured::dictionary(fields.all_named(name))).map(
            |members| {
                let mut directives = Self::default();
                for (name, value) in &members {
                    directives.add_member(name, value);
                }
                directives
            },
        )
    }

    fn add(&mut self, name: &[u8], argument: Argument<'_>) {
        // RFC 9111, 4.2.1: of a directive that is there twice, "either the first occurrence should
        // be used or the response should be considered stale".
        let number = |slot: &mut Option<Seconds>| _ = slot.get_or_insert(argument.seconds());
        match &*name.to_ascii_lowercase() {
            b"max-age" => number(&mut self.max_age),
            b"s-maxage" => number(&mut self.s_maxage),
            b"stale-while-revalidate" => number(&mut self.stale_while_revalidate),
            b"stale-if-error" => number(&mut self.stale_if_error),
            b"min-fresh" => number(&mut self.min_fresh),
            b"max-stale" => {
                let stale = match argument {
                    Argument::None => MaxStale::Any,
                    _ => MaxStale::Of(argument.seconds().as_ms()),
                };
                self.max_stale.get_or_insert(stale);
            }
            b"no-cache" => self.no_cache.add(argument),
            b"private" => self.private.add(argument),
            name => self.set(name),
        }
    }

    /// A member of a targeted field. RFC 9213, 2.1: a value whose type is not that of the directive
    /// is no value: the directive is ignored.
    fn add_member(&mut self, name: &[u8], value: &super::structured::Value) {
        use super::structured::Value;
        let seconds = match value {
            Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Seconds::Of),
            _ => None,
        };
        let scope = match value {
            Value::Boolean(true) => Scope::All,
            Value::Text(names) => {
                let mut scope = Scope::None;
                scope.add(Argument::Quoted(names));
                scope
            }
            _ => Scope::None,
        };
        match name {
            b"max-age" => self.max_age = seconds,
            b"s-maxage" => self.s_maxage = seconds,
            b"stale-while-revalidate" => self.stale_while_revalidate = seconds,
            b"stale-if-error" => self.stale_if_error = seconds,
            b"no-cache" => self.no_cache = scope,
            b"private" => self.private = scope,
            name if *value == Value::Boolean(true) => self.set(name),
            _ => {}
        }
    }

    /// A directive without an argument; one that takes none is understood with one too. RFC 9111,
    /// 5.2.3: "A cache MUST ignore unrecognized cache directives."
    fn set(&mut self, name: &[u8]) {
        match name {
            b"no-store" => self.no_store = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"only-if-cached" => self.only_if_cached = true,
            _ => {}
        }
    }
}

/// The fields that are aimed at this cache, the most particular first (RFC 9213, 2.2: the "target
/// list").
pub(crate) const TARGETS: [&str; 2] = ["doorward-cache-control", "cdn-cache-control"];

/// Takes the next directive off `rest`: `token [ "=" ( token / quoted-string ) ]`.
fn next<'t>(rest: &mut &'t [u8]) -> Option<(&'t [u8], Argument<'t>)> {
    let start = rest.iter().position(|&byte| !matches!(byte, b',' | b' ' | b'\t'))?;
    let text = &rest[start..];
    let name_end =
        text.iter().position(|&byte| !wire::fields::is_token_byte(byte)).unwrap_or(text.len());
    let (name, behind) = text.split_at(name_end);
    let (argument, behind) = match behind {
        [b'=', b'"', quoted @ ..] => match quoted_end(quoted) {
            Some(end) => (Argument::Quoted(&quoted[..end]), &quoted[end + 1..]),
            None => (Argument::Broken, &quoted[quoted.len()..]),
        },
        [b'=', token @ ..] => {
            let end = token.iter().position(|byte| !wire::fields::is_token_byte(*byte));
            let (token, behind) = token.split_at(end.unwrap_or(token.len()));
            (if token.is_empty() { Argument::Broken } else { Argument::Token(token) }, behind)
        }
        _ => (Argument::None, behind),
    };
    // What follows must be the next directive, or this is none that can be understood.
    let junk_end = unquoted_comma(behind);
    let junk = !behind[..junk_end].trim_ascii().is_empty();
    *rest = &behind[junk_end..];
    Some((name, if junk { Argument::Broken } else { argument }))
}

fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Where the next comma is that stands in no quoted string.
fn unquoted_comma(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b',' => return at,
            b'"' => match quoted_end(&text[at + 1..]) {
                Some(end) => at += end + 2,
                None => return text.len(),
            },
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expect: Directives) {
        let mut fields = Fields::default();
        for line in lines {
            fields.push("Cache-Control", line.as_bytes());
        }
        assert_eq!(Directives::of(&fields), expect, "{lines:?}");
    }

    fn max_age(seconds: Seconds) -> Directives {
        Directives { max_age: Some(seconds), ..Directives::default() }
    }

    #[test]
    fn numbers_are_read_as_written_or_not_at_all() {
        for (text, seconds) in [
            ("max-age=60", Seconds::Of(60)),
            ("MaX-aGe=0060", Seconds::Of(60)),
            ("max-age=\"60\"", Seconds::Of(60)),
            ("max-age=99999999999999999999999", Seconds::Of(u64::MAX)),
            ("max-age=-60", Seconds::Broken),
            ("max-age=60.0", Seconds::Broken),
            ("max-age=a60", Seconds::Broken),
            ("max-age=60a", Seconds::Broken),
            ("max-age='60'", Seconds::Broken),
            ("max-age =60", Seconds::Broken),
            ("max-age= 60", Seconds::Broken),
            ("max-age=", Seconds::Broken),
            ("max-age", Seconds::Broken),
            ("max-age=60 60", Seconds::Broken),
            ("max-age=\"60", Seconds::Broken),
            // The first of several counts.
            ("max-age=60, max-age=1", Seconds::Of(60)),
            ("max-age=60;max-age=1", Seconds::Broken),
            ("ext=\"max-age=1\", max-age=60", Seconds::Of(60)),
            ("ext=\"a\\\",max-age=1\", max-age=60", Seconds::Of(60)),
            (",, ext ,max-age=60,", Seconds::Of(60)),
        ] {
            check(&[text], max_age(seconds));
        }
        check(&["max-age=60", "max-age=1"], max_age(Seconds::Of(60)));
    }

    #[test]
    fn scopes_name_fields_or_all() {
        let names = |names: &[&str]| {
            Scope::Fields(names.iter().map(|name| name.as_bytes().into()).collect())
        };
        let of = |no_cache| Directives { no_cache, ..Directives::default() };
        check(&["no-cache"], of(Scope::All));
        check(&["no-cache=\"A, b\""], of(names(&["a", "b"])));
        check(&["no-cache=a"], of(names(&["a"])));
        check(&["no-cache=a", "no-cache=\"b\""], of(names(&["a", "b"])));
        check(&["no-cache=a, no-cache"], of(Scope::All));
        check(&["no-cache=\"a"], of(Scope::All));
        check(
            &["Private=\"x\", NO-STORE, public"],
            Directives {
                private: names(&["x"]),
                no_store: true,
                public: true,
                ..Directives::default()
            },
        );
    }

    #[test]
    fn a_client_says_how_stale() {
        let of = |max_stale| Directives { max_stale: Some(max_stale), ..Directives::default() };
        check(&["max-stale"], of(MaxStale::Any));
        check(&["max-stale=5"], of(MaxStale::Of(5_000)));
        check(&["max-stale=x"], of(MaxStale::Of(0)));
    }

    #[test]
    fn targeted_fields_are_structured_and_the_nearest_counts() {
        let of = |lines: &[(&str, &str)]| {
            let mut fields = Fields::default();
            for (name, value) in lines {
                fields.push(name, value.as_bytes());
            }
            Directives::targeted(&fields)
        };
        let (cdn, own) = ("CDN-Cache-Control", "Doorward-Cache-Control");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(cdn, "max-age=60")]), Some(max_age(Seconds::Of(60))));
        assert_eq!(of(&[(cdn, "max-age=60"), (own, "max-age=5")]), Some(max_age(Seconds::Of(5))));
        // Of a member that is there twice, the last counts (RFC 9651, 4.2.2).
        assert_eq!(of(&[(cdn, "max-age=60, max-age=5")]), Some(max_age(Seconds::Of(5))));
        // What cannot be read, or is empty, is as if it were not there.
        for broken in ["max-age=60, &&&", "MaX-aGe=60", "max-age =60", "max-age=", "", " "] {
            assert_eq!(of(&[(cdn, broken)]), None, "{broken:?}");
        }
        assert_eq!(of(&[(cdn, "max-age=60"), (own, "&")]), Some(max_age(Seconds::Of(60))));
        // Of another type is as if the directive were not there.
        for wrong in ["max-age=\"60\"", "max-age=-1", "no-store=?0", "no-store=1", "foo;a=1"] {
            assert_eq!(of(&[(cdn, wrong)]), Some(Directives::default()), "{wrong:?}");
        }
        let no_store = Directives { no_store: true, ..Directives::default() };
        assert_eq!(of(&[(cdn, "no-store;x=1, foo=(a b)")]), Some(no_store));
    }
}
