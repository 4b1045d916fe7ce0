//! Answers as resolvers write them, and as nobody should.

use super::*;

/// An answer to the question for `name`, whose records are (owner, kind, seconds, data).
fn answer(flags: u16, name: &str, kind: Kind, records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(encode_question(7, name, kind, &mut bytes));
    // Without the pseudo-record at its end.
    bytes.truncate(bytes.len() - 11);
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    bytes[10..12].copy_from_slice(&[0, 0]);
    for (owner, kind, ttl_s, data) in records {
        bytes.extend_from_slice(owner);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&INTERNET.to_be_bytes());
        bytes.extend_from_slice(&ttl_s.to_be_bytes());
        bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

fn read(bytes: &[u8], name: &str, kind: Kind) -> Result<Answer, NotAnswer> {
    exercise(bytes);
    // However early it ends, it must end well.
    for end in 0..bytes.len() {
        exercise(&bytes[..end]);
    }
    read_answer(bytes, 7, name, kind)
}

fn v4(octets: [u8; 4]) -> Record {
    Record::Address(IpAddr::from(octets))
}

/// Points to the name in the question.
const ASKED: &[u8] = &[0xc0, 12];

#[test]
fn a_question_is_as_the_rfc_draws_it() {
    let mut out = Vec::new();
    assert!(encode_question(0x1234, "A.example.", Kind::Srv, &mut out));
    let expected: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
        \x01A\x07example\x00\x00\x21\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    assert_eq!(out, expected);
    out.clear();
    for wrong in ["", ".", "a..b", &"x".repeat(64), &"a.".repeat(128)] {
        assert!(!encode_question(1, wrong, Kind::A, &mut out), "{wrong}");
        assert!(out.is_empty());
    }
}

#[test]
fn addresses_are_found_along_aliases_and_are_good_as_long_as_all_of_them() {
    let plain = answer(
        0x8180,
        "a.example",
        Kind::A,
        &[
            (ASKED, 1, 60, &[10, 0, 0, 1]),
            (ASKED, 1, 30, &[10, 0, 0, 2]),
            (ASKED, 1, 30, &[10, 0, 0, 2]),
            // Not asked for.
            (ASKED, 28, 1, &[0; 16]),
            (b"\x05other\x00", 1, 1, &[10, 0, 0, 3]),
        ],
    );
    let both = vec![v4([10, 0, 0, 1]), v4([10, 0, 0, 2])];
    assert_eq!(read(&plain, "A.Example", Kind::A), Ok(Answer::Records(both, 30)));
    let alias = answer(
        0x8180,
        "a.example",
        Kind::A,
        &[(b"\x01b\xc0\x0e", 1, 60, &[10, 0, 0, 1]), (ASKED, ALIAS, 20, b"\x01B\xc0\x0e")],
    );
    let found = Answer::Records(vec![v4([10, 0, 0, 1])], 20);
    assert_eq!(read(&alias, "a.example", Kind::A), Ok(found));
    let circle = answer(
        0x8180,
        "a.example",
        Kind::A,
        &[(b"\x01b\xc0\x0e", ALIAS, 60, ASKED), (ASKED, ALIAS, 20, b"\x01b\xc0\x0e")],
    );
    assert_eq!(read(&circle, "a.example", Kind::A), Ok(Answer::Records(vec![], 20)));
    let mut six = [0; 16];
    six[15] = 1;
    let six = answer(0x8180, "a.example", Kind::Aaaa, &[(ASKED, 28, u32::MAX, &six)]);
    let found = Answer::Records(vec![Record::Address("::1".parse().expect("it is"))], 0);
    assert_eq!(read(&six, "a.example", Kind::Aaaa), Ok(found));
}

#[test]
fn services_are_hosts_and_ports() {
    let name = "_http._tcp.a.example";
    let data = [&[0, 1, 0, 5, 0x1f, 0x90][..], b"\x02N1\xc0\x17"].concat();
    let bytes = answer(0x8180, name, Kind::Srv, &[(ASKED, 33, 9, &data)]);
    let host = "n1.a.example".into();
    let record = Record::Service { priority: 1, weight: 5, port: 8080, host };
    assert_eq!(read(&bytes, name, Kind::Srv), Ok(Answer::Records(vec![record], 9)));
}

#[test]
fn what_is_no_answer_is_told_from_what_is() {
    let ok = answer(0x8180, "a.example", Kind::A, &[(ASKED, 1, 60, &[10, 0, 0, 1])]);
    assert_eq!(read_answer(&ok, 8, "a.example", Kind::A), Err(NotAnswer::Other));
    assert_eq!(read(&ok, "b.example", Kind::A), Err(NotAnswer::Other));
    assert_eq!(read(&ok, "a.example", Kind::Aaaa), Err(NotAnswer::Other));
    assert_eq!(read(b"", "a.example", Kind::A), Err(NotAnswer::Other));
    let with = |flags| answer(flags, "a.example", Kind::A, &[]);
    assert_eq!(read(&with(0x0180), "a.example", Kind::A), Err(NotAnswer::Other));
    assert_eq!(read(&with(0x8183), "a.example", Kind::A), Ok(Answer::NoName));
    assert_eq!(read(&with(0x8182), "a.example", Kind::A), Ok(Answer::Failed(2)));
    assert_eq!(read(&with(0x8380), "a.example", Kind::A), Ok(Answer::Truncated));
    let none = Answer::Records(vec![], u32::MAX);
    assert_eq!(read(&with(0x8180), "a.example", Kind::A), Ok(none));
    for broken in [
        answer(0x8180, "a.example", Kind::A, &[(ASKED, 1, 60, &[10, 0, 0])]),
        answer(0x8180, "a.example", Kind::A, &[(ASKED, 1, 60, &[10, 0, 0, 1, 0])]),
        // A name that points to itself, forward, or far.
        answer(0x8180, "a.example", Kind::A, &[(&[0xc0, 27], 1, 60, &[10, 0, 0, 1])]),
        answer(0x8180, "a.example", Kind::A, &[(&[0xc0, 40], 1, 60, &[10, 0, 0, 1])]),
        answer(0x8180, "a.example", Kind::A, &[(&[0xff, 0xff], 1, 60, &[10, 0, 0, 1])]),
        answer(0x8180, "a.example", Kind::A, &[(&[0x80, 1], 1, 60, &[10, 0, 0, 1])]),
        answer(0x8180, "a.example", Kind::A, &[(b"\x03a.b\0", 1, 60, &[10, 0, 0, 1])]),
        ok[..ok.len() - 1].to_vec(),
    ] {
        assert_eq!(read(&broken, "a.example", Kind::A), Err(NotAnswer::Malformed), "{broken:?}");
    }
}
