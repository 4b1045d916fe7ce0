//! Where clients connect.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use super::tls::ClientCertificate;
use config::{At, Network, Report};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where clients connect.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// Addresses for plain HTTP: one, or an array. Port 0 takes any free port.
    pub(crate) http: At<Listeners>,
    /// Addresses for HTTPS, in the same forms: HTTP/1.1 and HTTP/2 behind TLS, and
    /// HTTP/3 on the UDP ports of the same numbers. Certificates are in
    /// `[tls]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<At<Listeners>>,
}

impl Default for Listen {
    fn default() -> Self {
        let address = Address(SocketAddr::from(([127, 0, 0, 1], 8080)));
        Self { http: Listeners(vec![Listener::plain(address).into()]).into(), https: None }
    }
}

/// An IP address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

/// One address that clients connect to: a string, or a table for more than the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: Address,
    /// Set if connections begin with a PROXY header: the peers that may connect.
    pub(crate) proxy_protocol: Option<At<Vec<Network>>>,
    /// Whether HTTP/3 is spoken there too, if that is said.
    pub(crate) http3: Option<At<bool>>,
    /// Set if clients are asked for a certificate.
    pub(crate) client_certificate: Option<At<ClientCertificate>>,
}

/// One listener or an array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listeners(pub(crate) Vec<At<Listener>>);

/// A listener that speaks more than plain HTTP.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ListenerTable {
    /// The IP address and port.
    address: Address,
    /// Each connection begins with a header of the PROXY protocol, version 1 or 2, that names the
    /// client. Only these peers may connect, since whoever does can name any client: ranges of
    /// addresses, `["10.0.0.0/8"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_protocol: Option<At<Vec<Network>>>,
    /// Whether a listener for HTTPS speaks HTTP/3 too, on the UDP port of the same number, and says so
    /// in `Alt-Svc`: `true` if left out, but behind the PROXY protocol, which UDP has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    http3: Option<At<bool>>,
    /// Clients are asked for a certificate; only for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<At<ClientCertificate>>,
}

impl Listen {
    /// The listeners that ask clients for certificates, and for which.
    pub(crate) fn asking(&self) -> impl Iterator<Item = (SocketAddr, &At<ClientCertificate>)> {
        let https = self.https.iter().flat_map(|https| &https.0);
        https.filter_map(|listener| {
            Some((listener.address.0, listener.client_certificate.as_ref()?))
        })
    }

    /// All listeners, those for plain HTTP first.
    pub(super) fn all(&self) -> impl Iterator<Item = &At<Listener>> {
        self.http.0.iter().chain(self.https.iter().flat_map(|https| &https.0))
    }

    pub(super) fn check(&self, report: &mut Report) {
        for listener in self.all() {
            check_peers(listener, report);
        }
        for listener in &self.http.0 {
            check_no_http3(listener, report);
            check_no_certificate(listener, report);
        }
        for listener in self.https.iter().flat_map(|https| &https.0) {
            let wanted = listener.http3.as_ref().filter(|http3| ***http3);
            if let (Some(http3), Some(peers)) = (wanted, &listener.proxy_protocol) {
                report
                    .error(http3, "there is no HTTP/3 behind the PROXY protocol")
                    .other(peers, "which is asked for at")
                    .help("leave it out, or listen for HTTP/3 on another port");
            }
        }
    }

    pub(super) fn check_together(&self, report: &mut Report) {
        for (address, asked) in self.asking() {
            // Both would be known by the same name.
            let https = self.https.iter().flat_map(|https| &https.0);
            if https.filter(|other| other.address.0 == address).count() > 1 {
                report
                    .error(asked, format!("another listener of `https` is `{address}` too"))
                    .help("give the one that asks for certificates a port of its own");
            }
        }
        for (at, listener) in self.all().enumerate() {
            let same = |other: &&At<Listener>| other.address.clashes(listener.address);
            if let Some(first) = self.all().take(at).find(same) {
                report
                    .error(listener, format!("`{}` is listened on twice", listener.address))
                    .other(first, "the first one is at");
            }
        }
    }
}

/// Reports a listener without TLS that is to speak HTTP/3.
pub(super) fn check_no_http3(listener: &Listener, report: &mut Report) {
    if let Some(http3) = &listener.http3 {
        report
            .error(http3, "there is no HTTP/3 without TLS")
            .help("write it at a listener of `https`, or leave it out");
    }
}

/// Reports a listener without TLS that asks for a certificate.
pub(super) fn check_no_certificate(listener: &Listener, report: &mut Report) {
    if let Some(asked) = &listener.client_certificate {
        report
            .error(asked, "clients show certificates by TLS alone")
            .help("make it a listener of `https`");
    }
}

/// Reports a listener that nobody may connect to.
pub(super) fn check_peers(listener: &Listener, report: &mut Report) {
    if let Some(peers) = listener.proxy_protocol.as_ref().filter(|peers| peers.is_empty()) {
        report
            .error(peers, "`proxy-protocol = []` lets nobody connect")
            .help("name the peers that may, or remove it");
    }
}

impl Address {
    /// Whether two listeners cannot have both.
    pub(super) fn clashes(self, other: Self) -> bool {
        self == other && self.0.port() != 0
    }
}

impl Listener {
    fn plain(address: Address) -> Self {
        Self { address, proxy_protocol: None, http3: None, client_certificate: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
            let host = match text.rsplit_once(':').map_or("", |(host, _)| host) {
                "localhost" => "127.0.0.1",
                "" | "*" => "0.0.0.0",
                _ => "127.0.0.1",
            };
            let example = format!("{host}:{}", port.unwrap_or(8080));
            format!("`{text}` is not an IP address and a port, e.g. \"{example}\"")
        })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Cow<'de, str> = Cow::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^.+:\d+$",
            "description": "An IP address and a port.",
            "examples": ["127.0.0.1:8080", "[::1]:8080"],
        })
    }
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { address, proxy_protocol, http3, client_certificate } = self.clone();
        if proxy_protocol.is_none() && http3.is_none() && client_certificate.is_none() {
            return address.serialize(serializer);
        }
        ListenerTable { address, proxy_protocol, http3, client_certificate }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrTable;

        impl<'de> Visitor<'de> for StringOrTable {
            type Value = Listener;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:8080\", or a table with `address`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listener, E> {
                text.parse().map(Listener::plain).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listener, A::Error> {
                let ListenerTable { address, proxy_protocol, http3, client_certificate } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Listener { address, proxy_protocol, http3, client_certificate })
            }
        }

        deserializer.deserialize_any(StringOrTable)
    }
}

impl JsonSchema for Listener {
    fn schema_name() -> Cow<'static, str> {
        "Listener".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<Address>();
        let table = generator.subschema_for::<ListenerTable>();
        json_schema!({ "anyOf": [address, table] })
    }
}

impl Serialize for Listeners {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Vec<At<Listener>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:8080\", or an array of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let address = text.parse().map_err(E::custom)?;
                Ok(vec![Listener::plain(address).into()])
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let listener = Listener::deserialize(MapAccessDeserializer::new(map))?;
                Ok(vec![listener.into()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut listeners = Vec::new();
                while let Some(listener) = seq.next_element()? {
                    listeners.push(listener);
                }
                Ok(listeners)
            }
        }

        deserializer.deserialize_any(OneOrSeveral).map(Self)
    }
}

impl JsonSchema for Listeners {
    fn schema_name() -> Cow<'static, str> {
        "Listeners".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Listener>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}
