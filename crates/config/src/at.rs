//! A value together with the place where it was written.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Place;

/// A value that knows where it was written, for problems that are only found later.
///
/// It reads, writes, compares and is described as the plain value. Read from anything but a
/// [`Value`](crate::Value), such as JSON, it has no place.
#[derive(Clone, Copy)]
pub struct At<T> {
    value: T,
    place: Place,
}

/// How [`At`] asks the deserializer for a place.
pub(crate) const MAGIC: &str = "$config::At";

impl<T> At<T> {
    /// A value that stands at `place`.
    pub const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// Where the value was written; [`Place::NONE`] for a default.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The value without its place.
    pub fn into_inner(self) -> T {
        self.value
    }
}

/// A value that was written nowhere, such as a default.
impl<T> From<T> for At<T> {
    fn from(value: T) -> Self {
        Self { value, place: Place::NONE }
    }
}

impl<T> From<&At<T>> for Place {
    fn from(at: &At<T>) -> Self {
        at.place
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> Default for At<T> {
    fn default() -> Self {
        Self::from(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: PartialOrd> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: Hash> Hash for At<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

/// So that a map with `At<String>` keys can be asked for a plain name.
impl std::borrow::Borrow<str> for At<String> {
    fn borrow(&self) -> &str {
        &self.value
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(MAGIC, AtVisitor(PhantomData))
    }
}

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
    type Value = At<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    /// Any other format: no place.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<At<T>, D::Error> {
        T::deserialize(from).map(At::from)
    }

    /// Our own tree: the three numbers of the place, then the value.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<At<T>, A::Error> {
        fn next<'de, V: Deserialize<'de>, A: SeqAccess<'de>>(parts: &mut A) -> Result<V, A::Error> {
            parts.next_element()?.ok_or_else(|| de::Error::custom("a place has four parts"))
        }
        let place = [next(&mut parts)?, next(&mut parts)?, next(&mut parts)?];
        Ok(At { value: next(&mut parts)?, place: Place::from_parts(place) })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
