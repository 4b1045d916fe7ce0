//! From text to the tree.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::substitute::{self, Variables};
use crate::value::{Data, Entry, Table, Text, Value};
use crate::{At, Place, Report, syntax};

impl Report {
    /// Adds `text` under `name` and parses it, reporting what is wrong; the value is a table, as far as
    /// it could be read. Variables are left as they are.
    pub fn parse(&mut self, name: &str, text: &str) -> Value {
        let file = self.add_source(name, text);
        let place = |range| Place::new(file, range);
        Parser::new(self, &place, None).parse(text)
    }
}

/// What parsing needs beside the text.
pub(crate) struct Parser<'a, 'r> {
    report: &'r mut Report,
    /// Where a range of the text stands.
    place: &'a dyn Fn(Range<usize>) -> Place,
    /// The variables to fill in, if they are to be.
    variables: Option<Variables<'a>>,
    /// What is no TOML: a value there says nothing.
    wrong: Vec<Range<usize>>,
}

impl<'a, 'r> Parser<'a, 'r> {
    pub(crate) fn new(
        report: &'r mut Report,
        place: &'a dyn Fn(Range<usize>) -> Place,
        variables: Option<Variables<'a>>,
    ) -> Self {
        Self { report, place, variables, wrong: Vec::new() }
    }

    pub(crate) fn parse(mut self, text: &str) -> Value {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for wrong in syntax::explain(text, table.get_ref(), &errors) {
                let place = (self.place)(wrong.range);
                let problem = self.report.error(place, wrong.message);
                problem.help = wrong.help;
                if let Some((range, words)) = wrong.other {
                    problem.other((self.place)(range), words);
                }
            }
            if syntax::is_lost(&errors) {
                return Value { place: (self.place)(0..0), data: Data::Table(Table::default()) };
            }
            self.wrong = errors.iter().filter_map(toml::de::Error::span).collect();
        }
        Value { place: (self.place)(0..0), data: Data::Table(self.table(table.into_inner())) }
    }

    fn table(&mut self, table: DeTable<'_>) -> Table {
        let mut read = Table { entries: Vec::with_capacity(table.len()), dropped: Vec::new() };
        for (key, value) in table {
            let key = At::new(key.get_ref().to_string(), (self.place)(key.span()));
            match self.value(value) {
                Some(value) => read.entries.push(Entry { key, value }),
                None => read.dropped.push(key.into_inner()),
            }
        }
        read
    }

    /// The value, or `None` if it is wrong in itself.
    fn value(&mut self, value: Spanned<DeValue<'_>>) -> Option<Value> {
        let range = value.span();
        let is_wrong = |wrong: &Range<usize>| wrong.start <= range.end && range.start <= wrong.end;
        let is_table = value.get_ref().is_table();
        if !is_table && self.wrong.iter().any(is_wrong) {
            return None;
        }
        let place = (self.place)(range);
        let data = match value.into_inner() {
            DeValue::String(text) => Data::String(self.text(text.into_owned(), place)?),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Data::Integer(number),
                    Err(_) => {
                        self.report
                            .error(place, "this number is too large")
                            .help(format!("at most {}", i64::MAX));
                        return None;
                    }
                }
            }
            DeValue::Float(number) => Data::Float(number.as_str().parse().ok()?),
            DeValue::Boolean(yes) => Data::Boolean(yes),
            DeValue::Datetime(date) => Data::Datetime(date.to_string()),
            DeValue::Array(items) => {
                Data::Array(items.into_iter().filter_map(|item| self.value(item)).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table)),
        };
        Some(Value { place, data })
    }

    fn text(&mut self, text: String, place: Place) -> Option<Text> {
        let Some(variables) = self.variables else {
            return Some(Text { filled: text, written: None });
        };
        match substitute::fill(&text, variables) {
            Ok(None) => Some(Text { filled: text, written: None }),
            Ok(Some(filled)) => Some(Text { filled, written: Some(text) }),
            Err(faults) => {
                for fault in faults {
                    let (message, help) = fault.words();
                    self.report.error(place, message).help(help);
                }
                None
            }
        }
    }
}
