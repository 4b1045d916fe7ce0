//! Questions to a resolver of the Domain Name System, and its answers (RFC 1035, RFC 2782, RFC 6891).
//!
//! Only what finding a service takes: addresses and `SRV` records, with the time that they are good
//! for. The resolver is asked to do the walking; of its answer only what the question is about is
//! read, along aliases.

mod exercise;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use exercise::answer as exercise;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Addresses of IPv4.
    A,
    /// Addresses of IPv6.
    Aaaa,
    /// Where a service is: hosts and ports.
    Srv,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of [`Kind::A`] and [`Kind::Aaaa`].
    Address(IpAddr),
    /// Of [`Kind::Srv`].
    Service {
        /// Lower ones are tried first.
        priority: u16,
        /// The share among those of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host, in lower case, without the dot at the end.
        host: Box<str>,
    },
}

/// What a resolver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The records, none if the name has none of the kind, and for how many seconds they are good.
    Records(Vec<Record>, u32),
    /// There is no such name.
    NoName,
    /// The answer was too long: ask again by TCP.
    Truncated,
    /// The resolver failed, with this code.
    Failed(u8),
}

/// Why bytes are no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnswer {
    /// They answer another question, or none: whoever waits goes on waiting.
    Other,
    /// They are broken.
    Malformed,
}

/// The longest name, in bytes as it is sent (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// The longest part of a name (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Aliases that are followed. One or two are usual.
const ALIASES_MAX: usize = 16;

/// The answer that we can take by UDP: what passes any network whole (DNS flag day 2020).
pub const UDP_BYTES_MAX: u16 = 1232;

const ALIAS: u16 = 5;
const OPT: u16 = 41;
const INTERNET: u16 = 1;

/// Writes the question for `name`; false if it cannot be a name.
pub fn encode_question(id: u16, name: &str, kind: Kind, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut push = |number: u16| out.extend_from_slice(&number.to_be_bytes());
    push(id);
    // Recursion is desired; one question, one additional record.
    for number in [0x0100, 1, 0, 0, 1] {
        push(number);
    }
    let named = out.len();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            out.truncate(start);
            return false;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() - named > NAME_BYTES_MAX {
        out.truncate(start);
        return false;
    }
    let mut push = |number: u16| out.extend_from_slice(&number.to_be_bytes());
    push(kind.number());
    push(INTERNET);
    // The pseudo-record that says what we take (RFC 6891, 6.1.2): its name is the root.
    out.push(0);
    let mut push = |number: u16| out.extend_from_slice(&number.to_be_bytes());
    for number in [OPT, UDP_BYTES_MAX, 0, 0, 0] {
        push(number);
    }
    true
}

/// Reads the answer to [`encode_question`].
///
/// # Errors
/// If it is none.
pub fn read_answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Result<Answer, NotAnswer> {
    let mut reader = Reader { bytes, at: 0 };
    let (answered, flags) = (reader.number(), reader.number());
    let (Some(answered), Some(flags)) = (answered, flags) else { return Err(NotAnswer::Other) };
    // It is an answer (the first bit), to a plain question (the next four).
    if answered != id || flags & 0xf800 != 0x8000 {
        return Err(NotAnswer::Other);
    }
    let counts: Option<[u16; 4]> = reader.numbers();
    let [questions, answers, ..] = counts.ok_or(NotAnswer::Malformed)?;
    // Who did not understand the question may leave it out.
    if questions > 1 {
        return Err(NotAnswer::Malformed);
    }
    let wanted = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if questions == 1 {
        let asked = reader.name().ok_or(NotAnswer::Malformed)?;
        let rest: [u16; 2] = reader.numbers().ok_or(NotAnswer::Malformed)?;
        if *asked != *wanted || rest != [kind.number(), INTERNET] {
            return Err(NotAnswer::Other);
        }
    }
    match flags & 0xf {
        0 => {}
        3 => return Ok(Answer::NoName),
        code => return Ok(Answer::Failed(code as u8)),
    }
    if flags & 0x0200 != 0 {
        return Ok(Answer::Truncated);
    }
    if questions == 0 {
        return Err(NotAnswer::Other);
    }
    let records = read_records(&mut reader, answers, kind).ok_or(NotAnswer::Malformed)?;
    Ok(follow(&records, &wanted))
}

