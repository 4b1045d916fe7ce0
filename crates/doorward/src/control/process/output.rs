//! Takes what a child prints apart into lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::journal::{Sink, Stream};

/// A longer line is cut here; a line is for a person, or a record of a few KiB.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Last lines kept for the report of how a process ended.
const LAST_LINES: usize = 10;

/// Characters kept of each of them.
const LAST_LINE_CHARS_MAX: usize = 400;

/// As much as a pipe holds by default, so one read empties it.
const READ_BYTES: usize = 64 * 1024;

/// Who prints.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) sink: Sink,
    pub(super) service: Arc<str>,
    pub(super) instance: Option<u32>,
}

/// The last lines of one or several streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LAST_LINE_CHARS_MAX).collect());
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// Hands every line of `reader` to the sink, until its end.
pub(super) async fn pump(
    reader: Option<impl AsyncRead + Unpin>,
    voice: &Voice,
    stream: Stream,
    tail: &Tail,
) {
    let Some(mut reader) = reader else { return };
    let mut lines = Lines::default();
    let mut say = |text: String| {
        tail.push(&text);
        voice.sink.line(&voice.service, voice.instance, stream, text);
    };
    let mut buffer = vec![0; READ_BYTES];
    // An error is an end as well: nothing more can come.
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        lines.feed(&buffer[..count], &mut say);
    }
    lines.finish(&mut say);
}

/// Bytes in, lines out.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of the current line.
    held: Vec<u8>,
    /// Bytes of the current line that were too many.
    cut: usize,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], say: &mut impl FnMut(String)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.split_last() {
                Some((b'\n', line)) => (line, true),
                _ => (piece, false),
            };
            let kept = piece.len().min(LINE_BYTES_MAX - self.held.len());
            self.held.extend_from_slice(&piece[..kept]);
            self.cut += piece.len() - kept;
            if ends {
                self.end(say);
            }
        }
    }

    /// What came after the last line end.
    fn finish(&mut self, say: &mut impl FnMut(String)) {
        if !self.held.is_empty() {
            self.end(say);
        }
    }

    fn end(&mut self, say: &mut impl FnMut(String)) {
        let mut line = &self.held[..];
        if self.cut > 0 {
            line = without_broken_end(line);
        } else if let Some((b'\r', rest)) = line.split_last() {
            line = rest;
        }
        let missing = self.cut + self.held.len() - line.len();
        let mut text = readable(line);
        if self.cut > 0 {
            text += &format!("… ({missing} bytes cut)");
        }
        say(text);
        self.held.clear();
        self.cut = 0;
    }
}

/// `line` without the bytes of a character that the cut may have split.
fn without_broken_end(mut line: &[u8]) -> &[u8] {
    for _ in 0..3 {
        match line.split_last() {
            Some((0x80..0xc0, rest)) => line = rest,
            _ => break,
        }
    }
    match line.split_last() {
        Some((0xc0.., rest)) => rest,
        _ => line,
    }
}

/// Text as it is; a byte that is not text as `\xff`, so that nothing is lost.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `bytes`, the same however they arrive.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let split_at = |at: usize| {
            let (mut all, mut lines) = (Vec::new(), Lines::default());
            lines.feed(&bytes[..at], &mut |line| all.push(line));
            lines.feed(&bytes[at..], &mut |line| all.push(line));
            lines.finish(&mut |line| all.push(line));
            all
        };
        let whole = split_at(0);
        let step = (bytes.len() / 500).max(1);
        for at in (0..bytes.len()).step_by(step) {
            assert_eq!(split_at(at), whole, "split at {at}");
        }
        whole
    }

    #[test]
    fn lines_end_with_lf_crlf_or_the_output() {
        assert_eq!(lines(b"a\r\nb\n\nc\rd\nlast"), ["a", "b", "", "c\rd", "last"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines("größer 🚪\n".as_bytes()), ["größer 🚪"]);
        assert_eq!(lines(b"caf\xe9 \xff\xfe!\n"), ["caf\\xe9 \\xff\\xfe!"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let bytes = "é".repeat(LINE_BYTES_MAX);
        let text = format!("x{bytes}\nnext\n");
        let [cut, next] = &lines(text.as_bytes())[..] else {
            panic!("two lines");
        };
        assert_eq!(next, "next");
        let (shown, rest) = cut.split_once('…').expect("it is marked");
        assert!(shown.len() <= LINE_BYTES_MAX && shown.starts_with("xé") && !shown.contains('\\'));
        assert_eq!(rest, format!(" ({} bytes cut)", 1 + bytes.len() - shown.len()));
    }

    #[test]
    fn the_tail_keeps_the_last_lines_short() {
        let tail = Tail::default();
        for number in 0..100 {
            tail.push(&format!("{number} {}", "y".repeat(10_000)));
        }
        let lines = tail.lines();
        assert_eq!(lines.len(), LAST_LINES);
        assert!(lines[0].starts_with("90 ") && lines[0].len() == LAST_LINE_CHARS_MAX);
    }
}
