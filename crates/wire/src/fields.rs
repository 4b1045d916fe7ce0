//! Field lines: one text, and where each line lies in it.

use std::ops::Range;

use crate::known::Known;

/// The header (or trailer) fields of one message.
///
/// The lines stand in one text, each as `name: value CRLF`; an edit drops a line or appends one,
/// and never moves bytes. Both vectors keep their capacity over [`Fields::clear`], so a recycled
/// value allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub(crate) text: Vec<u8>,
    pub(crate) list: Vec<Field>,
    /// The bits of the known names that are present.
    pub(crate) known: u64,
    /// The bits of those that have more than one line.
    pub(crate) repeated: u64,
    /// The first letters of the names that are not known, as [`initial`] has them.
    pub(crate) initials: u32,
}

/// Where one line lies. Offsets are bytes in the text of its [`Fields`].
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub(crate) start: u32,
    /// Behind the line's CRLF.
    pub(crate) end: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
    pub(crate) name_bytes: u16,
    pub(crate) known: Known,
    pub(crate) dropped: bool,
}

impl Field {
    fn name(self) -> Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.name_bytes)
    }

    fn value(self) -> Range<usize> {
        self.value_start as usize..self.value_end as usize
    }
}

impl Fields {
    /// Forgets all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.list.clear();
        self.known = 0;
        self.repeated = 0;
        self.initials = 0;
    }

    /// Becomes a copy of `other`, in the memory that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self { text, list, known, repeated, initials } = other;
        self.text.clone_from(text);
        self.list.clone_from(list);
        (self.known, self.repeated, self.initials) = (*known, *repeated, *initials);
    }

    /// Gives back memory beyond `bytes` that one unusually large message made it take.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.text.shrink_to(bytes);
        self.list.shrink_to(bytes / size_of::<Field>());
    }

    /// The memory of its two allocations, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> (usize, usize) {
        (self.text.capacity(), self.list.capacity() * size_of::<Field>())
    }

    /// The number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.iter().filter(|field| !field.dropped).count()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a field of this name is present.
    #[must_use]
    #[inline]
    pub fn has(&self, known: Known) -> bool {
        self.known & known.bit() != 0
    }

    /// Whether a field of this name has more than one line.
    #[inline]
    pub(crate) fn is_repeated(&self, known: Known) -> bool {
        self.repeated & known.bit() != 0
    }

    /// Whether a name that is not known may be present that begins with a letter in `set`, which is
    /// made of [`initial`]s. A no is certain; it spares a look at every name.
    #[must_use]
    #[inline]
    pub fn may_have_unknown(&self, set: u32) -> bool {
        self.initials & set != 0
    }

    /// Whether any of the names whose bits are in `set` is present.
    #[must_use]
    #[inline]
    pub fn has_any(&self, set: u64) -> bool {
        self.known & set != 0
    }

    /// The value of the first line of this name.
    #[must_use]
    #[inline]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.has(known) {
            return None;
        }
        self.all(known).next()
    }

    /// The values of all lines of this name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let list = if self.has(known) { &self.list[..] } else { &[] };
        list.iter()
            .filter(move |field| field.known == known && !field.dropped)
            .map(|field| &self.text[field.value()])
    }

    /// The value of the first line called `name`, whatever its case.
    #[must_use]
    pub fn get_named(&self, name: &str) -> Option<&[u8]> {
        self.all_named(name).next()
    }

    /// The values of all lines called `name`, in order.
    pub fn all_named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// All lines as name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list
            .iter()
            .filter(|field| !field.dropped)
            .map(|field| (&self.text[field.name()], &self.text[field.value()]))
    }

    pub(crate) fn name_of(&self, field: &Field) -> &[u8] {
        &self.text[field.name()]
    }

    pub(crate) fn value_of(&self, field: &Field) -> &[u8] {
        &self.text[field.value()]
    }

    /// Adds a line behind the others.
    ///
    /// Bytes that may not stand in a field value (controls but tab) are left out: no caller can
    /// make a line break, whatever it was handed.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        assert!(name.bytes().all(is_token_byte) && !name.is_empty(), "a name is a token");
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        let value_start = self.text.len();
        self.text.extend(value.iter().copied().filter(|&byte| is_value_byte(byte)));
        let value_end = self.text.len();
        self.text.extend_from_slice(b"\r\n");
        let known = Known::of(name.as_bytes());
        self.repeated |= self.known & known.bit();
        self.known |= known.bit();
        if known == Known::Other {
            self.initials |= initial(name.as_bytes()[0]);
        }
        self.list.push(Field {
            start: offset(start),
            end: offset(self.text.len()),
            value_start: offset(value_start),
            value_end: offset(value_end),
            name_bytes: u16::try_from(name.len()).expect("names of ours are short"),
            known,
            dropped: false,
        });
    }

    /// Drops all lines called `name` and adds one.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove_named(name);
        self.push(name, value);
    }

    /// Drops all lines of this name.
    pub fn remove(&mut self, known: Known) {
        if self.has(known) {
            self.remove_if(|_, _, k| k == known);
        }
    }

    /// Drops all lines called `name`, whatever its case.
    pub fn remove_named(&mut self, name: &str) {
        self.remove_if(|n, _, _| n.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Drops the lines for which `drop` answers yes to name, value and known name.
    pub fn remove_if(&mut self, mut drop: impl FnMut(&[u8], &[u8], Known) -> bool) {
        let (mut known, mut repeated) = (0, 0);
        for field in &mut self.list {
            if !field.dropped {
                field.dropped =
                    drop(&self.text[field.name()], &self.text[field.value()], field.known);
            }
            if !field.dropped {
                repeated |= known & field.known.bit();
                known |= field.known.bit();
            }
        }
        (self.known, self.repeated) = (known, repeated);
    }

    /// Appends the lines to `out`, but for those whose known names are in the set `but`.
    ///
    /// Neighbouring lines are copied as one run; this is why lines keep their place in the text.
    pub fn write_but(&self, but: u64, out: &mut Vec<u8>) {
        let mut run: Range<usize> = 0..0;
        // No name, no bit.
        let but = but & !1;
        for field in &self.list {
            if field.dropped || but >> field.known as u8 & 1 != 0 {
                continue;
            }
            let line = field.start as usize..field.end as usize;
            if line.start != run.end {
                out.extend_from_slice(&self.text[run.clone()]);
                run.start = line.start;
            }
            run.end = line.end;
        }
        out.extend_from_slice(&self.text[run]);
    }
}

/// The largest head that any configuration allows, so that every place fits the small integers of
/// a [`Field`]. Peers stop at 8 KiB (nginx) to 60 KiB (Envoy).
pub const HEAD_BYTES_MAX: usize = 60 * 1024;

/// The most field lines that any configuration allows.
pub const FIELDS_MAX: usize = 256;

pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a head and its edits stay far below 4 GiB")
}

