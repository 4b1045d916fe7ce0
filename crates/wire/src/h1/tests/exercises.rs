//! The bodies of the fuzz targets, on their seeds and on what becomes of those by chance.
#![expect(clippy::disallowed_methods, reason = "the seeds are files")]

use std::path::Path;

use crate::h1::exercise;
use crate::h1::{HeadLimits, HeadScan};
use crate::head::{RequestHead, ResponseHead};

/// Repeatable chance (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// What smugglers put where it does not belong.
const SCRAPS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\x0b",
    b"\0",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"=",
    b"0",
    b"f",
    b"+",
    b"-",
    b"_",
    b"%2e",
    b"..",
    b"/",
    b"?",
    b"#",
    b"@",
    b"*",
    b"\xff",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Connection: x\r\n",
    b"Host: a\r\n",
    b"chunked",
    b"identity",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
    b"X_Y: z\r\n",
];

/// Runs `exercise` on each seed of `target` and on `times` mutations of it.
fn run(target: &str, times: usize, exercise: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the seeds are committed")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for (number, path) in paths.iter().enumerate() {
        let seed = std::fs::read(path).expect("a readable seed");
        exercise(&seed);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ number as u64);
        for _ in 0..times {
            let mut bytes = seed.clone();
            for _ in 0..=dice.below(3) {
                mutate(&mut bytes, &mut dice);
            }
            exercise(&bytes);
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(5) {
        0 => drop(bytes.splice(at..at, SCRAPS[dice.below(SCRAPS.len())].iter().copied())),
        1 => bytes.truncate(at),
        2 => {
            let end = (at + dice.below(4)).min(bytes.len());
            bytes.drain(at..end);
        }
        3 => {
            let piece = bytes[at..(at + dice.below(40)).min(bytes.len())].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = dice.below(256) as u8;
            }
        }
    }
}

#[test]
fn requests() {
    run("request", 400, exercise::request);
}

#[test]
fn responses() {
    run("response", 400, exercise::response);
}

#[test]
fn chunked_bodies() {
    run("chunked", 400, exercise::chunked);
}

/// A second opinion: what we accept, a widely used parser reads in the same way.
#[test]
fn another_parser_agrees_on_requests() {
    run("request", 200, |bytes| {
        let mut head = RequestHead::default();
        let read = head.read(bytes, &mut HeadScan::default(), &HeadLimits::default());
        let Ok(Some(end)) = read else { return };
        let mut table = [httparse::EMPTY_HEADER; 128];
        let mut other = httparse::Request::new(&mut table);
        assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(end)));
        assert_eq!(other.method, Some(head.method_text()));
        let names = |name: &[u8]| {
            let connection = other.headers.iter().filter(|it| {
                it.name.eq_ignore_ascii_case("connection")
                    && it
                        .value
                        .to_ascii_lowercase()
                        .split(|byte| b", \t".contains(byte))
                        .any(|option| option == name.to_ascii_lowercase())
            });
            connection.count() > 0
        };
        let expect: Vec<_> =
            other.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let found: Vec<_> = head.fields.iter().collect();
        let mut expect = expect.into_iter().peekable();
        for line in found {
            // Lines that `Connection` names are gone.
            while expect.next_if(|it| *it != line && names(it.0)).is_some() {}
            assert_eq!(expect.next(), Some(line));
        }
        assert!(expect.all(|(name, _)| names(name)));
    });
}

#[test]
fn another_parser_agrees_on_responses() {
    run("response", 200, |bytes| {
        let mut head = ResponseHead::default();
        let read = head.read(bytes, &mut HeadScan::of_response(), &HeadLimits::default());
        let Ok(Some(end)) = read else { return };
        let mut table = [httparse::EMPTY_HEADER; 128];
        let mut other = httparse::Response::new(&mut table);
        assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(end)));
        assert_eq!(other.code, Some(head.status));
        assert!(other.headers.len() >= head.fields.len());
    });
}
