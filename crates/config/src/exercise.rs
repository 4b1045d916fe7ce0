//! The body of the fuzz target, which tests call as well so that it cannot rot.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::{Data, Files, Memo, Place, Reader, Report, Value};

/// Reads any bytes as a configuration, in every way there is, and panics if two ways disagree or a
/// place points nowhere.
pub fn exercise(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // What is known from other texts, here the two halves, must not matter either.
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let mut memo = Memo::default();
    for text in [&text, first, second, &text, &text] {
        compare(text, &mut memo);
    }
}

/// Reads `text` whole and in pieces.
fn compare(text: &str, memo: &mut Memo<Arc<Value>>) {
    let mut whole = Report::new();
    let mut value = whole.parse("fuzz.toml", text);
    check_report(&whole);
    let items = take_items(&mut value);
    let items = items.iter().map(|item| (item, Place::NONE));
    let expect = Dump::of(&whole, &value, items);

    let files = OneFile(text.into());
    let keep = |name: &str| Some(format!("${{{name}}}"));
    let reader = Reader { files: &files, variables: &keep, items: "route", shared: &[] };
    let mut report = Report::new();
    let mut build = |value: &Value, _: &mut Report| Some(Arc::new(value.clone()));
    let document = reader.read("fuzz.toml", memo, &mut report, &mut build);
    check_report(&report);
    // Variables and includes make a difference on purpose.
    if text.contains('$') || text.contains("include") {
        return;
    }
    assert_eq!(whole.is_clean(), report.is_clean(), "{text:?}\n{whole}\n{report}");
    if whole.is_clean() {
        let items = document.items.iter().map(|item| (&*item.value, item.place));
        assert_eq!(expect, Dump::of(&report, &document.rest, items), "{text:?}");
    }
}

/// Removes the items of `route`, if it is an array.
fn take_items(value: &mut Value) -> Vec<Value> {
    let Some(table) = value.as_table_mut() else {
        return Vec::new();
    };
    let is_array = table.find("route").is_some_and(|entry| entry.value.as_array().is_some());
    match is_array.then(|| table.take("route")).flatten().map(|entry| entry.value.data) {
        Some(Data::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// A problem points into the text, and printing it does not panic.
fn check_report(report: &Report) {
    for problem in report.problems() {
        if let Some(file) = problem.place().file() {
            let range = problem.place().range();
            let text = report.sources().text(file);
            assert!(text.get(range.clone()).is_some(), "{range:?} is not in {text:?}");
        }
    }
    assert_eq!(report.is_clean(), report.to_string().is_empty());
    assert_eq!(report.is_clean(), report.to_json() == serde_json::json!([]));
}

struct OneFile(Arc<str>);

impl Files for OneFile {
    fn read(&self, path: &str) -> Result<Arc<str>, String> {
        if path == "fuzz.toml" { Ok(Arc::clone(&self.0)) } else { Err("no such file".to_owned()) }
    }

    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(vec!["fuzz.toml".to_owned()])
    }
}

/// Writes trees with all their places.
struct Dump<'r> {
    report: &'r Report,
    out: String,
}

impl<'r> Dump<'r> {
    /// The entries of `rest`, then the items, each with the piece that its places are relative to.
    fn of<'v>(
        report: &'r Report,
        rest: &Value,
        items: impl Iterator<Item = (&'v Value, Place)>,
    ) -> String {
        let mut dump = Self { report, out: String::new() };
        dump.data(rest, Place::NONE);
        items.for_each(|(item, piece)| dump.value(item, piece));
        dump.out
    }

    fn value(&mut self, value: &Value, piece: Place) {
        self.place(value.place(), piece);
        self.data(value, piece);
    }

    fn data(&mut self, value: &Value, piece: Place) {
        match value.data() {
            Data::Table(table) => {
                for entry in table.entries() {
                    self.place(entry.key.place(), piece);
                    let _ = write!(self.out, "{:?} ", entry.key);
                    self.value(&entry.value, piece);
                }
            }
            Data::Array(items) => items.iter().for_each(|item| self.value(item, piece)),
            Data::String(text) => {
                let _ = write!(self.out, "{:?} ", text.filled);
            }
            data => {
                let _ = write!(self.out, "{data:?} ");
            }
        }
    }

    fn place(&mut self, place: Place, piece: Place) {
        let place = place.within(piece);
        let range = place.range();
        let file = place.file().expect("places are absolute by now");
        let text = self.report.sources().text(file);
        assert!(text.get(range.clone()).is_some(), "{range:?} is not in {text:?}");
        let _ = write!(self.out, "{range:?} ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes cutting a text hard, to be put together at random.
    const PARTS: [&str; 44] = [
        "[[route]]\n",
        "[[route]]\n",
        "[[route]]\r\n",
        "[route.cache]\n",
        "[[route.list]]\n",
        "[service.a]\n",
        "[service.b]\n",
        "[[ \"route\" ]]\n",
        "[['route']]\n",
        "[route]\n",
        "[\"route\".x]\n",
        "[\"r\\u006fute\"]\n",
        "  [[route]]  # comment\n",
        "[[router]]\n",
        "path = \"/a\"\n",
        "host = 'b'\n",
        "a.b = 1\n",
        "route = []\n",
        "route.x = 1\n",
        "x = '''\n[[route]]\n'''\n",
        "y = \"\"\"\n[[route]]\\\"\"\"\"\"\n",
        "# [[route]] \"\n",
        "z = [\n[[1]],\n# ]\n]\n",
        "w = { a = 1, b = [\n] }\n",
        "q = \"\\\\\"\n",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\\",
        "[",
        "]",
        "{",
        "}",
        "#",
        "=",
        ".",
        "é",
        "\t",
        " ",
        "\u{0}",
        "1",
        "p = \"\\\n",
        "e = ''\n",
    ];

    #[test]
    fn no_text_is_read_in_two_ways() {
        let mut seed = 1_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        let mut memo = Memo::default();
        for round in 0..10_000 {
            // The first ones are mostly right, the last ones mostly wrong.
            let kinds = if round % 3 == 0 { PARTS.len() } else { 27 };
            let text: String = (0..next(9)).map(|_| PARTS[next(kinds)]).collect();
            compare(&text, &mut memo);
            exercise(text.as_bytes());
        }
        exercise(b"\xff[[route]]\n\xfe = 1");
    }
}
