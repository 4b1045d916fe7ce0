//! Makes bodies smaller on their way.
//!
//! One piece of a body is encoded at a time, so that what a worker does between two looks at its other
//! connections is bounded: a piece is as large as what one read brought, 256 KiB at most.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use rules::coding::{Coding, Effort, Encode};

/// The codecs. Each writes into a vector that is taken away after each piece.
pub(crate) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// A body of text with these costs, for each MiB and core, about 10, 25 and 60 ms; saving two thirds,
/// three quarters, and a tenth of the rest.
const fn gzip_level(effort: Effort) -> u32 {
    match effort {
        Effort::Low => 1,
        Effort::Normal => 5,
        Effort::High => 8,
    }
}

/// Above 6, Brotli takes several times as long for a percent.
const fn brotli_level(effort: Effort) -> u32 {
    match effort {
        Effort::Low => 2,
        Effort::Normal => 4,
        Effort::High => 6,
    }
}

/// Above 9, Zstandard takes windows that no browser has to take (RFC 9659: 8 MiB at most).
const fn zstd_level(effort: Effort) -> i32 {
    match effort {
        Effort::Low => 1,
        Effort::Normal => 3,
        Effort::High => 9,
    }
}

/// 4 MiB of history would be 4 MiB for each answer on its way: 512 KiB finds nearly all there is in text.
const WINDOW_LOG: u32 = 19;

/// What Brotli hands on at once.
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

impl Encoder {
    /// # Errors
    /// If memory cannot be had.
    pub(crate) fn new(encode: Encode) -> io::Result<Self> {
        let Encode { coding, effort, .. } = encode;
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(gzip_level(effort));
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Coding::Br => {
                let level = brotli_level(effort);
                let writer = brotli::CompressorWriter::new(
                    Vec::new(),
                    BROTLI_BUFFER_BYTES,
                    level,
                    WINDOW_LOG,
                );
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(Vec::new(), zstd_level(effort))?;
                writer.window_log(WINDOW_LOG)?;
                Self::Zstd(writer)
            }
        })
    }

    /// Takes `data`; the result may come later.
    ///
    /// # Errors
    /// If memory cannot be had.
    pub(crate) fn data(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(data)?;
        Ok(self.take())
    }

    /// What was taken so far, so that whoever reads it can read all of that.
    ///
    /// # Errors
    /// If memory cannot be had.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<u8>> {
        self.writer().flush()?;
        Ok(self.take())
    }

    /// What is left, and the end.
    ///
    /// # Errors
    /// If memory cannot be had.
    pub(crate) fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(writer) => writer.finish(),
            Self::Brotli(writer) => Ok(writer.into_inner()),
            Self::Zstd(writer) => writer.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(writer) => writer,
            Self::Brotli(writer) => writer,
            Self::Zstd(writer) => writer,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(writer) => writer.get_mut(),
            Self::Brotli(writer) => writer.get_mut(),
            Self::Zstd(writer) => writer.get_mut(),
        })
    }
}

/// The whole of a body that is at hand.
///
/// # Errors
/// If memory cannot be had.
pub(crate) fn whole(encode: Encode, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(encode)?;
    let mut encoded = encoder.data(content)?;
    encoded.append(&mut encoder.end()?);
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // What was flushed has no end yet: what there is must come out nevertheless.
        let _ = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            Coding::Br => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(bytes).and_then(|mut it| it.read_to_end(&mut out))
            }
        };
        out
    }

    #[test]
    fn what_goes_in_comes_out_and_a_flush_holds_nothing_back() {
        let text =
            |from: usize| (from..from + 3000).map(|at| (at * at % 251) as u8).collect::<Vec<_>>();
        for coding in Coding::ALL {
            for effort in [Effort::Low, Effort::Normal, Effort::High] {
                let encode = Encode { coding, effort, live: true };
                let mut encoder = Encoder::new(encode).expect("there is memory");
                let (mut plain, mut encoded) = (Vec::new(), Vec::new());
                for piece in 0..40 {
                    plain.extend(text(piece * 7));
                    encoded.append(&mut encoder.data(&text(piece * 7)).expect("there is memory"));
                    if piece % 3 == 0 {
                        encoded.append(&mut encoder.flush().expect("there is memory"));
                        assert_eq!(decode(coding, &encoded), plain, "{encode:?}");
                    }
                }
                encoded.append(&mut encoder.end().expect("there is memory"));
                assert_eq!(decode(coding, &encoded), plain, "{encode:?}");
                assert!(encoded.len() < plain.len() / 4, "{encode:?}: {}", encoded.len());
                let at_once = whole(encode, &plain).expect("there is memory");
                assert_eq!(decode(coding, &at_once), plain);
            }
        }
    }
}
