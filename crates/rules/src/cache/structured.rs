//! Structured fields (RFC 9651), as far as caches are told things by them: dictionaries and lists.

/// A member's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Integer(i64),
    Boolean(bool),
    /// A string.
    Text(Vec<u8>),
    /// What no directive has: decimals, tokens, byte sequences, dates, inner lists, display strings.
    Other,
}

/// The members of a dictionary whose field lines are `lines`; `None` if there are none or they are
/// not one.
pub(crate) fn dictionary<'l>(
    lines: impl Iterator<Item = &'l [u8]>,
) -> Option<Vec<(Vec<u8>, Value)>> {
    let text = join(lines);
    let mut reader = Reader(trim(&text));
    let mut members: Vec<(Vec<u8>, Value)> = Vec::new();
    while !reader.0.is_empty() {
        let key = reader.key()?;
        let value = if reader.take(b'=') { reader.member()? } else { Value::Boolean(true) };
        reader.parameters()?;
        members.retain(|(known, _)| *known != key);
        members.push((key, value));
        if !reader.comma()? {
            break;
        }
    }
    (!members.is_empty()).then_some(members)
}

/// The members of a list of strings whose field lines are `lines`; `None` if they are not one.
pub(crate) fn strings<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Option<Vec<Vec<u8>>> {
    let text = join(lines);
    let mut reader = Reader(trim(&text));
    let mut members = Vec::new();
    while !reader.0.is_empty() {
        match reader.member()? {
            Value::Text(text) => members.push(text),
            _ => return None,
        }
        reader.parameters()?;
        if !reader.comma()? {
            break;
        }
    }
    Some(members)
}

/// RFC 9651, 4.2: several lines are one value with commas between.
fn join<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(line);
    }
    text
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| byte != b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| byte != b' ').map_or(start, |at| at + 1);
    &text[start..end]
}

struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &[u8] {
        let end = self.0.iter().position(|&byte| !keep(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// Whether another member follows; `None` if something else does.
    fn comma(&mut self) -> Option<bool> {
        let blank = |byte| matches!(byte, b' ' | b'\t');
        self.take_while(blank);
        if self.0.is_empty() {
            return Some(false);
        }
        if !self.take(b',') {
            return None;
        }
        self.take_while(blank);
        // RFC 9651, 4.2.2: "there is a trailing comma; fail parsing".
        (!self.0.is_empty()).then_some(true)
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        if !matches!(self.0.first()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let key = self.take_while(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'),
        );
        Some(key.to_vec())
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.take_while(|byte| byte == b' ');
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn member(&mut self) -> Option<Value> {
        if !self.take(b'(') {
            return self.item();
        }
        loop {
            self.take_while(|byte| byte == b' ');
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Value> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text().map(Value::Text),
            b'?' => {
                self.take(b'?');
                match (self.take(b'1'), self.take(b'0')) {
                    (true, false) => Some(Value::Boolean(true)),
                    (false, true) => Some(Value::Boolean(false)),
                    _ => None,
                }
            }
            b':' => {
                self.take(b':');
                self.take_while(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
                });
                self.take(b':').then_some(Value::Other)
            }
            b'@' => {
                self.take(b'@');
                match self.number()? {
                    Value::Integer(_) => Some(Value::Other),
                    _ => None,
                }
            }
            b'%' => {
                self.take(b'%');
                self.text().map(|_| Value::Other)
            }
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                self.take_while(|byte| {
                    wire::fields::is_token_byte(byte) || matches!(byte, b':' | b'/')
                });
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.take(b'-');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        // RFC 9651, 4.2.4: at most 15 digits, or 12 before a point and 1 to 3 behind it.
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        let (whole, length) =
            (std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?, digits.len());
        if self.take(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit()).len();
            return (length <= 12 && (1..=3).contains(&fraction)).then_some(Value::Other);
        }
        Some(Value::Integer(if negative { -whole } else { whole }))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        if !self.take(b'"') {
            return None;
        }
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(text),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    if !matches!(escaped, b'"' | b'\\') {
                        return None;
                    }
                    text.push(escaped);
                }
                b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_strings_are_all_strings_or_nothing() {
        let of = |text: &str| strings(std::iter::once(text.as_bytes()));
        assert_eq!(of(r#""a", "b\"c";x=1"#), Some(vec![b"a".to_vec(), b"b\"c".to_vec()]));
        assert_eq!(of(""), Some(Vec::new()));
        for broken in [r#""a" "b""#, "a", r#""a","#, r#""a"#, "1", "(\"a\")", "\"\u{e9}\""] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }

    #[test]
    fn dictionaries_have_members_of_many_types() {
        let of = |text: &str| dictionary(std::iter::once(text.as_bytes()));
        let types =
            "a, b=1, c=-2, d=1.5, e=\"x\", f=tok/en, g=:YQ==:, h=?0, i=(1 2;q=1), j=@12, k=%\"z\"";
        let values: Vec<Value> =
            of(types).expect("it is one").into_iter().map(|(_, value)| value).collect();
        let other = || Value::Other;
        assert_eq!(
            values,
            [
                Value::Boolean(true),
                Value::Integer(1),
                Value::Integer(-2),
                other(),
                Value::Text(b"x".to_vec()),
                other(),
                other(),
                Value::Boolean(false),
                other(),
                other(),
                other(),
            ]
        );
        for broken in ["a,", "a b", "A", "a=1234567890123456", "a=1.", "a=(1", "a=\"", "a;"] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }
}
