//! Everything found wrong with the configuration, in all its files.

use std::fmt::Display;

use crate::words;
use crate::{Place, Sources};

/// Everything found wrong, and the texts it was found in. Reading goes on after an error, so that one
/// run shows all of them.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) sources: Sources,
    problems: Vec<Problem>,
    /// The piece that is being read: relative places are in it.
    pub(crate) piece: Option<Place>,
}

/// Whether a problem forbids to use the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but its author probably meant something else.
    Warning,
}

/// One thing that is wrong: the config author's, as a `Fault` is ours to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(crate) place: Place,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) other: Option<(Place, String)>,
    /// The piece in which `other` is, if it is relative.
    piece: Option<Place>,
}

impl Problem {
    /// Adds advice, shown beside the caret.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place, shown as `<words> <file>:<line>:<column>`, e.g. with the words
    /// "the first one is at".
    pub fn other(&mut self, place: impl Into<Place>, words: impl Into<String>) -> &mut Self {
        let place = place.into();
        self.other = Some((self.piece.map_or(place, |piece| place.within(piece)), words.into()));
        self
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether it forbids to use the configuration.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Report {
    /// A report of nothing, on no file.
    pub fn new() -> Self {
        Self::default()
    }

    /// The texts that the problems point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Adds a text that problems will point into.
    pub fn add_source(
        &mut self,
        name: &str,
        text: impl Into<std::sync::Arc<str>>,
    ) -> crate::FileId {
        self.sources.add(name, text)
    }

    /// Adds an error. `at` is a [`Place`], an `&At<T>` or a `&Value`.
    pub fn error(&mut self, at: impl Into<Place>, message: impl Into<String>) -> &mut Problem {
        self.push(at.into(), Severity::Error, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, at: impl Into<Place>, message: impl Into<String>) -> &mut Problem {
        self.push(at.into(), Severity::Warning, message.into())
    }

    /// Adds the error that there is no `what` called `name`, with the nearest of `known` as advice.
    pub fn unknown(
        &mut self,
        at: impl Into<Place>,
        what: &str,
        name: &str,
        known: &[impl AsRef<str>],
    ) -> &mut Problem {
        let help = words::suggest(name, known);
        let problem = self.error(at, format!("there is no {what} `{name}`"));
        problem.help = help;
        problem
    }

    /// Adds the error that `at` is not within `least..=most`, if it is not; says whether it is.
    pub fn within<T: PartialOrd + Display>(
        &mut self,
        name: &str,
        value: &crate::At<T>,
        bounds: std::ops::RangeInclusive<T>,
    ) -> bool {
        let (least, most) = bounds.into_inner();
        if **value < least {
            self.error(value, format!("`{name} = {}` is too small", words::spell(&**value)))
                .help(format!("write at least {}", words::spell(&least)));
            return false;
        }
        if **value > most {
            self.error(value, format!("`{name} = {}` is too large", words::spell(&**value)))
                .help(format!("write at most {}", words::spell(&most)));
            return false;
        }
        true
    }

    /// Whether nothing at all was found.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// How many problems were found so far, in the order of finding.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Takes back all but the first `count` problems.
    pub(crate) fn forget_after(&mut self, count: usize) {
        self.problems.truncate(count);
    }

    /// The problems in the order of the text, each once.
    pub(crate) fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.problems.iter().collect();
        sorted.sort_by(|a, b| {
            (a.place, a.severity, &a.message).cmp(&(b.place, b.severity, &b.message))
        });
        sorted.dedup();
        sorted
    }

    fn push(&mut self, at: Place, severity: Severity, message: String) -> &mut Problem {
        let piece = self.piece;
        let place = piece.map_or(at, |piece| at.within(piece));
        self.problems.push(Problem { place, severity, message, help: None, other: None, piece });
        self.problems.last_mut().expect("just pushed")
    }
}
