//! `[dns]`: whom to ask for the addresses of names.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use config::At;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Whom to ask for the addresses of names.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Dns {
    /// The name servers: `["10.0.0.2", "127.0.0.1:5353"]`. Those of `/etc/resolv.conf` if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers: Vec<At<Server>>,
}

/// A name server: an address, with a port if it is not 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server(pub(crate) SocketAddr);

/// Where name servers are asked.
const PORT: u16 = 53;

impl Serialize for Server {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let with_port = text.parse::<SocketAddr>();
        let address = with_port.or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, PORT).into()));
        address
            .map(Self)
            .map_err(|_| de::Error::custom(format!("`{text}` is not the address of a name server")))
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "Server".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
