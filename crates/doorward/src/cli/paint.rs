//! Colours and columns, for people at a terminal.

use std::fmt::Display;
use std::io::IsTerminal;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Strong,
    /// What matters less than its surroundings.
    Faint,
    Good,
    Odd,
    Bad,
    Link,
    /// One of several colours that mean nothing, to tell names apart.
    Name(u8),
}

/// Names are told apart by so many colours.
const NAME_COLOURS: [u8; 5] = [36, 34, 35, 96, 94];

/// Paints, or leaves everything plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For what is written to `stream`: plain unless it shows colours and its user wants them
    /// (<https://no-color.org>).
    pub(crate) fn on(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !refused)
    }

    pub(crate) fn is_colourful(self) -> bool {
        self.0
    }

    pub(crate) fn paint(self, look: Look, text: impl Display) -> String {
        let code = match look {
            Look::Plain => return text.to_string(),
            Look::Strong => 1,
            Look::Faint => 2,
            Look::Good => 32,
            Look::Odd => 33,
            Look::Bad => 31,
            Look::Link => 4,
            Look::Name(which) => NAME_COLOURS[usize::from(which) % NAME_COLOURS.len()],
        };
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    /// `rows`, one a line behind `indent`, each cell as wide as the widest of its column; the last
    /// one of a row is as long as it is.
    pub(crate) fn columns(self, indent: &str, rows: &[Vec<(Look, String)>]) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows {
            let padded = row.len().saturating_sub(1);
            for (at, (_, text)) in row[..padded].iter().enumerate() {
                let width = text.chars().count();
                match widths.get_mut(at) {
                    Some(widest) => *widest = (*widest).max(width),
                    None => widths.push(width),
                }
            }
        }
        let mut out = String::new();
        for row in rows {
            out += indent;
            for (at, (look, text)) in row.iter().enumerate() {
                out += &self.paint(*look, text);
                if at + 1 < row.len() {
                    let width = widths.get(at).copied().unwrap_or_default();
                    out += &" ".repeat(width - text.chars().count() + 2);
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }
}

/// The colour of a name: always the same.
pub(crate) fn name(name: &str) -> Look {
    Look::Name(name.bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        let row = |cells: &[&str]| -> Vec<(Look, String)> {
            cells.iter().map(|text| (Look::Good, (*text).to_owned())).collect()
        };
        let rows = [row(&["a", "bb", "a long end"]), row(&["größer", "c"]), row(&["", "", ""])];
        assert_eq!(Paint(false).columns("  ", &rows), "  a       bb  a long end\n  größer  c\n\n");
        let plain = |text: &str| text.replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert!(
            plain(&Paint(true).columns("  ", &rows[..2])).starts_with("  a       bb  a long end\n")
        );
    }
}