/// What the answer section says of the kind that was asked for, and of aliases.
struct Said {
    owner: Box<str>,
    ttl_s: u32,
    data: Data,
}

enum Data {
    Alias(Box<str>),
    Record(Record),
}

fn read_records(reader: &mut Reader<'_>, count: u16, kind: Kind) -> Option<Vec<Said>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let owner = reader.name()?;
        let [of, class, high, low, length]: [u16; 5] = reader.numbers()?;
        let end = reader.at.checked_add(usize::from(length))?;
        if end > reader.bytes.len() {
            return None;
        }
        let ttl_s = u32::from(high) << 16 | u32::from(low);
        // A number with the highest bit set is none (RFC 2181, 8).
        let ttl_s = if ttl_s > i32::MAX as u32 { 0 } else { ttl_s };
        let data = match (class, of) {
            (INTERNET, ALIAS) => Some(Data::Alias(reader.name()?)),
            (INTERNET, of) if of == kind.number() => Some(Data::Record(reader.record(kind)?)),
            _ => None,
        };
        if data.is_some() && reader.at != end {
            return None;
        }
        reader.at = end;
        records.extend(data.map(|data| Said { owner, ttl_s, data }));
    }
    Some(records)
}

/// The records at the end of the aliases that begin at `name`.
fn follow(records: &[Said], name: &str) -> Answer {
    let (mut name, mut ttl_s) = (name, u32::MAX);
    for _ in 0..ALIASES_MAX {
        let mut of_name = records.iter().filter(|said| *said.owner == *name);
        let alias = of_name.clone().find_map(|said| match &said.data {
            Data::Alias(target) => Some((target, said.ttl_s)),
            Data::Record(_) => None,
        });
        if let Some((target, good_s)) = alias {
            (name, ttl_s) = (target, ttl_s.min(good_s));
            continue;
        }
        let mut found = Vec::new();
        for said in &mut of_name {
            if let Data::Record(record) = &said.data {
                ttl_s = ttl_s.min(said.ttl_s);
                if !found.contains(record) {
                    found.push(record.clone());
                }
            }
        }
        return Answer::Records(found, ttl_s);
    }
    // They go in a circle.
    Answer::Records(Vec::new(), ttl_s)
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u16> {
        let bytes = self.bytes.get(self.at..)?.first_chunk::<2>()?;
        self.at += 2;
        Some(u16::from_be_bytes(*bytes))
    }

    fn numbers<const COUNT: usize>(&mut self) -> Option<[u16; COUNT]> {
        let mut numbers = [0; COUNT];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Some(numbers)
    }

    /// A name, in lower case and without the dot at the end.
    fn name(&mut self) -> Option<Box<str>> {
        let (mut name, mut at, mut behind) = (String::new(), self.at, None);
        // As bytes on the wire; what is repeated by a pointer counts too.
        let mut length = 1;
        loop {
            let first = usize::from(*self.bytes.get(at)?);
            match first {
                0 => break,
                1..=LABEL_BYTES_MAX => {
                    let label = self.bytes.get(at + 1..at + 1 + first)?;
                    length += 1 + first;
                    // A dot within a part would make it another name.
                    let fit = |byte: &u8| byte.is_ascii_graphic() && *byte != b'.';
                    if length > NAME_BYTES_MAX || !label.iter().all(fit) {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    at += 1 + first;
                }
                0xc0.. => {
                    let low = usize::from(*self.bytes.get(at + 1)?);
                    let target = (first & 0x3f) << 8 | low;
                    behind.get_or_insert(at + 2);
                    // "A pointer to a prior occurrence" (RFC 1035, 4.1.4): else it may never end.
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
        }
        self.at = behind.unwrap_or(at + 1);
        Some(name.into())
    }

    fn record(&mut self, kind: Kind) -> Option<Record> {
        Some(match kind {
            Kind::A => Record::Address(IpAddr::V4(Ipv4Addr::from(self.octets()?))),
            Kind::Aaaa => Record::Address(IpAddr::V6(Ipv6Addr::from(self.octets()?))),
            Kind::Srv => {
                let [priority, weight, port] = self.numbers()?;
                Record::Service { priority, weight, port, host: self.name()? }
            }
        })
    }

    fn octets<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let octets = self.bytes.get(self.at..)?.first_chunk::<COUNT>()?;
        self.at += COUNT;
        Some(*octets)
    }
}

#[cfg(test)]
mod tests;
