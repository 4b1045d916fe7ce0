//! Serde over the tree, with errors that say where and what, and which entry to leave out.

use std::fmt::Display;

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::value::{Data, Entry, Value};
use crate::{At, Place, at, words};

/// Why a value is not what was asked for.
#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    place: Option<Place>,
    /// The way from the innermost table out to the root, as indices of entries.
    path: Vec<usize>,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Kind {
    UnknownKey { name: String, known: &'static [&'static str] },
    UnknownWord { word: String, known: &'static [&'static str] },
    MissingKey { name: &'static str },
    Other { message: String, help: Option<String> },
}

impl Error {
    fn new(kind: Kind) -> Self {
        Self(Box::new(Inner { kind, place: None, path: Vec::new() }))
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.0.place
    }

    /// The indices from the root to the entry that is wrong.
    pub(crate) fn path(&self) -> impl Iterator<Item = usize> {
        self.0.path.iter().rev().copied()
    }

    /// Notes that the error came from entry `index`, at `place` unless a narrower one is known.
    fn at_entry(mut self, index: usize, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self.0.path.push(index);
        self
    }

    /// Shows `text` as it was written where the message quotes it.
    fn quoting(mut self, text: &crate::value::Text) -> Self {
        if let (Some(written), false) = (&text.written, text.filled.is_empty()) {
            match &mut self.0.kind {
                Kind::Other { message, help } => {
                    for quote in ['`', '"'] {
                        let quoted = format!("{quote}{}{quote}", text.filled);
                        *message = message.replace(&quoted, &format!("{quote}{written}{quote}"));
                    }
                    // A short one unquoted would be found inside other words; a secret is long.
                    if text.filled.len() >= SECRET_BYTES_MIN {
                        *message = message.replace(&text.filled, written);
                    }
                    *help = Some("the value of the variable is not shown".to_owned());
                }
                Kind::UnknownWord { word, .. } => word.clone_from(written),
                Kind::UnknownKey { .. } | Kind::MissingKey { .. } => {}
            }
        }
        self
    }
}

/// Shorter texts are no secrets worth the name.
const SECRET_BYTES_MIN: usize = 8;

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.kind {
            Kind::UnknownKey { name, .. } => write!(f, "there is no key `{name}` here"),
            Kind::UnknownWord { word, .. } => write!(f, "`{word}` is not one of the choices"),
            Kind::MissingKey { name } => write!(f, "`{name}` is missing"),
            Kind::Other { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Kind::Other { message: message.to_string(), help: None })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let message = format!("expected {}, found {}", words::wanted(&expected), spell(found));
        Self::new(Kind::Other { message, help: None })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let Some((least, most)) = words::bounds(&expected) else {
            let message = format!("expected {}, found {}", words::wanted(&expected), spell(found));
            return Self::new(Kind::Other { message, help: None });
        };
        let message = format!("{} is out of range", spell(found));
        let help = Some(format!("write a whole number from {least} to {most}"));
        Self::new(Kind::Other { message, help })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord { word: word.to_owned(), known })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey { name: name.to_owned(), known })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::MissingKey { name })
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::custom(format!("`{name}` is given twice"))
    }
}

