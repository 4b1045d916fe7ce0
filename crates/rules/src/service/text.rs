//! What a `[service.NAME]` says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use config::{At, Period};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::balance::BalanceConfig;
use super::breaker::BreakerConfig;
use super::eject::EjectConfig;
use super::endpoint::EndpointConfig;
use super::health::HealthConfig;
use super::limits::LimitsConfig;
use super::overload::OverloadConfig;
use super::retry::RetryConfig;
use super::scale::ScaleConfig;
use super::sticky::StickyConfig;
use super::tls::TlsConfig;

/// A service: what is called, as a whole. It has either `endpoints` or `run`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceConfig {
    /// Where it runs already: `"127.0.0.1:7001"`, `"[::1]:7001"`, `"name:7001"`,
    /// `"unix:/run/name.sock"`; `"srv:_http._tcp.name"` for the hosts and ports in the `SRV` records of
    /// a name; `"file:endpoints.txt"` for those in a file, one on a line, which is watched.
    /// `"https://name:7001"` is `"name:7001"` with `tls = true`. A table says how much it gets, too:
    /// `{ address = "127.0.0.1:7001", weight = 3 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<At<Vec<At<EndpointConfig>>>>,
    /// The command that starts it. It must listen on `127.0.0.1:{port}`, whatever `{port}` is; the
    /// variable `PORT` has it too. Words are split as in a shell, and no shell runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<At<String>>,
    /// A command to run once before `run`, such as a compiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<At<String>>,
    /// How many instances of `run` there are: a number, or `{ min, max }` for as many as are needed. 1
    /// if left out. With `min = 0` there is none while nobody asks, and the first requests wait for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<At<Instances>>,
    /// How many instances are needed, if there are `{ min, max }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<At<ScaleConfig>>,
    /// Variables for `run` and `build`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<At<BTreeMap<At<String>, At<String>>>>,
    /// Where `run` and `build` run, relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<At<String>>,
    /// How long an instance may take to end by itself; `"10s"` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<At<Period>>,

    /// How to find out whether an endpoint is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<At<HealthConfig>>,
    /// How requests are shared out among the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<At<BalanceConfig>>,
    /// Sessions that stay at one endpoint, by a signed cookie: `{}` for as it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<At<StickyConfig>>,
    /// When an endpoint that does worse than the others gets no requests for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eject: Option<At<EjectConfig>>,
    /// When requests are sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<At<RetryConfig>>,
    /// Keeps it from being asked for more than it can do: `{}` finds out how much that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overload: Option<At<OverloadConfig>>,
    /// What it is asked for at most, however well it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<At<LimitsConfig>>,
    /// When it is left alone because most requests fail or take too long, and what clients get then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<At<BreakerConfig>>,
    /// What it speaks.
    #[serde(default)]
    pub protocol: At<Protocol>,
    /// Whether and how it is called by TLS: `true`, or a table for more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<At<TlsConfig>>,
    /// What stands in `Host`: `"preserve"` what the client sent, `"endpoint"` the endpoint's name
    /// and port, or any other text: that text.
    #[serde(default = "preserve")]
    pub host: At<String>,

    /// How long connecting may take, name resolution included.
    #[serde(default = "connect")]
    pub connect: At<Period>,
    /// How long the service may take no bytes of the request.
    #[serde(default = "send")]
    pub send: At<Period>,
    /// How long the service may take to begin its answer.
    #[serde(default = "minute")]
    pub first_byte: At<Period>,
    /// How long the service may pause within its answer.
    #[serde(default = "minute")]
    pub between_bytes: At<Period>,
    /// How long a request may take in all, from its head to the last byte of the answer, retries
    /// included. No limit if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<At<Period>>,
    /// The header in which clients say how long they wait, such as `"Request-Timeout"`: seconds, or a
    /// number with `s` or `ms`. The service is told in the same header how long there is still time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<At<String>>,
    /// How long an idle connection is kept.
    #[serde(default = "minute")]
    pub idle: At<Period>,
    /// How many idle connections are kept per worker and endpoint.
    #[serde(default = "idle_connections")]
    pub idle_connections: At<u32>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            endpoints: None,
            run: None,
            build: None,
            instances: None,
            scale: None,
            environment: None,
            directory: None,
            stop_grace: None,
            health: None,
            balance: None,
            sticky: None,
            eject: None,
            retry: None,
            overload: None,
            limits: None,
            breaker: None,
            protocol: At::default(),
            tls: None,
            host: preserve(),
            connect: connect(),
            send: send(),
            first_byte: minute(),
            between_bytes: minute(),
            total: None,
            deadline: None,
            idle: minute(),
            idle_connections: idle_connections(),
        }
    }
}

fn preserve() -> At<String> {
    At::from("preserve".to_owned())
}

fn connect() -> At<Period> {
    At::from(Period::from_secs(2))
}

fn send() -> At<Period> {
    At::from(Period::from_secs(30))
}

fn minute() -> At<Period> {
    At::from(Period::from_secs(60))
}

fn idle_connections() -> At<u32> {
    At::from(1024)
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2, many requests at once on each connection.
    H2,
}

/// How many instances there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// At least so many.
    pub min: u32,
    /// At most so many.
    pub max: u32,
}

impl Serialize for Instances {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if self.min == self.max {
            return to.serialize_u32(self.min);
        }
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("min", &self.min)?;
        map.serialize_entry("max", &self.max)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        /// The long form.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct Bounds {
            min: u32,
            max: u32,
        }

        impl<'de> Visitor<'de> for Either {
            type Value = Instances;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or { min, max }")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Instances, E> {
                match u32::try_from(number) {
                    Ok(number) => Ok(Instances { min: number, max: number }),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Instances, E> {
                match u32::try_from(number) {
                    Ok(number) => Ok(Instances { min: number, max: number }),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instances, A::Error> {
                let Bounds { min, max } =
                    Bounds::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Instances { min, max })
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for Instances {
    fn schema_name() -> Cow<'static, str> {
        "Instances".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                {
                    "type": "object",
                    "properties": {
                        "min": { "type": "integer", "minimum": 0 },
                        "max": { "type": "integer", "minimum": 1 },
                    },
                    "required": ["min", "max"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
