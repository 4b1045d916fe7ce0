//! Where a service is, and how much each place gets: what the text says of endpoints.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use config::{At, Place, Report};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Endpoint, Rank, Ranked, tls};

/// An endpoint: an address, or a table that says more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointConfig {
    /// `"127.0.0.1:7001"`
    Address(String),
    /// `{ address = "127.0.0.1:7001", weight = 3 }`
    Table(Box<EndpointTable>),
}

/// An endpoint, and how much it gets beside the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndpointTable {
    /// Where it is, in any of the ways in which an endpoint is written.
    pub address: At<String>,
    /// How much it gets in proportion to the others, from 1 to 65535.
    #[serde(default = "one")]
    pub weight: At<u32>,
    /// Those of tier 0 are used as long as they can carry it all, then those of tier 1 as well, and so
    /// on, up to 7.
    #[serde(default)]
    pub tier: At<u32>,
    /// The zone that it is in. Those of our own, which `[runtime] zone` names, are used first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<At<String>>,
}

fn one() -> At<u32> {
    At::from(1)
}

impl EndpointConfig {
    /// What is written as its address.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Address(text) => text,
            Self::Table(table) => &table.address,
        }
    }

    /// Where that stands.
    pub(super) fn place(at: &At<Self>) -> Place {
        match &**at {
            Self::Address(_) => at.place(),
            Self::Table(table) => table.address.place(),
        }
    }
}

