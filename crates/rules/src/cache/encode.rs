//! What is known of a stored response as bytes, so that it can outlive the process.

use wire::ResponseHead;

use super::stored::{Freshness, Stored, StoredPart, Varied};

/// Changes whenever the layout does: what another layout wrote is forgotten, not guessed at.
const LAYOUT: u8 = 2;

impl Stored {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT);
        let mut writer = Writer(out);
        writer.bytes(&self.key);
        writer.number(u64::from(self.url_bytes));
        writer.number(u64::from(self.head.status));
        writer.number(self.head.fields.len() as u64);
        for (name, value) in self.head.fields.iter() {
            writer.bytes(name);
            writer.bytes(value);
        }
        writer.number(self.vary.len() as u64);
        for varied in &self.vary {
            writer.bytes(varied.name.as_bytes());
            writer.flag(varied.value.is_some());
            writer.bytes(varied.value.as_deref().unwrap_or_default());
        }
        writer.number(self.requested_ms);
        writer.number(self.received_ms);
        let Freshness {
            initial_age_ms,
            lifetime_ms,
            stale_while_revalidate_ms,
            stale_if_error_ms,
            no_cache,
            must_revalidate,
            heuristic,
        } = self.freshness;
        for number in [initial_age_ms, lifetime_ms, stale_while_revalidate_ms, stale_if_error_ms] {
            writer.number(number);
        }
        for flag in [no_cache, must_revalidate, heuristic] {
            writer.flag(flag);
        }
        writer.number(self.tags.len() as u64);
        for &tag in &self.tags {
            writer.number(tag);
        }
        writer.number(self.generation);
        writer.number(self.body_bytes);
        writer.flag(self.part.is_some());
        let part = self.part.unwrap_or(StoredPart { first: 0, whole_bytes: 0 });
        writer.number(part.first);
        writer.number(part.whole_bytes);
        writer.flag(self.public);
        writer.flag(self.made_tag);
    }

    /// Reads what [`Stored::encode`] wrote, all of `bytes`; `None` if it is anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&layout, rest) = bytes.split_first()?;
        if layout != LAYOUT {
            return None;
        }
        let mut reader = Reader(rest);
        let key: Box<[u8]> = reader.bytes()?.into();
        let url_bytes = u32::try_from(reader.number()?).ok()?;
        let head = read_head(&mut reader)?;
        let mut vary = Vec::new();
        for _ in 0..reader.number()? {
            let name = std::str::from_utf8(reader.bytes()?).ok()?.into();
            let given = reader.flag()?;
            let value = reader.bytes()?;
            vary.push(Varied { name, value: given.then(|| value.into()) });
        }
        let (requested_ms, received_ms) = (reader.number()?, reader.number()?);
        let freshness = Freshness {
            initial_age_ms: reader.number()?,
            lifetime_ms: reader.number()?,
            stale_while_revalidate_ms: reader.number()?,
            stale_if_error_ms: reader.number()?,
            no_cache: reader.flag()?,
            must_revalidate: reader.flag()?,
            heuristic: reader.flag()?,
        };
        let mut tags = Vec::new();
        for _ in 0..reader.number()? {
            tags.push(reader.number()?);
        }
        let (generation, body_bytes) = (reader.number()?, reader.number()?);
        let is_part = reader.flag()?;
        let part = StoredPart { first: reader.number()?, whole_bytes: reader.number()? };
        let (public, made_tag) = (reader.flag()?, reader.flag()?);
        let whole = reader.0.is_empty() && url_bytes as usize <= key.len();
        whole.then_some(Self {
            key,
            url_bytes,
            head,
            vary: vary.into(),
            requested_ms,
            received_ms,
            freshness,
            tags: tags.into(),
            generation,
            body_bytes,
            part: is_part.then_some(part),
            public,
            made_tag,
        })
    }
}

fn read_head(reader: &mut Reader<'_>) -> Option<ResponseHead> {
    let status = u16::try_from(reader.number()?).ok()?;
    if !(200..=599).contains(&status) {
        return None;
    }
    let mut head = ResponseHead::new(status);
    for _ in 0..reader.number()? {
        let name = std::str::from_utf8(reader.bytes()?).ok()?;
        if name.is_empty() || name.len() > 0xffff || !name.bytes().all(wire::fields::is_token_byte)
        {
            return None;
        }
        head.fields.push(name, reader.bytes()?);
    }
    Some(head)
}

struct Writer<'o>(&'o mut Vec<u8>);

impl Writer<'_> {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn flag(&mut self) -> Option<bool> {
        let (&flag, rest) = self.0.split_first()?;
        self.0 = rest;
        (flag <= 1).then_some(flag == 1)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::tests::stored;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let stored = stored();
        let mut bytes = Vec::new();
        stored.encode(&mut bytes);
        let read = Stored::decode(&bytes).expect("it is whole");
        assert_eq!(read.url(), b"http://a/b?c");
        assert!(read.same_variant(&stored) && read.freshness == stored.freshness);
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn nothing_but_the_whole_is_read() {
        let mut bytes = Vec::new();
        stored().encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Stored::decode(&bytes[..end]).is_none(), "{end} bytes");
        }
        bytes.push(0);
        assert!(Stored::decode(&bytes).is_none());
        bytes.pop();
        bytes[0] += 1;
        assert!(Stored::decode(&bytes).is_none());
    }
}
