//! `Vary`: which of several answers at one URL is for a request (RFC 9111, 4.1).

use wire::{Fields, Known, RequestHead, ResponseHead};

use super::stored::{Stored, Varied};

/// The names in `Vary`, in lower case, each once and sorted; `None` if it says `*`.
///
/// RFC 9111, 4.1: "A stored response with a Vary header field value containing a member "*" always
/// fails to match."
pub(super) fn names(response: &ResponseHead, more: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = more.to_vec();
    for line in response.fields.all(Known::Vary) {
        for name in line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if name == b"*" {
                return None;
            }
            if !name.is_empty() {
                names.push(String::from_utf8_lossy(name).to_ascii_lowercase().into());
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// What the request has in the fields of `names`.
pub(super) fn of_request(names: Vec<Box<str>>, request: &RequestHead) -> Box<[Varied]> {
    let varied = names.into_iter().map(|name| {
        let mut value = Vec::new();
        let given = write_value(&request.fields, &name, &mut |part| value.extend_from_slice(part));
        Varied { name, value: given.then(|| value.into()) }
    });
    varied.collect()
}

impl Stored {
    /// Whether the request has what selected this variant. Allocates nothing.
    #[must_use]
    #[inline]
    pub fn is_for(&self, request: &RequestHead) -> bool {
        self.vary.iter().all(|varied| self.agrees(varied, request))
    }

    fn agrees(&self, varied: &Varied, request: &RequestHead) -> bool {
        let Varied { name, value } = varied;
        let fields = &request.fields;
        let mut lines = fields.all_named(name);
        let (first, second) = (lines.next(), lines.next());
        match (value, first) {
            (None, None) => return true,
            // What was normal when it was stored is normal as it stands.
            (Some(stored), Some(line)) if second.is_none() && **stored == *line => return true,
            _ => {}
        }
        let mut left = value.as_deref().unwrap_or_default();
        let mut same = true;
        let given = write_value(fields, name, &mut |part| match left.strip_prefix(part) {
            Some(rest) => left = rest,
            None => same = false,
        });
        let same = same && left.is_empty() && given == value.is_some();
        same || (given && **name == *"accept-language" && self.is_favourite(first))
    }

    /// Whether its language is what the client likes best, so that no other could be chosen for it.
    ///
    /// That an origin takes what is liked best, if it has it, is what the field is for (RFC 9110,
    /// 12.5.4); and it has this one.
    fn is_favourite(&self, languages: Option<&[u8]>) -> bool {
        let Some(language) = self.head.fields.get_named("content-language") else { return false };
        let mut normal = Vec::new();
        normalise("accept-language", languages.into_iter(), &mut |part| {
            normal.extend_from_slice(part);
        });
        let mut liked = normal.split(|&byte| byte == b',');
        let (first, second) = (liked.next().unwrap_or_default(), liked.next());
        // Normalised: whatever has no weight is liked with one of 1.
        let is_alone = second.is_none_or(|second| second.contains(&b';'));
        is_alone && !first.contains(&b';') && first.eq_ignore_ascii_case(language)
    }
}

impl Stored {
    /// Appends what the request has in the fields that this response varies by.
    pub fn write_variant(&self, request: &RequestHead, out: &mut Vec<u8>) {
        for varied in &self.vary {
            out.push(0);
            out.extend_from_slice(varied.name.as_bytes());
            let start = out.len();
            out.push(b'=');
            if !write_value(&request.fields, &varied.name, &mut |part| out.extend_from_slice(part))
            {
                out.truncate(start);
            }
        }
    }
}

/// Hands all lines of field `name` as one value, as normalised, to `put`; false if there is none.
fn write_value(fields: &Fields, name: &str, put: &mut dyn FnMut(&[u8])) -> bool {
    if fields.get_named(name).is_none() {
        return false;
    }
    normalise(name, fields.all_named(name), put);
    true
}

/// Hands the value of field `name`, which has these `lines`, to `put` in the one form that values of the
/// same meaning have.
///
/// RFC 9111, 4.1: the values match if one can be made the other by "adding or removing whitespace,
/// where allowed in the header field's syntax", "combining multiple header field lines", or
/// "normalizing both header field values in a way that is known to have identical semantics".
pub(super) fn normalise<'l>(
    name: &str,
    lines: impl Iterator<Item = &'l [u8]>,
    put: &mut dyn FnMut(&[u8]),
) {
    let mut some = false;
    let mut member = |member: &[u8]| {
        if std::mem::replace(&mut some, true) {
            put(b",");
        }
        put(member);
    };
    match name {
        "accept" | "accept-charset" | "accept-encoding" | "accept-language" => {
            preferences(lines.flat_map(members), put);
        }
        // These are no lists: a comma in them stands for itself.
        "authorization" | "cookie" | "user-agent" | "referer" | "origin" => {
            lines.map(<[u8]>::trim_ascii).for_each(&mut member);
        }
        _ => lines.flat_map(members).for_each(&mut member),
    }
}

/// The members of a list, without the blanks around them.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let split = value.split(move |&byte| {
        let was_escaped = escaped;
        escaped = quoted && byte == b'\\' && !was_escaped;
        quoted ^= byte == b'"' && !was_escaped;
        byte == b',' && !quoted
    });
    split.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// One of what a client would take.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted<'v> {
    /// In thousandths.
    weight: u32,
    /// As it stands, its weight included.
    member: &'v [u8],
}

