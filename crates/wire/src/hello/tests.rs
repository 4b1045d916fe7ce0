//! First messages that are right, cut everywhere, and wrong in each of their parts.

use super::exercise::{self, in_pieces, records};
use super::{Alert, ClientHello, HELLO_BYTES_MAX, HelloScan, NotHello, is_host_name};

/// A block behind its length of `width` bytes.
fn block(width: usize, content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[8 - width..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &block(2, content)[..]].concat()
}

fn name(name: &str) -> Vec<u8> {
    extension(0, &block(2, &[&[0], &block(2, name.as_bytes())[..]].concat()))
}

/// A message with these extensions.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &block(1, &[9; 32]),
        &block(2, &[0x13, 0x01, 0x13, 0x02]),
        &block(1, &[0]),
        &block(2, &extensions.concat()),
    ];
    [&[1], &block(3, &body.concat())[..]].concat()
}

fn read(bytes: &[u8]) -> Result<Option<ClientHello>, NotHello> {
    ClientHello::read(bytes, &mut HelloScan::default())
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what was read")]
fn named(name: &str) -> Result<Option<ClientHello>, NotHello> {
    Ok(Some(ClientHello { server_name: Some(name.into()) }))
}

#[test]
fn the_name_is_found_wherever_the_bytes_are_cut() {
    let others = [extension(10, &[0, 2, 0, 29]), extension(0x1a1a, &[])];
    let [groups, grease] = others;
    let message = message(&[grease, name("Db.Example.COM"), groups]);
    for size in [1, 2, 3, 5, 6, 50, message.len()] {
        let mut bytes = records(&message, size);
        let length = bytes.len();
        // Early data may follow at once.
        bytes.extend([23, 3, 3, 0, 1, 0]);
        assert_eq!(read(&bytes), named("db.example.com"));
        for split in 0..length {
            assert_eq!(read(&bytes[..split]), Ok(None), "records of {size}, {split} bytes");
            assert_eq!(in_pieces(&bytes, &[split]), named("db.example.com"));
        }
        exercise::hello(&bytes);
    }
}

#[test]
fn a_hello_without_a_name_has_none() {
    let without = Ok(Some(ClientHello::default()));
    assert_eq!(read(&records(&message(&[]), 99)), without);
    assert_eq!(read(&records(&message(&[extension(16, &[0, 0])]), 99)), without);
    let old = [&[3, 1][..], &[7; 32], &[0], &block(2, &[0, 1]), &block(1, &[0])].concat();
    let old = [&[1], &block(3, &old)[..]].concat();
    assert_eq!(read(&records(&old, 99)), without);
}

#[test]
fn what_is_not_tls_is_seen_at_its_first_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\0", b"SSH-2.0", &[22, 2], &[0x80, 0x2e], &[21, 3]]
    {
        assert_eq!(read(bytes), Err(NotHello::NotTls), "{bytes:?}");
    }
    assert_eq!(read(&[22, 3, 1, 0, 0]), Err(NotHello::NotTls));
    assert_eq!(read(&[22, 3, 1, 0x40, 1]), Err(NotHello::NotTls));
    assert_eq!(NotHello::NotTls.alert(), None);
}

#[test]
fn records_are_read_strictly() {
    let message = message(&[name("a.example")]);
    let first = records(&message[..10], 10);
    for second in [&[21, 3, 3, 0, 2, 1, 0][..], &[22, 3, 3, 0, 0], &[22, 3, 3, 0x40, 1], &[22, 2]] {
        let bytes = [&first, second].concat();
        assert_eq!(read(&bytes), Err(NotHello::Record), "{second:?}");
    }
    assert_eq!(read(&[22, 3, 1, 0, 1, 2]), Err(NotHello::OtherMessage));
    // A second message in the record of the first.
    let more = [&message[..], &[20, 0, 0, 0]].concat();
    assert_eq!(read(&records(&more, more.len())), Err(NotHello::OtherMessage));
}

