//! One configuration out of several files: includes, variables, and items read apart.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::files::{self, Files};
use crate::parse::Parser;
use crate::split::{self, Split};
use crate::substitute::Variables;
use crate::value::{Data, Entry, Table, Value};
use crate::{At, FileId, Memo, Place, Report};

/// How a configuration is read: what the caller lends, and what is special in it.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Where files come from.
    pub files: &'a dyn Files,
    /// The variables that strings may name.
    pub variables: Variables<'a>,
    /// The array of tables whose items are read apart, each on its own: there are many of them.
    pub items: &'static str,
    /// The tables of named things and the arrays, to which every file may add.
    pub shared: &'static [&'static str],
}

/// A configuration, all its files together.
#[derive(Debug)]
pub struct Document<T> {
    /// All but the items.
    pub rest: Value,
    /// What the items were made into. Wrong ones are reported and left out.
    pub items: Vec<Item<T>>,
}

/// What one item was made into.
#[derive(Clone, Copy, Debug)]
pub struct Item<T> {
    /// The text of the item. Places in `value` are relative to it: see [`Place::within`].
    pub place: Place,
    /// What was made of it.
    pub value: T,
}

/// The most files that one configuration may have: a folder included by mistake is not read whole.
const FILES_MAX: usize = 10_000;

impl Reader<'_> {
    /// Reads the file `path` and all it includes. Each item is made into a `T` by `build`, unless
    /// `memo` has it from an item with the same text; `T` should be cheap to clone, such as an `Arc`.
    ///
    /// `build` gets a report for what it finds wrong; while anything is wrong, and be it a warning,
    /// the result is not kept, so that the problem is found again by the next reading.
    pub fn read<T: Clone>(
        &self,
        path: &str,
        memo: &mut Memo<T>,
        report: &mut Report,
        build: &mut dyn FnMut(&Value, &mut Report) -> Option<T>,
    ) -> Document<T> {
        memo.begin();
        let mut reading = Reading {
            reader: *self,
            memo,
            report,
            build,
            seen: BTreeSet::new(),
            rest: Table::default(),
            items: Vec::new(),
        };
        let place = reading.file(path, Place::NONE, &mut Vec::new());
        let Reading { rest, items, .. } = reading;
        memo.end(items.len());
        Document { rest: Value { place, data: Data::Table(rest) }, items }
    }
}

struct Reading<'a, 'm, T> {
    reader: Reader<'a>,
    memo: &'m mut Memo<T>,
    report: &'m mut Report,
    build: &'m mut dyn FnMut(&Value, &mut Report) -> Option<T>,
    /// The files read so far.
    seen: BTreeSet<String>,
    rest: Table,
    items: Vec<Item<T>>,
}

impl<T: Clone> Reading<'_, '_, T> {
    /// Reads `path`, which is included at `from` by the last of `above`; returns its beginning.
    fn file(&mut self, path: &str, from: Place, above: &mut Vec<String>) -> Place {
        if above.iter().any(|above| above == path) {
            let chain = above.iter().skip_while(|above| *above != path);
            let chain: Vec<&str> = chain.map(String::as_str).chain([path]).collect();
            self.report.error(from, format!("files include each other: {}", chain.join(" -> ")));
            return Place::NONE;
        }
        if !self.seen.insert(path.to_owned()) {
            self.report.error(from, format!("`{path}` is included twice"));
            return Place::NONE;
        }
        let text: Arc<str> = match self.reader.files.read(path) {
            Ok(text) => text,
            Err(why) => {
                self.report.error(from, format!("cannot read `{path}`: {why}"));
                return Place::NONE;
            }
        };
        let file = self.report.add_source(path, Arc::clone(&text));
        let mut table = self.text(file, &text);
        let include = table.take("include");
        self.merge(table);
        if let Some(include) = include {
            above.push(path.to_owned());
            self.include(path, &include, above);
            above.pop();
        }
        Place::new(file, 0..0)
    }

    /// Reads all that `path` includes.
    fn include(&mut self, path: &str, include: &Entry, above: &mut Vec<String>) {
        let Some(patterns) = include.value.as_array() else {
            self.report
                .error(&include.value, "`include` is not an array of paths")
                .help("e.g. `include = [\"routes/*.toml\"]`");
            return;
        };
        for pattern in patterns {
            let place = pattern.place;
            let Some(text) = pattern.as_str() else {
                let message = format!("expected a path, found {}", pattern.kind());
                self.report.error(place, message);
                continue;
            };
            match files::matching(self.reader.files, path, text) {
                Ok(paths) => {
                    for path in paths {
                        if self.seen.len() == FILES_MAX {
                            let message = format!("there are more than {FILES_MAX} files");
                            self.report.error(place, message);
                            return;
                        }
                        self.file(&path, place, above);
                    }
                }
                Err((message, help)) => {
                    self.report.error(place, message).help = help;
                }
            }
        }
    }