impl Serialize for EndpointConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Address(text) => to.serialize_str(text),
            Self::Table(table) => table.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for EndpointConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = EndpointConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address or a table such as { address = \"127.0.0.1:7001\", weight = 3 }",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EndpointConfig, E> {
                Ok(EndpointConfig::Address(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndpointConfig, A::Error> {
                let table = EndpointTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(EndpointConfig::Table(Box::new(table)))
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for EndpointConfig {
    fn schema_name() -> Cow<'static, str> {
        "EndpointConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<EndpointTable>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

/// As many as `SRV` records can say (RFC 2782).
const WEIGHTS: RangeInclusive<u32> = 1..=u16::MAX as u32;

/// Two are common; more than a few cannot be meant.
pub(super) const TIER_MAX: u8 = 7;

/// As long as the name of a service: both are shown beside each other.
const ZONE_BYTES_MAX: usize = 64;

/// Whether `name` can be a zone's.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= ZONE_BYTES_MAX && name.bytes().all(valid)
}

/// What is told to whoever wrote another one.
pub const ZONE_ADVICE: &str = "at most 64 letters, digits, `-`, `_` and `.`";

impl Rank {
    /// What `table` says, or reports what is wrong with it and returns `None`.
    fn build(table: &EndpointTable, report: &mut Report) -> Option<Self> {
        let EndpointTable { address: _, weight, tier, zone } = table;
        let mut whole = report.within("weight", weight, WEIGHTS);
        whole &= report.within("tier", tier, 0..=u32::from(TIER_MAX));
        if let Some(zone) = zone.as_ref().filter(|zone| !is_zone(zone)) {
            report.error(zone, format!("`{}` is not a name for a zone", **zone)).help(ZONE_ADVICE);
            whole = false;
        }
        whole.then(|| Self {
            weight: **weight,
            tier: **tier as u8,
            zone: zone.as_ref().map(|zone| zone.as_str().into()),
        })
    }

    /// One of this weight, in this tier and zone.
    ///
    /// # Errors
    /// Advice, if there is no such one.
    pub fn new(weight: u32, tier: u32, zone: Option<&str>) -> Result<Self, String> {
        if !WEIGHTS.contains(&weight) {
            return Err(format!("a weight is from {} to {}", WEIGHTS.start(), WEIGHTS.end()));
        }
        let tier = u8::try_from(tier).ok().filter(|tier| *tier <= TIER_MAX);
        let tier = tier.ok_or_else(|| format!("a tier is from 0 to {TIER_MAX}"))?;
        match zone {
            Some(name) if !is_zone(name) => Err(format!("`{name}` is no zone: {ZONE_ADVICE}")),
            zone => Ok(Self { weight, tier, zone: zone.map(Into::into) }),
        }
    }

    /// Reads the words behind an address: `weight=3 tier=1 zone=b`, in any order.
    fn read<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, String> {
        let (mut weight, mut tier, mut zone) = (1, 0, None);
        for word in words {
            let none = || format!("`{word}` is none of `weight=3`, `tier=1` and `zone=b`");
            let (key, value) = word.split_once('=').ok_or_else(none)?;
            match key {
                "weight" => weight = value.parse().map_err(|_| none())?,
                "tier" => tier = value.parse().map_err(|_| none())?,
                "zone" => zone = Some(value),
                _ => return Err(none()),
            }
        }
        Self::new(weight, tier, zone)
    }
}

pub(super) fn build(
    list: &At<Vec<At<EndpointConfig>>>,
    report: &mut Report,
) -> Option<Box<[Ranked]>> {
    if list.is_empty() {
        report
            .error(list, "a service without endpoints answers nothing")
            .help("name one: \"127.0.0.1:3000\"");
        return None;
    }
    let mut endpoints: Vec<Ranked> = Vec::new();
    let mut whole = true;
    for (index, written) in list.iter().enumerate() {
        let (text, place) = (written.address(), EndpointConfig::place(written));
        let rank = match &**written {
            EndpointConfig::Address(_) => Some(Rank::default()),
            EndpointConfig::Table(table) => Rank::build(table, report),
        };
        let endpoint = match Endpoint::read(&tls::without_scheme(text)) {
            Ok(endpoint) => endpoint,
            Err(help) => {
                report.error(place, format!("`{text}` is not an endpoint")).help(help);
                whole = false;
                continue;
            }
        };
        if let Some(at) = endpoints.iter().position(|known| known.endpoint == endpoint) {
            report
                .error(place, format!("the endpoint `{text}` is here twice"))
                .other(EndpointConfig::place(&list[at.min(index)]), "the first one is at")
                .help("it would get twice its share of requests: remove one");
            whole = false;
        }
        whole &= rank.is_some();
        endpoints.push(Ranked { endpoint, rank: rank.unwrap_or_default() });
    }
    whole.then(|| endpoints.into())
}

/// The longest name of a host (RFC 1035, 2.3.4, as text).
const HOST_BYTES_MAX: usize = 253;

/// The most endpoints in one file: a list that is longer is no list of endpoints.
pub(super) const LISTED_MAX: usize = 10_000;

impl Ranked {
    /// Reads the text of a file of endpoints: one on a line, empty lines and what follows `#` left
    /// out. Behind the address may stand `weight=3`, `tier=1` and `zone=b`.
    ///
    /// # Errors
    /// The number of the first line that is none, from 1, and advice.
    pub fn read_list(text: &str) -> Result<Box<[Self]>, (usize, String)> {
        let mut endpoints: Vec<Self> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |advice| (index + 1, advice);
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(address) = words.next() else { continue };
            let endpoint = Endpoint::read(address).map_err(wrong)?;
            let rank = Rank::read(words).map_err(wrong)?;
            if let Endpoint::File(_) = &endpoint {
                return Err(wrong("a file of endpoints cannot name another".to_owned()));
            }
            if endpoints.len() == LISTED_MAX {
                return Err(wrong(format!("at most {LISTED_MAX} endpoints")));
            }
            if endpoints.iter().all(|known| known.endpoint != endpoint) {
                endpoints.push(Self { endpoint, rank });
            }
        }
        Ok(endpoints.into())
    }
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// Advice, if it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if let Some(name) = text.strip_prefix("srv:") {
            let name = name.strip_suffix('.').unwrap_or(name);
            return match !name.is_empty() && name.len() <= HOST_BYTES_MAX && name.bytes().all(valid)
            {
                true => Ok(Self::Srv(name.to_ascii_lowercase().into())),
                false => Err(format!("`{name}` is not a name: \"srv:_http._tcp.example.com\"")),
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return match path.is_empty() {
                true => Err("its path is missing: \"file:endpoints.txt\"".to_owned()),
                false => Ok(Self::File(path.into())),
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("write the whole path: \"unix:/run/{path}\"")),
            };
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let address = rest.split('/').next().unwrap_or_default();
            let port = if scheme == "http" { 80 } else { 443 };
            let address = match address.contains(':') {
                true => address.to_owned(),
                false => format!("{address}:{port}"),
            };
            return Err(format!("write only host and port: \"{address}\""));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err("port 0 is no port to connect to".to_owned()),
                _ => Ok(Self::Address(address)),
            };
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(format!("write it in brackets, with a port: \"[{text}]:3000\""));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(match text.bytes().all(|byte| byte.is_ascii_digit()) {
                true => format!("write host and port: \"127.0.0.1:{text}\""),
                false => format!("its port is missing: \"{text}:3000\""),
            });
        };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{port}` is not a port: write 1 to 65535")),
        };
        if host.is_empty() {
            return Err(format!("its host is missing: \"127.0.0.1:{port}\""));
        }
        if !host.bytes().all(valid) || host.len() > HOST_BYTES_MAX {
            return Err(format!("`{host}` is not a host name"));
        }
        // What looks like an address and is none would be looked up, and fail there.
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("`{host}` is not an IP address"));
        }
        Ok(Self::Name { host: host.to_ascii_lowercase().into(), port })
    }
}

/// As it is written in the configuration.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Srv(name) => write!(f, "srv:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}
