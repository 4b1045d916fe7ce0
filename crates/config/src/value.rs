//! The tree that a text becomes: values, each with its place.

use crate::{At, Place};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Value {
    pub(crate) place: Place,
    pub(crate) data: Data,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Data {
    /// A string, its variables filled in.
    String(Text),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values.
    Table(Table),
}

/// The text of a string.
#[derive(Clone, Debug)]
pub struct Text {
    /// With the variables filled in.
    pub(crate) filled: String,
    /// As written, if a variable was filled in; problems show this, since the other may be a secret.
    pub(crate) written: Option<String>,
}

/// Keys and values, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(crate) entries: Vec<Entry>,
    /// The keys that were left out because they are wrong, so that they are not missed as well.
    pub(crate) dropped: Vec<String>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key, and where it was written.
    pub key: At<String>,
    /// The value.
    pub value: Value,
}

impl Value {
    /// A value that stands at `place`.
    pub fn new(place: Place, data: Data) -> Self {
        Self { place, data }
    }

    /// Where it was written. For a `[table]`, that is its header.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What it is.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(&text.filled),
            _ => None,
        }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match &self.data {
            Data::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Its kind in words.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::String(_) => "a string",
            Data::Integer(_) => "a whole number",
            Data::Float(_) => "a number",
            Data::Boolean(_) => "true or false",
            Data::Datetime(_) => "a date",
            Data::Array(_) => "an array",
            Data::Table(_) => "a table",
        }
    }
}

impl From<&Value> for Place {
    fn from(value: &Value) -> Self {
        value.place
    }
}

impl Table {
    /// The value of `key`.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| *entry.key == key)
    }

    /// Removes `key` and returns it with its value.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| *entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// All keys with their values.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a key that is not there yet.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

impl IntoIterator for Table {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
