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
        let value = value_of(&request.fields, &name).map(Vec::into_boxed_slice);
        Varied { name, value }
    });
    varied.collect()
}

impl Stored {
    /// Whether the request has what selected this variant.
    #[must_use]
    pub fn is_for(&self, request: &RequestHead) -> bool {
        self.vary.iter().all(|varied| {
            match (&varied.value, value_of(&request.fields, &varied.name)) {
                (None, None) => true,
                (Some(stored), Some(given)) if **stored == *given => true,
                (_, Some(given)) if *varied.name == *"accept-language" => self.is_favourite(&given),
                _ => false,
            }
        })
    }

    /// Whether its language is what the client likes best, so that no other could be chosen for it.
    ///
    /// That an origin takes what is liked best, if it has it, is what the field is for (RFC 9110,
    /// 12.5.4); and it has this one.
    fn is_favourite(&self, languages: &[u8]) -> bool {
        let Some(language) = self.head.fields.get_named("content-language") else { return false };
        let mut liked = languages.split(|&byte| byte == b',');
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
            if let Some(value) = value_of(&request.fields, &varied.name) {
                out.push(b'=');
                out.extend_from_slice(&value);
            }
        }
    }
}

/// All lines of field `name` as one value, as normalised; `None` if there is none.
fn value_of(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let mut lines = fields.all_named(name);
    let first = lines.next()?;
    let mut joined = first.to_vec();
    for line in lines {
        joined.push(b',');
        joined.extend_from_slice(line);
    }
    let mut value = Vec::with_capacity(joined.len());
    normalise(name, &joined, &mut value);
    Some(value)
}

/// Appends `value` of field `name` in the one form that values of the same meaning have.
///
/// RFC 9111, 4.1: the values match if one can be made the other by "adding or removing whitespace,
/// where allowed in the header field's syntax", "combining multiple header field lines", or
/// "normalizing both header field values in a way that is known to have identical semantics".
pub(super) fn normalise(name: &str, value: &[u8], out: &mut Vec<u8>) {
    match name {
        "accept" | "accept-charset" | "accept-encoding" | "accept-language" => {
            preferences(value, out);
        }
        // These are no lists: a comma in them stands for itself.
        "authorization" | "cookie" | "user-agent" | "referer" | "origin" => {
            out.extend_from_slice(value.trim_ascii());
        }
        _ => {
            let start = out.len();
            for member in members(value) {
                if out.len() > start {
                    out.push(b',');
                }
                out.extend_from_slice(member);
            }
        }
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

/// Preferences (RFC 9110, 12.4): the more wanted first, among equals in the order of the alphabet,
/// each in lower case and without a weight of one. Their order means nothing, and neither does case.
fn preferences(value: &[u8], out: &mut Vec<u8>) {
    let mut wanted: Vec<(u32, Vec<u8>)> = members(value)
        .map(|member| {
            let mut weight = 1000;
            let mut text = Vec::with_capacity(member.len());
            for (at, part) in member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).enumerate()
            {
                if let [b'q' | b'Q', b'=', number @ ..] = part
                    && at > 0
                {
                    weight = thousandths(number);
                    continue;
                }
                if at > 0 {
                    text.push(b';');
                }
                text.extend(part.iter().map(u8::to_ascii_lowercase));
            }
            (weight, text)
        })
        .collect();
    wanted.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    wanted.dedup();
    for (at, (weight, text)) in wanted.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(text);
        if *weight < 1000 {
            out.extend_from_slice(format!(";{weight}").as_bytes());
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
