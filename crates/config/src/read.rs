//! From a value to a type, with every problem of the value in one run.

use serde::de::DeserializeOwned;

use crate::de::{De, Error, Kind};
use crate::value::{Data, Value};
use crate::{Report, words};

/// How often one value is tried; more problems than this are not worth printing either.
const TRIES_MAX: usize = 100;

impl Report {
    /// Reads `value` as a `T`, or reports all that is wrong with it and returns `None`.
    pub fn read<T: DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        match T::deserialize(De(value)) {
            Ok(read) => Some(read),
            Err(err) => {
                self.read_rest::<T>(value, err);
                None
            }
        }
    }

    /// Reads `value` as a `T` without the entries that are wrong, which are reported. For finding
    /// further problems only: `None` if what is wrong cannot be left out.
    pub fn salvage<T: DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        match T::deserialize(De(value)) {
            Ok(read) => Some(read),
            Err(err) => self.read_rest(value, err),
        }
    }

    /// Serde stops at the first error. So the wrong entry is reported and left out, and the rest is
    /// tried again.
    fn read_rest<T: DeserializeOwned>(&mut self, value: &Value, mut err: Error) -> Option<T> {
        let mut rest = value.clone();
        for _ in 0..TRIES_MAX {
            let path: Vec<usize> = err.path().collect();
            if !follows(&rest, &path, &err) {
                self.explain(value, &err);
            }
            if !leave_out(&mut rest, &path, meant(&err)) {
                return None;
            }
            match T::deserialize(De(&rest)) {
                Ok(read) => return Some(read),
                Err(next) => err = next,
            }
        }
        None
    }

    /// Reports `err` in the words of the config author.
    fn explain(&mut self, value: &Value, err: &Error) {
        let place = err.place().unwrap_or(value.place);
        match err.kind() {
            Kind::UnknownKey { name, known } => {
                self.error(place, format!("there is no key `{name}` here")).help =
                    words::suggest(name, known);
            }
            Kind::UnknownWord { word, known } => {
                let choices: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
                let message = format!("`{word}` is not one of {}", choices.join(", "));
                self.error(place, message).help =
                    words::nearest(word, known).map(|word| format!("did you mean \"{word}\"?"));
            }
            Kind::MissingKey { name } => {
                self.error(place, format!("`{name}` is missing"));
            }
            Kind::Other { message, help } => {
                self.error(place, message).help.clone_from(help);
            }
        }
    }
}

/// Whether `err` only follows from an entry that was left out before.
fn follows(rest: &Value, path: &[usize], err: &Error) -> bool {
    let Some(node) = find(rest, path) else {
        return false;
    };
    let dropped = match &node.data {
        Data::Table(table) => &table.dropped,
        _ => return false,
    };
    match err.kind() {
        Kind::MissingKey { name } => dropped.iter().any(|dropped| dropped == name),
        Kind::Other { .. } => !dropped.is_empty(),
        Kind::UnknownKey { .. } | Kind::UnknownWord { .. } => false,
    }
}

fn find<'v>(value: &'v Value, path: &[usize]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, index| match &value.data {
        Data::Array(items) => items.get(*index),
        Data::Table(table) => table.entries.get(*index).map(|entry| &entry.value),
        _ => None,
    })
}

/// The key that the author probably meant by an unknown one: it is there, so it is not missing.
fn meant(err: &Error) -> Option<&'static str> {
    match err.kind() {
        Kind::UnknownKey { name, known } => words::nearest(name, known),
        _ => None,
    }
}

/// Removes the entry at `path`, which was meant to be called `meant`; says whether there was one.
fn leave_out(value: &mut Value, path: &[usize], meant: Option<&str>) -> bool {
    let Some((&index, rest)) = path.split_first() else {
        return false;
    };
    match &mut value.data {
        Data::Array(items) if index < items.len() => {
            if rest.is_empty() {
                items.remove(index);
                return true;
            }
            leave_out(&mut items[index], rest, meant)
        }
        Data::Table(table) if index < table.entries.len() => {
            // Noted all the way down: what the whole table checks may rest on what is gone.
            table.dropped.push((*table.entries[index].key).clone());
            if rest.is_empty() {
                table.entries.remove(index);
                table.dropped.extend(meant.map(str::to_owned));
                return true;
            }
            leave_out(&mut table.entries[index].value, rest, meant)
        }
        _ => false,
    }
}