/// What was found, in the words of TOML.
fn spell(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(yes) => format!("`{yes}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the string \"{text}\""),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::UnitVariant | Unexpected::Unit => "a plain word".to_owned(),
        Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => {
            "a table".to_owned()
        }
        other => other.to_string(),
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
pub(crate) struct De<'a>(pub(crate) &'a Value);

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.data {
            Data::String(text) => {
                visitor.visit_borrowed_str(&text.filled).map_err(|err: Error| err.quoting(text))
            }
            Data::Integer(number) => visitor.visit_i64(*number),
            Data::Float(number) => visitor.visit_f64(*number),
            Data::Boolean(yes) => visitor.visit_bool(*yes),
            Data::Datetime(text) => visitor.visit_borrowed_str(text),
            Data::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            Data::Table(table) => visitor.visit_map(Entries { entries: &table.entries, next: 0 }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == at::MAGIC {
            return visitor.visit_seq(Placed { place: self.0.place, next: 0, value: self });
        }
        visitor.visit_newtype_struct(self)
    }

    /// A choice is a word, or a table whose only key is the word.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.data {
            Data::String(text) => visitor
                .visit_enum(text.filled.as_str().into_deserializer())
                .map_err(|err: Error| err.quoting(text)),
            Data::Table(table) => match table.entries.as_slice() {
                [entry] => visitor.visit_enum(Choice(entry)),
                _ => Err(de::Error::custom(format!(
                    "expected a table with one key out of: {}",
                    known.join(", ")
                ))),
            },
            _ => self.deserialize_any(ExpectWord(name)).map(|never: Never| match never {}),
        }
    }

    /// A table, and nothing else: an array would give keys by their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Data::Table(table) = &self.0.data {
            return visitor.visit_map(Entries { entries: &table.entries, next: 0 });
        }
        let help = format!("write a table, `{{ KEY = ... }}`, with some of: {}", known.join(", "));
        Err(self.refuse("a table", help))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.data {
            Data::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            Data::Table(_) => {
                Err(self.refuse("an array", "write `[...]`, or `[[NAME]]` before each table"))
            }
            Data::String(_) | Data::Integer(_) | Data::Float(_) => {
                Err(self.refuse("an array", "write it in brackets: `[...]`"))
            }
            Data::Boolean(_) | Data::Datetime(_) => {
                Err(self.refuse("an array", "write an array: `[...]`"))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

impl De<'_> {
    /// Says that it is not what was `wanted`, and what to do.
    fn refuse(self, wanted: &str, help: impl Into<String>) -> Error {
        let found = match &self.0.data {
            Data::String(text) => Unexpected::Str(&text.filled),
            Data::Integer(number) => Unexpected::Signed(*number),
            Data::Float(number) => Unexpected::Float(*number),
            Data::Boolean(yes) => Unexpected::Bool(*yes),
            Data::Datetime(text) => Unexpected::Str(text),
            Data::Array(_) => Unexpected::Seq,
            Data::Table(_) => Unexpected::Map,
        };
        let message = format!("expected {wanted}, found {}", spell(found));
        let error = Error::new(Kind::Other { message, help: Some(help.into()) });
        match &self.0.data {
            Data::String(text) => error.quoting(text),
            _ => error,
        }
    }
}

/// Refuses whatever it is given, as something that is not a word.
struct ExpectWord(&'static str);

enum Never {}

impl Visitor<'_> for ExpectWord {
    type Value = Never;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "enum {}", self.0)
    }
}

/// The items of an array.
struct Items<'a> {
    items: &'a [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.get(self.next) else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(De(item)).map(Some).map_err(|err| err.at_entry(index, item.place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

/// The entries of a table.
struct Entries<'a> {
    entries: &'a [Entry],
    /// The entry whose key comes next; its value is that of the one before.
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(KeyDe(&entry.key))
            .map(Some)
            .map_err(|err| err.at_entry(index, entry.key.place()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let index = self.next - 1;
        let value = &self.entries[index].value;
        seed.deserialize(De(value)).map_err(|err| err.at_entry(index, value.place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len() - self.next)
    }
}

/// Reads one key.
#[derive(Clone, Copy)]
struct KeyDe<'a>(&'a At<String>);

impl<'de> Deserializer<'de> for KeyDe<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == at::MAGIC {
            return visitor.visit_seq(Placed { place: self.0.place(), next: 0, value: self });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.as_str().into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A place and the value that stands there, for [`At`].
struct Placed<D> {
    place: Place,
    next: usize,
    value: D,
}

impl<'de, D: Deserializer<'de, Error = Error> + Copy> SeqAccess<'de> for Placed<D> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let part = self.place.parts().get(self.next).copied();
        self.next += 1;
        match part {
            Some(part) => seed.deserialize(U32Deserializer::new(part)).map(Some),
            None => seed.deserialize(self.value).map(Some),
        }
    }
}

/// A choice written as a table: its only key is the word, its value the content.
struct Choice<'a>(&'a Entry);

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'de, Error> = self.0.key.as_str().into_deserializer();
        let variant = seed.deserialize(word).map_err(|err| err.at_entry(0, self.0.key.place()))?;
        Ok((variant, self))
    }
}

impl Choice<'_> {
    fn inside<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|err| err.at_entry(0, self.0.value.place))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        let message = format!("`{0}` takes nothing: write `\"{0}\"`", *self.0.key);
        self.inside(Err(de::Error::custom(message)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.inside(seed.deserialize(De(&self.0.value)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.inside(De(&self.0.value).deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.inside(De(&self.0.value).deserialize_map(visitor))
    }
}
