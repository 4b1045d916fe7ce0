//! The explanation of one request: one line per station that decided something.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The decisions about one request with their reasons, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trail {
    lines: Vec<Line>,
    #[serde(skip)]
    pending: Vec<(&'static str, String)>,
}

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Who decided: `route`, a filter's name, `endpoint`, `upstream`, `fault`.
    pub stage: &'static str,
    /// What was decided, in one word.
    pub step: &'static str,
    /// Why, as a clause.
    pub why: &'static str,
    /// The details, each with its name.
    #[serde(serialize_with = "as_map")]
    pub notes: Vec<(&'static str, String)>,
}

impl Trail {
    /// Attaches a detail to the next line.
    pub fn note(&mut self, key: &'static str, value: String) {
        self.pending.push((key, value));
    }

    /// Adds a line with the details noted since the last one.
    pub fn record(&mut self, stage: &'static str, step: &'static str, why: &'static str) {
        let notes = std::mem::take(&mut self.pending);
        self.lines.push(Line { stage, step, why, notes });
    }

    /// Adds the decisions of `other` behind these.
    pub fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// The decisions so far.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {:<7} {}", self.stage, self.step, self.why)?;
        for (key, value) in &self.notes {
            write!(f, " {key}={value}")?;
        }
        Ok(())
    }
}

fn as_map<S: Serializer>(notes: &[(&'static str, String)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(notes.len()))?;
    for (key, value) in notes {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
