//! The bodies of gRPC-Web: messages as in gRPC, trailers as the last message, all of it perhaps in
//! base64.

use wire::Fields;

/// The body is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

/// Decodes base64 (RFC 4648, 4) as it comes. Padding may stand in the middle: clients encode one
/// message after the other.
#[derive(Clone, Debug, Default)]
pub struct Base64Decoder {
    /// The letters of a group that is not whole yet.
    bits: u32,
    count: u8,
    padding: u8,
}

impl Base64Decoder {
    /// Appends to `out` what `text` stands for.
    ///
    /// # Errors
    /// It stands for nothing.
    pub fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        for &letter in text {
            match (sextet(letter), letter) {
                (Some(sextet), _) if self.padding == 0 => self.bits = self.bits << 6 | sextet,
                (None, b'=') if self.count >= 2 => {
                    self.padding += 1;
                    self.bits <<= 6;
                }
                _ => return Err(NotBase64),
            }
            self.count += 1;
            if self.count == 4 {
                let [_, bytes @ ..] = self.bits.to_be_bytes();
                let kept = 3 - usize::from(self.padding);
                // Bits that stand for nothing must be zero, or two texts would mean the same.
                if bytes[kept..].iter().any(|&byte| byte != 0) {
                    return Err(NotBase64);
                }
                out.extend_from_slice(&bytes[..kept]);
                *self = Self::default();
            }
        }
        Ok(())
    }

    /// The text is over.
    ///
    /// # Errors
    /// It broke off.
    pub fn end(&self) -> Result<(), NotBase64> {
        if self.count == 0 { Ok(()) } else { Err(NotBase64) }
    }
}

fn sextet(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Appends `bytes` in base64, with its padding: nothing is kept back, so that a message can be read as
/// soon as it is there.
pub fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { letter } else { b'=' });
        }
    }
}

/// The last message: the trailers as lines of HTTP/1, behind the mark of trailers and their length.
#[must_use]
pub fn trailers_frame(trailers: &Fields) -> Vec<u8> {
    let mut frame = vec![0x80, 0, 0, 0, 0];
    for (name, value) in trailers.iter() {
        frame.extend(name.iter().map(u8::to_ascii_lowercase));
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value);
        frame.extend_from_slice(b"\r\n");
    }
    let bytes = u32::try_from(frame.len() - 5).expect("trailers have a limit far below 4 GiB");
    frame[1..5].copy_from_slice(&bytes.to_be_bytes());
    frame
}