/// The bit of a first letter in a set of them, whatever its case.
#[must_use]
#[inline]
pub const fn initial(letter: u8) -> u32 {
    1 << (letter & 31)
}

/// RFC 9110, 5.6.2: `tchar`.
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'
        | b'_' | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// RFC 9110, 5.5: `VCHAR`, `obs-text`, space and tab.
#[must_use]
pub const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields, but: u64) -> String {
        let mut out = Vec::new();
        fields.write_but(but, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn edits_show_in_what_is_found_and_written() {
        let mut fields = Fields::default();
        fields.push("Host", b"a");
        fields.push("X-One", b"1");
        fields.push("x-one", b"2");
        fields.push("Via", b"1.1 b");
        assert_eq!(fields.all_named("X-ONE").count(), 2);
        fields.set("X-One", b"3");
        assert_eq!(fields.get_named("x-one"), Some(&b"3"[..]));
        fields.remove(Known::Via);
        assert!(!fields.has(Known::Via) && fields.has(Known::Host));
        assert_eq!(written(&fields, Known::Host.bit()), "X-One: 3\r\n");
        assert_eq!(written(&fields, 0), "Host: a\r\nX-One: 3\r\n");
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn what_has_more_than_one_line_is_known() {
        let mut fields = Fields::default();
        for name in ["Via", "Host", "X-One", "X-One", "Via"] {
            fields.push(name, b"a");
        }
        let repeated =
            |fields: &Fields| [Known::Via, Known::Host].map(|known| fields.is_repeated(known));
        assert_eq!(repeated(&fields), [true, false]);
        let mut copy = Fields::default();
        copy.push("Host", b"of another");
        copy.copy_from(&fields);
        assert_eq!((repeated(&copy), written(&copy, 0)), (repeated(&fields), written(&fields, 0)));
        let mut first = true;
        fields.remove_if(|_, _, known| known == Known::Via && std::mem::take(&mut first));
        assert_eq!(repeated(&fields), [false, false]);
        fields.push("host", b"b");
        assert_eq!(repeated(&fields), [false, true]);
    }

    #[test]
    fn no_value_can_break_its_line() {
        let mut fields = Fields::default();
        fields.push("X", b"a\r\nEvil: 1\0\x7f\tb");
        assert_eq!(written(&fields, 0), "X: aEvil: 1\tb\r\n");
    }
}