impl<'v> Wanted<'v> {
    fn read(member: &'v [u8]) -> Self {
        let mut weight = 1000;
        for part in member.split(|&byte| byte == b';').skip(1) {
            if let [b'q' | b'Q', b'=', number @ ..] = part.trim_ascii() {
                weight = thousandths(number);
            }
        }
        Self { weight, member }
    }

    /// In lower case, without blanks and weight.
    fn text(&self) -> impl Iterator<Item = u8> + 'v {
        let parts = self.member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).enumerate();
        let parts = parts.filter(|(at, part)| *at == 0 || !matches!(part, [b'q' | b'Q', b'=', ..]));
        parts.flat_map(|(at, part)| {
            let between = (at > 0).then_some(b';');
            between.into_iter().chain(part.iter().map(u8::to_ascii_lowercase))
        })
    }
}

/// So many preferences are put in order without memory of their own; browsers write up to ten.
const WANTED_IN_PLACE: usize = 16;

/// Preferences (RFC 9110, 12.4): the more wanted first, among equals in the order of the alphabet,
/// each in lower case and without a weight of one. Their order means nothing, and neither does case.
fn preferences<'l>(members: impl Iterator<Item = &'l [u8]>, put: &mut dyn FnMut(&[u8])) {
    let mut here = [Wanted::default(); WANTED_IN_PLACE];
    let mut count = 0;
    let mut more = Vec::new();
    for member in members {
        let wanted = Wanted::read(member);
        match here.get_mut(count) {
            Some(place) => *place = wanted,
            None => {
                if more.is_empty() {
                    more.extend_from_slice(&here);
                }
                more.push(wanted);
            }
        }
        count += 1;
    }
    let all = if more.is_empty() { &mut here[..count] } else { &mut more };
    all.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.text().cmp(b.text())));
    let mut before: Option<Wanted<'_>> = None;
    for wanted in &*all {
        if let Some(before) = before {
            if before.weight == wanted.weight && before.text().eq(wanted.text()) {
                continue;
            }
            put(b",");
        }
        before = Some(*wanted);
        wanted.text().for_each(|byte| put(&[byte]));
        if wanted.weight < 1000 {
            // In a form that reads as what it is.
            let mut digits = *b";q=0000";
            for (at, ten) in [(4, 100), (5, 10), (6, 1)] {
                digits[at] += (wanted.weight / ten % 10) as u8;
            }
            put(&digits);
        }
    }
}

