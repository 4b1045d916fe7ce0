//! What a `[[route]]` says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use config::{At, Share, Size};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::action::{RedirectConfig, RespondConfig};
use super::mirror::MirrorConfig;
use crate::cache::CacheConfig;
use crate::files::FilesConfig;
use crate::filter::compress::CompressConfig;
use crate::filter::fault::FaultConfig;
use crate::filter::headers::HeadersConfig;
use crate::filter::priority::PriorityConfig;
use crate::filter::rewrite::RewriteConfig;

/// A route: which requests it is for, and what happens to them.
///
/// Among all routes that match a request, the most specific one is taken, whatever their order: an
/// exact host before a wildcard, a long wildcard before a short one, any host before none; then the
/// path, segment by segment, a literal before a parameter before `*`; then a method, more headers,
/// more query parameters.
///
/// What happens is exactly one of `service`, `split`, `respond`, `redirect` and `files`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteConfig {
    /// The name in logs, metrics and explanations; made of the match if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<At<String>>,
    /// The host, or several: `"example.com"`, or `"*.example.com"` for all hosts below it. Case and
    /// port do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<At<OneOrMany>>,
    /// The path: `"/a"` is that path alone, `"/a/*"` is `/a` and everything below, `"/a/{id}"` has a
    /// parameter for one segment, `"/a/{rest...}"` one for everything below. Compared decoded.
    pub path: At<String>,
    /// The method, or several; `GET` is also for `HEAD`. All methods if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<At<OneOrMany>>,
    /// Header fields that must be there: `true` for any value, or the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<At<String>, At<Wanted>>,
    /// Query parameters that must be there: `true` for any value, or the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<At<String>, At<Wanted>>,

    /// Sends the request to this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<At<String>>,
    /// Sends each request to one of these services, by chance: `{ stable = "90%", next = "10%" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<At<BTreeMap<At<String>, At<Share>>>>,
    /// Answers with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<At<RespondConfig>>,
    /// Sends the client elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<At<RedirectConfig>>,
    /// Answers with files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<At<FilesConfig>>,

    /// The largest request body; `[limits] body` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<At<Size>>,

    /// Lets only clients in that have shown a certificate: `"required"` for any that the listener takes,
    /// or the identities that may come, such as `"spiffe://example.org/ns/prod/*"` or
    /// `["dns:*.example.com", "cn:backup"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<At<OneOrMany>>,
    /// How important its requests are when there is more to do than can be done: `"critical"`, `"normal"`,
    /// `"sheddable"`, or a table for more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<At<PriorityConfig>>,
    /// Keeps answers of the service and gives them again: `{}` does what the service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<At<CacheConfig>>,

    /// Sends copies of requests to another service, and throws its answers away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<At<MirrorConfig>>,

    /// Delays or fails requests on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<At<FaultConfig>>,
    /// Changes the header fields that the service sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<At<HeadersConfig>>,
    /// Changes the header fields that the client sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<At<HeadersConfig>>,
    /// Compresses answers for clients that can read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<At<CompressConfig>>,
    /// Changes the path and the query that the service sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<At<RewriteConfig>>,
    /// Whether calls of gRPC-Web, which browsers speak, are translated to gRPC for the service, and its
    /// answers back. Other requests pass as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_web: Option<At<bool>>,
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T = String>(pub Vec<At<T>>);

impl<T: Clone> OneOrMany<T> {
    /// The texts with their places; one that stands alone is at the place of the whole.
    pub(crate) fn placed(whole: &At<Self>) -> impl Iterator<Item = At<T>> {
        let alone = whole.0.len() == 1;
        whole.0.iter().map(move |text| match alone && text.place() == config::Place::NONE {
            true => At::new((**text).clone(), whole.place()),
            false => text.clone(),
        })
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Texts<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
                let text = T::deserialize(text.into_deserializer())?;
                Ok(OneOrMany(vec![At::from(text)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                if texts.is_empty() {
                    return Err(de::Error::custom("the array is empty: leave the key out instead"));
                }
                Ok(OneOrMany(texts))
            }
        }

        from.deserialize_any(Texts(PhantomData))
    }
}

impl<T> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}

/// What is wanted of a header field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That it is there.
    Present,
    /// That it has this value.
    Exactly(String),
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present => to.serialize_bool(true),
            Self::Exactly(value) => to.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or a string")
            }

            fn visit_bool<E: de::Error>(self, present: bool) -> Result<Wanted, E> {
                if present {
                    return Ok(Wanted::Present);
                }
                Err(E::custom(
                    "`false` is not built: a route without the condition gets what this one leaves",
                ))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Wanted, E> {
                Ok(Wanted::Exactly(value.to_owned()))
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": true }, { "type": "string" }] })
    }
}
