//! What the fuzzer does with arbitrary bytes, as a function that tests call too.

use super::{ClientHello, HelloScan, NotHello};

type Read = Result<Option<ClientHello>, NotHello>;

/// Reads `bytes` as the start of a TLS connection: whole, in two pieces, and byte by byte, which must
/// give the same. Cut into other records, the message must read the same.
pub fn hello(bytes: &[u8]) {
    let whole = ClientHello::read(bytes, &mut HelloScan::default());
    let split = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % (bytes.len() + 1);
    assert_eq!(in_pieces(bytes, &[split]), whole, "in two pieces at {split}");
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(in_pieces(bytes, &every), whole, "byte by byte");
    let Ok(Some(hello)) = whole else {
        return;
    };
    if let Some(name) = &hello.server_name {
        assert!(super::is_host_name(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    }
    let message = message(bytes);
    for size in [1, 7, message.len()] {
        let again = records(&message, size);
        let expected = match again.len() > super::HELLO_BYTES_MAX {
            true => Err(NotHello::TooLarge),
            false => Ok(Some(hello.clone())),
        };
        let read = ClientHello::read(&again, &mut HelloScan::default());
        // One record may not be long enough for it.
        if size <= 1 << 14 {
            assert_eq!(read, expected, "in records of {size}");
        }
    }
}

/// What is read if `bytes` come in pieces that end at `splits`.
pub(super) fn in_pieces(bytes: &[u8], splits: &[usize]) -> Read {
    let mut scan = HelloScan::default();
    for &split in splits {
        match ClientHello::read(&bytes[..split], &mut scan) {
            Ok(None) => {}
            // It was whole, or wrong, before the end.
            settled => return settled,
        }
    }
    ClientHello::read(bytes, &mut scan)
}

/// The first message, out of its records.
fn message(bytes: &[u8]) -> Vec<u8> {
    let (mut message, mut rest) = (Vec::new(), bytes);
    loop {
        let [_, _, _, high, low, behind @ ..] = rest else {
            return message;
        };
        let (content, next) = behind.split_at(usize::from(*high) << 8 | usize::from(*low));
        message.extend_from_slice(content);
        rest = next;
        if let [_, high, middle, low, body @ ..] = &*message
            && body.len() >= u32::from_be_bytes([0, *high, *middle, *low]) as usize
        {
            return message;
        }
    }
}

/// `message` in records of `size` bytes.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for content in message.chunks(size) {
        out.extend([22, 3, 1]);
        out.extend(u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(content);
    }
    out
}