#[test]
fn nothing_grows_without_end() {
    assert_eq!(read(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), Err(NotHello::TooLarge));
    let large = message(&[extension(21, &vec![0; HELLO_BYTES_MAX / 2])]);
    // Five bytes of header for each of one.
    let padded = records(&large, 1);
    assert_eq!(read(&padded), Err(NotHello::TooLarge));
    let mut scan = HelloScan::default();
    let mut first = padded.chunks(100).scan(0, |end, chunk| {
        *end += chunk.len();
        Some((*end, ClientHello::read(&padded[..*end], &mut scan)))
    });
    let (end, settled) = first.find(|(_, read)| *read != Ok(None)).expect("it settles");
    assert_eq!(settled, Err(NotHello::TooLarge));
    assert!(end <= HELLO_BYTES_MAX + 100, "{end}");
    assert!(matches!(read(&records(&large, 1 << 14)), Ok(Some(_))));
}

#[test]
fn a_hello_that_is_built_wrongly_is_refused() {
    let right = message(&[name("a.example")]);
    let change = |at: usize, byte: u8| {
        let mut wrong = right.clone();
        wrong[at] = byte;
        wrong
    };
    for (what, wrong) in [
        ("a version before SSL 3.0", change(4, 2)),
        ("a session id of 33 bytes", change(38, 33)),
        ("an odd number of bytes of suites", change(72, 3)),
        ("no suite", change(72, 0)),
        ("extensions that are longer than the message", change(80, 99)),
        ("an extension that is longer than all", change(84, 99)),
        ("a list that is longer than its extension", change(86, 99)),
        ("a list that is shorter than its extension", change(86, 5)),
    ] {
        let read = read(&records(&wrong, 999));
        assert!(matches!(read, Err(NotHello::Malformed)), "{what}: {read:?}");
    }
    for cut in 5..right.len() {
        let mut short = right[..cut].to_vec();
        short[3] = u8::try_from(cut - 4).expect("short");
        let read = read(&records(&short, 999));
        // Where its extensions would begin it may end.
        let may_end = cut == 79;
        assert_eq!(read.is_ok(), may_end, "cut at {cut}: {read:?}");
    }
}

#[test]
fn a_name_is_one_host_name() {
    let one = |name: &[u8]| [&[0], &block(2, name)[..]].concat();
    for (what, content) in [
        ("two names", block(2, &[one(b"a.example"), one(b"b.example")].concat())),
        ("another kind", block(2, &[&[1], &block(2, b"a.example")[..]].concat())),
        ("no bytes", block(2, &one(b""))),
        ("a dot behind", block(2, &one(b"a.example."))),
        ("a dot before", block(2, &one(b".example"))),
        ("two dots", block(2, &one(b"a..example"))),
        ("an address", block(2, &one(b"::1"))),
        ("a wildcard", block(2, &one(b"*.example"))),
        ("an end of another language", block(2, &one(b"a.example\0.b.example"))),
        ("other letters", block(2, &one("ä.example".as_bytes()))),
        ("a long label", block(2, &one(&[b'a'; 64]))),
        ("a long name", block(2, &one("a.".repeat(126).as_bytes()))),
    ] {
        let bytes = records(&message(&[extension(0, &content)]), 999);
        assert_eq!(read(&bytes), Err(NotHello::ServerName), "{what}");
        exercise::hello(&bytes);
    }
    let twice = message(&[name("a.example"), name("b.example")]);
    assert_eq!(read(&records(&twice, 999)), Err(NotHello::ServerName));
    for content in [vec![], block(2, &[]), vec![0, 3, 0, 0, 5]] {
        let bytes = records(&message(&[extension(0, &content)]), 999);
        assert_eq!(read(&bytes), Err(NotHello::Malformed), "{content:?}");
    }
    assert!(is_host_name("localhost") && is_host_name("_dmarc.x-1.example"));
}

#[test]
fn alerts_are_whole_records() {
    assert_eq!(Alert::UnrecognizedName.record(), [21, 3, 3, 0, 2, 2, 112]);
}

#[test]
fn mutations_of_real_hellos_are_read_alike_in_pieces() {
    let seeds = [
        records(&message(&[name("db.example.com"), extension(16, b"\0\x03\x02h2")]), 999),
        records(&message(&[extension(0x2a2a, &[1; 90]), name("a.example")]), 17),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    for _ in 0..20_000 {
        let mut bytes = seeds[draw(seeds.len())].clone();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] = u8::try_from(draw(256)).expect("a byte"),
                1 => bytes[at] ^= 1 << draw(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, u8::try_from(draw(256)).expect("a byte")),
            }
        }
        exercise::hello(&bytes);
    }
}