/// RFC 9110, 12.4.2: a weight from 0 to 1 with at most three digits behind the point.
fn thousandths(number: &[u8]) -> u32 {
    let mut digits =
        number.iter().filter(|byte| byte.is_ascii_digit()).map(|d| u32::from(d - b'0'));
    let mut sum = 0;
    for _ in 0..4 {
        sum = sum * 10 + digits.next().unwrap_or_default();
    }
    sum.min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn normal(name: &str, lines: &[&str]) -> String {
        let mut out = Vec::new();
        let lines = lines.iter().map(|line| line.as_bytes());
        normalise(name, lines, &mut |part| out.extend_from_slice(part));
        String::from_utf8(out).expect("it was text")
    }

    #[test]
    fn values_of_one_meaning_have_one_form() {
        for (name, lines, expect) in [
            ("x", &["a, b", "c"][..], "a,b,c"),
            ("x", &[" a ,, b,"], "a,b"),
            ("x", &["b, a"], "b,a"),
            ("x", &["\"a, b\" , c"], "\"a, b\",c"),
            ("x", &[""], ""),
            ("user-agent", &["A (b, c)"], "A (b, c)"),
            ("cookie", &["a=b", "c=d"], "a=b,c=d"),
            ("accept-encoding", &["gzip, deflate, BR"], "br,deflate,gzip"),
            ("accept-encoding", &["gzip;q=0.5, br"], "br,gzip;q=0500"),
            ("accept-encoding", &["br;q=1.0", "gzip ; Q=0.25"], "br,gzip;q=0250"),
            (
                "accept",
                &["text/html;level=1;q=0.3, */*;q=0"],
                "text/html;level=1;q=0300,*/*;q=0000",
            ),
            ("accept-language", &["de, DE, en;q=0.8"], "de,en;q=0800"),
        ] {
            assert_eq!(normal(name, lines), expect, "{lines:?}");
            assert_eq!(normal(name, &[expect]), expect, "what is normal stays so");
        }
        let many: Vec<String> = (0..40).rev().map(|at| format!("a{at:02}")).collect();
        let sorted = (0..40).map(|at| format!("a{at:02}")).collect::<Vec<_>>().join(",");
        assert_eq!(normal("accept", &[&many.join(", ")]), sorted);
    }

    #[test]
    fn a_variant_is_for_all_who_mean_the_same() {
        let request = |lines: &[(&str, &str)]| {
            let mut head = RequestHead::new("GET", "h", "/").expect("a request");
            for (name, value) in lines {
                head.fields.push(name, value.as_bytes());
            }
            head
        };
        let stored_for = |lines: &[(&str, &str)], names: &[&str]| {
            let names = names.iter().map(|name| (*name).into()).collect();
            of_request(names, &request(lines))
        };
        let mut stored = super::super::stored::tests::stored();
        for (names, first, second, same) in [
            (&["foo"][..], &[("Foo", "1")][..], &[("foo", " 1 ")][..], true),
            (&["foo"], &[("Foo", "1")], &[("foo", "12")], false),
            (&["foo"], &[("Foo", "12")], &[("foo", "1")], false),
            (&["foo"], &[], &[], true),
            (&["foo"], &[], &[("foo", "")], false),
            (&["foo"], &[("foo", "")], &[], false),
            (&["foo"], &[("Foo", "1, 2")], &[("foo", "1"), ("foo", "2")], true),
            (&["foo", "bar"], &[("foo", "1")], &[("foo", "1"), ("bar", "2")], false),
            (&["accept"], &[("accept", "a, b")], &[("accept", "B;q=1, a")], true),
            (&["accept"], &[("accept", "a, b")], &[("accept", "a, b;q=0.9")], false),
        ] {
            stored.vary = stored_for(first, names);
            assert_eq!(stored.is_for(&request(second)), same, "{first:?}, {second:?}");
        }
    }
}
