//! A report as text for people and as JSON for machines.

use std::fmt;

use serde_json::json;

use crate::report::{Problem, Severity};
use crate::{Place, Report};

/// How a report is printed.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With the colours of a terminal.
    pub color: bool,
    /// No more problems than this; then their number.
    pub problems_max: usize,
}

impl Default for Style {
    /// Plain, and as many problems as a person reads.
    fn default() -> Self {
        Self { color: false, problems_max: 50 }
    }
}

/// Longer lines are cut around the mark.
const COLUMNS_MAX: usize = 120;
/// What is shown before the mark of a line that is cut.
const COLUMNS_BEFORE: usize = 40;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::default()))
    }
}

impl Report {
    /// All problems as text: place, message, source line, mark and advice for each.
    pub fn render(&self, style: Style) -> String {
        let problems = self.sorted();
        let mut out = String::new();
        for problem in problems.iter().take(style.problems_max) {
            self.render_one(problem, style, &mut out);
        }
        if let Some(more @ 1..) = problems.len().checked_sub(style.problems_max) {
            out += &format!("and {more} more\n");
        }
        out
    }

    /// All problems as a JSON array.
    pub fn to_json(&self) -> serde_json::Value {
        let spot = |place: Place| self.sources.locate(place);
        let problem = |problem: &&Problem| {
            let mut object = json!({
                "severity": match problem.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                "message": problem.message,
            });
            if let Some(spot) = spot(problem.place) {
                object["file"] = json!(*spot.file);
                object["line"] = json!(spot.line);
                object["column"] = json!(spot.column);
            }
            if let Some(help) = &problem.help {
                object["help"] = json!(help);
            }
            if let Some((place, words)) = &problem.other {
                object["other"] = json!({ "message": words });
                if let Some(spot) = spot(*place) {
                    object["other"]["file"] = json!(*spot.file);
                    object["other"]["line"] = json!(spot.line);
                    object["other"]["column"] = json!(spot.column);
                }
            }
            object
        };
        self.sorted().iter().map(problem).collect()
    }

    fn render_one(&self, problem: &Problem, style: Style, out: &mut String) {
        let paint = |code: &str, text: &str| match style.color && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let (color, label) = match problem.severity {
            Severity::Error => ("1;31", ""),
            Severity::Warning => ("1;33", "warning: "),
        };
        let message = paint("1", &problem.message);
        let label = paint(color, label);
        let help = problem.help.as_deref().unwrap_or_default();
        if let (Some(spot), Some(line)) =
            (self.sources.locate(problem.place), self.sources.line(problem.place))
        {
            let place = format!("{}:{}:{}:", spot.file, spot.line, spot.column);
            *out += &format!("{} {label}{message}\n", paint("1", &place));
            let shown = Shown::new(line.text, line.marked);
            let rail = paint("34", "|");
            *out +=
                &format!("{} {rail} {}", paint("34", &format!("{:>4}", line.number)), shown.text);
            // A mark below nothing says nothing: keep lines free of trailing blanks.
            out.truncate(out.trim_end().len());
            let mark = paint(color, &"^".repeat(shown.width));
            *out += &format!("\n     {rail} {}{mark}", " ".repeat(shown.indent));
            *out += &if help.is_empty() { "\n".to_owned() } else { format!(" {help}\n") };
        } else {
            *out += &format!("config: {label}{message}\n");
            *out += &if help.is_empty() { String::new() } else { format!("     = {help}\n") };
        }
        if let Some((place, words)) = &problem.other
            && let Some(spot) = self.sources.locate(*place)
        {
            *out += &format!("     = {words} {}:{}:{}\n", spot.file, spot.line, spot.column);
        }
    }
}

/// A line as a terminal shows it: tabs as blanks, control characters visible, cut if too long.
struct Shown {
    text: String,
    /// Columns before the mark.
    indent: usize,
    /// Columns of the mark, at least 1.
    width: usize,
}

impl Shown {
    fn new(line: &str, marked: std::ops::Range<usize>) -> Self {
        let columns_before: usize = line[..marked.start].chars().map(columns).sum();
        let too_long = columns_before > COLUMNS_MAX - COLUMNS_BEFORE;
        let skip = if too_long { columns_before - COLUMNS_BEFORE } else { 0 };
        let mut shown = Self { text: String::new(), indent: 0, width: 0 };
        if too_long {
            shown.text.push('…');
            shown.indent = 1;
        }
        let (mut column, mut used) = (0, 0);
        for (at, c) in line.char_indices() {
            let wide = columns(c);
            column += wide;
            if column <= skip {
                continue;
            }
            if used + wide > COLUMNS_MAX {
                shown.text.push('…');
                break;
            }
            used += wide;
            match c {
                '\t' => shown.text.push_str(TAB),
                c if c.is_control() => shown.text.push('·'),
                c => shown.text.push(c),
            }
            if at < marked.start {
                shown.indent += wide;
            } else if at < marked.end {
                shown.width += wide;
            }
        }
        shown.width = shown.width.max(1);
        shown
    }
}

const TAB: &str = "    ";

/// How many columns of a terminal `c` takes. Coarse on purpose: the blocks that matter in names and
/// paths, without a table of all of Unicode.
fn columns(c: char) -> usize {
    match c {
        '\t' => TAB.len(),
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