    /// Reads the items of one file and returns all else.
    fn text(&mut self, file: FileId, text: &str) -> Table {
        let list = self.reader.items;
        match split::split(text, list, &mut self.memo.texts) {
            Some(split) if !split.items.is_empty() => {
                let problems = self.report.problems().len();
                let rest = self.rest(file, text, &split);
                if rest.find(list).is_none() {
                    self.items.reserve(split.items.len());
                    for (range, number) in split.items {
                        self.item(file, text, range, number);
                    }
                    return rest;
                }
                // The list is also given in another way: only the whole text says what that means.
                self.report.forget_after(problems);
            }
            _ => {}
        }
        self.whole(file, text)
    }

    /// Parses `text` in one piece.
    fn whole(&mut self, file: FileId, text: &str) -> Table {
        let mut table = self.parse(text, &|range| Place::new(file, range));
        let list = self.reader.items;
        let is_list = |entry: &Entry| entry.value.as_array().is_some();
        if table.find(list).is_some_and(is_list)
            && let Some(entry) = table.take(list)
            && let Data::Array(items) = entry.value.data
        {
            for item in items {
                if let Some(value) = (self.build)(&item, self.report) {
                    self.items.push(Item { place: item.place, value });
                }
            }
        }
        table
    }

    /// Parses all but the items, put together.
    fn rest(&mut self, file: FileId, text: &str, split: &Split) -> Table {
        let mut joined = String::new();
        // Where each part begins, in `joined` and in `text`.
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for part in &split.rest {
            parts.push((joined.len(), part.start));
            joined.push_str(&text[part.clone()]);
        }
        let place = |range: Range<usize>| {
            let part = parts.partition_point(|(at, _)| *at <= range.start).saturating_sub(1);
            let shift = parts.get(part).map_or(0, |(at, start)| start - at);
            Place::new(file, range.start + shift..range.end + shift)
        };
        self.parse(&joined, &place)
    }

    /// Reads the item at `range`, or recalls what it was read into if its text is known by a number.
    fn item(&mut self, file: FileId, text: &str, range: Range<usize>, number: Option<u32>) {
        let place = Place::new(file, range.clone());
        if let Some(number) = number {
            self.items.push(Item { place, value: self.memo.recall(number) });
            return;
        }
        let text = &text[range];
        let problems = self.report.problems().len();
        self.report.piece = Some(place);
        let mut table = self.parse(text, &Place::in_piece);
        let item = table.take(self.reader.items).and_then(|entry| match entry.value.data {
            Data::Array(items) => items.into_iter().next(),
            _ => None,
        });
        let built = item.and_then(|item| (self.build)(&item, self.report));
        self.report.piece = None;
        if let Some(value) = built {
            if self.report.problems().len() == problems {
                self.memo.keep(text, value.clone());
            }
            self.items.push(Item { place, value });
        }
    }

    fn parse(&mut self, text: &str, place: &dyn Fn(Range<usize>) -> Place) -> Table {
        let variables = Some(self.reader.variables);
        let value = Parser::new(self.report, place, variables).parse(text);
        match value.data {
            Data::Table(table) => table,
            _ => Table::default(),
        }
    }

    /// Adds the tables of one more file to what is there.
    fn merge(&mut self, table: Table) {
        let Self { rest, report, reader, .. } = self;
        rest.dropped.extend(table.dropped);
        for new in table.entries {
            let Some(old) = rest.entries.iter_mut().find(|old| old.key == new.key) else {
                rest.entries.push(new);
                continue;
            };
            let shared = reader.shared.contains(&new.key.as_str());
            match (&mut old.value.data, new.value.data) {
                (Data::Table(names), Data::Table(more)) if shared => {
                    names.dropped.extend(more.dropped);
                    for name in more.entries {
                        match names.find(&name.key) {
                            Some(old) => {
                                let path = format!("{}.{}", new.key, name.key);
                                twice(report, &path, &name.key, &old.key);
                            }
                            None => names.entries.push(name),
                        }
                    }
                }
                (Data::Array(items), Data::Array(more)) if shared => items.extend(more),
                _ => twice(report, &new.key, &new.key, &old.key),
            }
        }
    }
}

/// Reports that `path` was defined before.
fn twice(report: &mut Report, path: &str, new: &At<String>, old: &At<String>) {
    report.error(new, format!("`{path}` is defined twice")).other(old, "the first one is at");
}

#[cfg(test)]
mod tests;
