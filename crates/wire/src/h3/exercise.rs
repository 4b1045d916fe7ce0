//! What the fuzzer does with arbitrary bytes, as a function that tests call too.

use super::{
    Code, Control, ControlFrames, RequestFrames, RequestPart, Section, StreamWrong, begin_section,
    check_decoder, read_request, write_headers, write_line,
};
use crate::h1::HeadLimits;
use crate::head::RequestHead;

/// The longest field section of an exercise.
const SECTION_BYTES_MAX: usize = 4096;

/// Reads `bytes` as what a client sends on the stream of a request, and on its control stream: whole,
/// in two pieces and byte by byte, which must give the same. A field section that is read must be the
/// same when written anew; one that makes a head must make one that rules can trust.
pub fn streams(bytes: &[u8]) {
    let split = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % (bytes.len() + 1);
    let every: Vec<usize> = (0..bytes.len()).collect();
    let whole = request(bytes, &[]);
    assert_eq!(request(bytes, &[split]), whole, "in two pieces at {split}");
    assert_eq!(request(bytes, &every), whole, "byte by byte");
    let settings = control(bytes, &[]);
    assert_eq!(control(bytes, &[split]), settings, "in two pieces at {split}");
    assert_eq!(control(bytes, &every), settings, "byte by byte");
    let decoder = check_decoder(bytes, &mut false);
    let inside = &mut false;
    let pieced = bytes.iter().try_for_each(|byte| check_decoder(&[*byte], inside));
    assert_eq!(pieced, decoder);
    for heard in &whole {
        if let Heard::Section(block) = heard {
            section(block);
        }
    }
    section(bytes);
}

/// What a stream said. Data are joined: how they are cut means nothing.
#[derive(Debug, PartialEq)]
enum Heard {
    Section(Vec<u8>),
    Data(Vec<u8>),
    Wrong(StreamWrong),
}

fn request(bytes: &[u8], splits: &[usize]) -> Vec<Heard> {
    let mut frames = RequestFrames::default();
    let mut heard = Vec::new();
    for mut piece in pieces(bytes, splits) {
        loop {
            let (done, part) = match frames.read(piece, SECTION_BYTES_MAX) {
                Ok(read) => read,
                Err(wrong) => {
                    heard.push(Heard::Wrong(wrong));
                    return heard;
                }
            };
            piece = &piece[done..];
            match part {
                Some(RequestPart::Data(count)) => {
                    let (data, rest) = piece.split_at(count);
                    piece = rest;
                    match heard.last_mut() {
                        Some(Heard::Data(before)) => before.extend_from_slice(data),
                        _ => heard.push(Heard::Data(data.to_vec())),
                    }
                }
                Some(_) => heard.push(Heard::Section(frames.section().to_vec())),
                None => {
                    assert!(piece.is_empty(), "what means nothing yet is taken");
                    break;
                }
            }
        }
    }
    heard.extend(frames.end().err().map(Heard::Wrong));
    heard
}

fn control(bytes: &[u8], splits: &[usize]) -> (Vec<Control>, Option<Code>) {
    let mut frames = ControlFrames::default();
    let mut heard = Vec::new();
    for mut piece in pieces(bytes, splits) {
        loop {
            match frames.read(piece) {
                Ok((done, control)) => {
                    piece = &piece[done..];
                    let Some(control) = control else { break };
                    heard.push(control);
                }
                Err(code) => return (heard, Some(code)),
            }
        }
    }
    (heard, None)
}

fn pieces<'b>(bytes: &'b [u8], splits: &[usize]) -> Vec<&'b [u8]> {
    let ends = splits.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(splits.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

fn section(block: &[u8]) {
    let mut read = Section::default();
    if read.read(block, SECTION_BYTES_MAX).is_err() {
        return;
    }
    let counted: usize = read.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    assert!(counted <= SECTION_BYTES_MAX, "{counted} bytes");
    let mut anew = Vec::new();
    begin_section(&mut anew);
    read.iter().for_each(|(name, value)| write_line(name, value, &mut anew));
    let mut again = Section::default();
    again.read(&anew, usize::MAX).expect("what we write can be read");
    // Names become lower case as they are written.
    let lower = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    assert!(again.iter().map(lower).eq(read.iter().map(lower)), "{block:x?}");
    let mut frame = Vec::new();
    write_headers(&anew, &mut frame);
    assert!(
        matches!(&request(&frame, &[])[..], [Heard::Section(section)] if *section == anew)
            || anew.len() > SECTION_BYTES_MAX,
        "{anew:x?}"
    );
    let (mut head, mut text) = (RequestHead::default(), Vec::new());
    if read_request(&read, &mut head, &mut text, &HeadLimits::default()).is_ok() {
        // The text that it was read from is a head of HTTP/1.1, which has an exercise of its own.
        crate::h1::exercise::request(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer begins with.
    const SEEDS: [&[u8]; 5] = [
        include_bytes!("../../../../fuzz/seeds/h3/request"),
        include_bytes!("../../../../fuzz/seeds/h3/post"),
        include_bytes!("../../../../fuzz/seeds/h3/connect"),
        include_bytes!("../../../../fuzz/seeds/h3/control"),
        include_bytes!("../../../../fuzz/seeds/h3/section"),
    ];

    #[test]
    fn seeds_are_what_they_should_be() {
        let parts = |seed: usize| request(SEEDS[seed], &[]).len();
        assert_eq!([parts(0), parts(1), parts(2)], [3, 2, 2]);
        assert!(request(SEEDS[0], &[]).iter().all(|heard| !matches!(heard, Heard::Wrong(_))));
        let (heard, wrong) = control(SEEDS[3], &[]);
        assert_eq!((heard.len(), wrong), (4, None));
        Section::default().read(SEEDS[4], 1000).expect("a section");
    }

    #[test]
    fn mutations_are_read_alike_in_pieces() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("below a usize")
        };
        for round in 0..20_000 {
            let mut bytes = SEEDS[round % SEEDS.len()].to_vec();
            for _ in 0..draw(4) {
                let at = draw(bytes.len());
                match draw(4) {
                    0 => bytes[at] = u8::try_from(draw(256)).expect("a byte"),
                    1 => bytes[at] ^= 1 << draw(8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, u8::try_from(draw(256)).expect("a byte")),
                }
            }
            streams(&bytes);
        }
    }
}
