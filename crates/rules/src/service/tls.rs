//! TLS towards a service: what its text says, and what is meant.

use std::borrow::Cow;
use std::fmt;

use config::{At, Report};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::hello::is_host_name;

use super::{EndpointConfig, ServiceConfig};
use crate::grpc::Base64Decoder;

/// Whether and how a service is called by TLS: `true`, `false`, or a table, which means yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// By plain TCP.
    No,
    /// By TLS.
    Yes(Box<TlsTable>),
}

/// TLS towards a service. Its certificate is checked against the authorities that this system trusts,
/// and for the name of the endpoint, unless something else is said here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsTable {
    /// The file of the authorities that are trusted instead of those of this system, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<At<String>>,
    /// The name that is asked for (SNI) and that the certificate must be for, instead of the
    /// endpoint's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<At<String>>,
    /// The certificate that is shown to the service: `{ cert = "us.pem", key = "us.key" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<At<TlsCertificate>>,
    /// The public keys of which the service must have one: the SHA-256 of each
    /// `SubjectPublicKeyInfo`, in base64, as in RFC 7469.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pins: Option<At<Vec<At<String>>>>,
    /// Whether the certificate is checked against authorities and for its name. Without, and without
    /// `pins`, whoever is between can read and change everything.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub verify: At<bool>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsCertificate {
    /// The file of the certificate and its chain, in PEM.
    pub cert: At<String>,
    /// The file of its private key, in PEM.
    pub key: At<String>,
}

fn yes() -> At<bool> {
    At::from(true)
}

fn is_yes(verify: &At<bool>) -> bool {
    **verify
}

/// How a service is called by TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The file of the authorities that are trusted; those of the system if there is none.
    pub roots: Option<Box<str>>,
    /// The name that is asked for instead of the endpoint's.
    pub server_name: Option<Box<str>>,
    /// The files of the certificate that is shown, and of its key.
    pub certificate: Option<(Box<str>, Box<str>)>,
    /// The SHA-256 of the public keys of which the service must have one; any will do if there is none.
    pub pins: Box<[[u8; 32]]>,
    /// Whether the certificate is checked.
    pub verify: bool,
}

impl Tls {
    /// Reads what `table` says, or reports what is wrong with it.
    fn build(at: &At<TlsConfig>, report: &mut Report) -> Option<Self> {
        let TlsConfig::Yes(table) = &**at else { return None };
        let mut whole = true;
        if let Some(name) = &table.server_name {
            whole &= check_name(name, report);
        }
        let mut pins = Vec::new();
        for text in table.pins.iter().flat_map(|pins| pins.iter()) {
            match read_pin(text) {
                Ok(pin) => pins.push(pin),
                Err(help) => {
                    report.error(text, format!("`{}` is not a pin", **text)).help(help);
                    whole = false;
                }
            }
        }
        if let Some(none) = table.pins.as_ref().filter(|pins| pins.is_empty()) {
            report.error(none, "`pins = []` lets no service in").help("name a key, or remove it");
            whole = false;
        }
        if !*table.verify {
            if let Some(roots) = &table.roots {
                report
                    .error(roots, "`roots` means nothing beside `verify = false`")
                    .help("remove one of them");
                whole = false;
            }
            if table.pins.is_none() {
                report
                    .warning(
                        &table.verify,
                        "nobody checks who answers: anyone between can read and change all",
                    )
                    .help("name the service's authority in `roots`, or its key in `pins`");
            }
        }
        let file = |text: &At<String>| text.as_str().into();
        whole.then(|| Self {
            roots: table.roots.as_ref().map(file),
            server_name: table.server_name.as_ref().map(|name| name.to_ascii_lowercase().into()),
            certificate: table.certificate.as_ref().map(|pair| (file(&pair.cert), file(&pair.key))),
            pins: pins.into(),
            verify: *table.verify,
        })
    }

    /// With nothing said but that it is TLS.
    fn plain() -> Self {
        Self {
            roots: None,
            server_name: None,
            certificate: None,
            pins: Box::default(),
            verify: true,
        }
    }
}

/// Whether an endpoint is written as one of TLS.
fn is_https(text: &str) -> bool {
    text.starts_with("https://")
}

/// `host:port` of `https://host:port`; the port may be left out there.
pub(super) fn without_scheme(text: &str) -> Cow<'_, str> {
    let Some(rest) = text.strip_prefix("https://").map(|rest| rest.trim_end_matches('/')) else {
        return text.into();
    };
    let host = rest.rsplit_once(']').map_or(rest, |(_, port)| port);
    if rest.is_empty() || host.contains(':') { rest.into() } else { format!("{rest}:443").into() }
}

/// The text was wrong, and that is reported.
pub(super) struct Wrong;

/// How the service is called by TLS, if it is.
///
/// # Errors
/// What it says cannot be meant; it is reported.
pub(super) fn read(config: &ServiceConfig, report: &mut Report) -> Result<Option<Tls>, Wrong> {
    let endpoints = config.endpoints.iter().flat_map(|list| list.iter());
    let endpoints = endpoints.map(|one| At::new(one.address(), EndpointConfig::place(one)));
    let (https, others): (Vec<_>, Vec<_>) = endpoints.partition(|text| is_https(text));
    if let (Some(one), Some(other)) = (https.first(), others.first()) {
        report
            .error(one, "some endpoints are called by TLS and some are not")
            .other(other, "one that is not is at")
            .help("make two services of them: what is sent would be safe by chance");
        return Err(Wrong);
    }
    let Some(written) = &config.tls else {
        return Ok((!https.is_empty()).then(Tls::plain));
    };
    if let (TlsConfig::No, Some(one)) = (&**written, https.first()) {
        report
            .error(written, "`tls = false`, and the endpoints are called by TLS")
            .other(one, "such an endpoint is at")
            .help("remove it, or write only host and port there");
        return Err(Wrong);
    }
    let tls = Tls::build(written, report);
    if **written != TlsConfig::No && tls.is_none() {
        return Err(Wrong);
    }
    if tls.as_ref().is_some_and(|tls| tls.verify && tls.server_name.is_none()) {
        let begins = |start| others.iter().find(move |text| text.starts_with(start));
        // RFC 6125, 6.2.1: whoever answers for DNS could name a host of its own.
        let why = [
            ("unix:", "a path has no name for which a certificate could be"),
            (
                "srv:",
                "the names in `SRV` records are not proven, so no certificate can be for them",
            ),
        ];
        for (start, why) in why {
            if let Some(one) = begins(start) {
                report.error(one, why).help("give `tls = { server-name = \"name.example\" }`");
                return Err(Wrong);
            }
        }
    }
    Ok(tls)
}

fn check_name(name: &At<String>, report: &mut Report) -> bool {
    if name.parse::<std::net::IpAddr>().is_ok() || is_host_name(name) {
        return true;
    }
    report
        .error(name, format!("`{}` is not a name that a certificate can be for", **name))
        .help("write a host name, such as \"api.example.com\", without a port");
    false
}

/// Reads a pin; the error is advice.
fn read_pin(text: &str) -> Result<[u8; 32], &'static str> {
    let mut bytes = Vec::new();
    let mut decoder = Base64Decoder::default();
    let read = decoder.decode(text.as_bytes(), &mut bytes).and_then(|()| decoder.end());
    match bytes.try_into() {
        Ok(pin) if read.is_ok() => Ok(pin),
        _ if text.starts_with("sha256") || text.starts_with("pin-sha256") => {
            Err("write the base64 alone")
        }
        _ => {
            Err("write the SHA-256 of the public key (SubjectPublicKeyInfo) in base64: 44 letters")
        }
    }
}

impl Serialize for TlsConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Yes(table) if **table == TlsTable::default() => to.serialize_bool(true),
            Self::Yes(table) => table.serialize(to),
        }
    }
}

impl Default for TlsTable {
    fn default() -> Self {
        Self { roots: None, server_name: None, certificate: None, pins: None, verify: yes() }
    }
}

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct BoolOrTable;

        impl<'de> Visitor<'de> for BoolOrTable {
            type Value = TlsConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table such as { roots = \"ca.pem\" }")
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<TlsConfig, E> {
                Ok(match yes {
                    true => TlsConfig::Yes(TlsTable::default().into()),
                    false => TlsConfig::No,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsConfig, A::Error> {
                let table = TlsTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TlsConfig::Yes(table.into()))
            }
        }

        from.deserialize_any(BoolOrTable)
    }
}

impl JsonSchema for TlsConfig {
    fn schema_name() -> Cow<'static, str> {
        "TlsConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<TlsTable>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, table] })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::harness::compile;

    #[test]
    fn a_service_by_tls() {
        let tls = |keys: &str| {
            let config = format!("[[route]]\npath = '/'\nservice = 'a'\n[service.a]\n{keys}\n");
            let (report, rules) = compile(&config);
            let said = report.to_string();
            let tls = rules.map(|rules| format!("{:?}\n", rules.services()[0].tls));
            said + &tls.unwrap_or_default()
        };
        let pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
        let mut text = String::new();
        for keys in [
            "endpoints = ['https://a:8443', 'https://b', 'https://[::1]/']",
            "endpoints = ['a:1']\ntls = true",
            "endpoints = ['a:1']\ntls = false",
            "endpoints = ['unix:/a']\ntls = { server-name = 'A.example', roots = 'ca.pem' }",
            &format!("run = 'x {{port}}'\ntls = {{ verify = false, pins = ['{pin}'] }}"),
            "endpoints = ['a:1']\ntls = { certificate = { cert = 'c', key = 'k' } }",
            "endpoints = ['a:1']\ntls = { verify = false }",
        ] {
            text += &format!("{keys}\n{}\n", tls(keys));
        }
        expect![[r#"
            endpoints = ['https://a:8443', 'https://b', 'https://[::1]/']
            Some(Tls { roots: None, server_name: None, certificate: None, pins: [], verify: true })

            endpoints = ['a:1']
            tls = true
            Some(Tls { roots: None, server_name: None, certificate: None, pins: [], verify: true })

            endpoints = ['a:1']
            tls = false
            None

            endpoints = ['unix:/a']
            tls = { server-name = 'A.example', roots = 'ca.pem' }
            Some(Tls { roots: Some("ca.pem"), server_name: Some("a.example"), certificate: None, pins: [], verify: true })

            run = 'x {port}'
            tls = { verify = false, pins = ['AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE='] }
            Some(Tls { roots: None, server_name: None, certificate: None, pins: [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]], verify: false })

            endpoints = ['a:1']
            tls = { certificate = { cert = 'c', key = 'k' } }
            Some(Tls { roots: None, server_name: None, certificate: Some(("c", "k")), pins: [], verify: true })

            endpoints = ['a:1']
            tls = { verify = false }
            doorward.toml:6:18: warning: nobody checks who answers: anyone between can read and change all
               6 | tls = { verify = false }
                 |                  ^^^^^ name the service's authority in `roots`, or its key in `pins`
            Some(Tls { roots: None, server_name: None, certificate: None, pins: [], verify: false })

        "#]].assert_eq(&text);
        let mut text = String::new();
        for keys in [
            "endpoints = ['https://a', 'b:1']",
            "endpoints = ['https://a/x']",
            "endpoints = ['https://a']\ntls = false",
            "endpoints = ['unix:/a']\ntls = true",
            "endpoints = ['srv:_x._tcp.a']\ntls = true",
            "endpoints = ['a:1']\ntls = 'yes'",
            "endpoints = ['a:1']\ntls = { server-name = 'a:1' }",
            "endpoints = ['a:1']\ntls = { pins = [] }",
            "endpoints = ['a:1']\ntls = { pins = ['sha256//AAAA', 'AAAA', 'x'] }",
            "endpoints = ['a:1']\ntls = { verify = false, roots = 'a' }",
            "endpoints = ['a:1']\ntls = { certificate = { cert = 'c' } }",
            "endpoints = ['a:1']\ntls = { cert = 'c' }",
        ] {
            text += &format!("{}\n", tls(keys));
        }
        expect![[r#"
            doorward.toml:5:14: some endpoints are called by TLS and some are not
               5 | endpoints = ['https://a', 'b:1']
                 |              ^^^^^^^^^^^ make two services of them: what is sent would be safe by chance
                 = one that is not is at doorward.toml:5:27

            doorward.toml:5:14: `https://a/x` is not an endpoint
               5 | endpoints = ['https://a/x']
                 |              ^^^^^^^^^^^^^ `a/x` is not a host name

            doorward.toml:6:7: `tls = false`, and the endpoints are called by TLS
               6 | tls = false
                 |       ^^^^^ remove it, or write only host and port there
                 = such an endpoint is at doorward.toml:5:14

            doorward.toml:5:14: a path has no name for which a certificate could be
               5 | endpoints = ['unix:/a']
                 |              ^^^^^^^^^ give `tls = { server-name = "name.example" }`

            doorward.toml:5:14: the names in `SRV` records are not proven, so no certificate can be for them
               5 | endpoints = ['srv:_x._tcp.a']
                 |              ^^^^^^^^^^^^^^^ give `tls = { server-name = "name.example" }`

            doorward.toml:6:7: expected true, false or a table such as { roots = "ca.pem" }, found the string "yes"
               6 | tls = 'yes'
                 |       ^^^^^

            doorward.toml:6:23: `a:1` is not a name that a certificate can be for
               6 | tls = { server-name = 'a:1' }
                 |                       ^^^^^ write a host name, such as "api.example.com", without a port

            doorward.toml:6:16: `pins = []` lets no service in
               6 | tls = { pins = [] }
                 |                ^^ name a key, or remove it

            doorward.toml:6:17: `sha256//AAAA` is not a pin
               6 | tls = { pins = ['sha256//AAAA', 'AAAA', 'x'] }
                 |                 ^^^^^^^^^^^^^^ write the base64 alone
            doorward.toml:6:33: `AAAA` is not a pin
               6 | tls = { pins = ['sha256//AAAA', 'AAAA', 'x'] }
                 |                                 ^^^^^^ write the SHA-256 of the public key (SubjectPublicKeyInfo) in base64: 44 letters
            doorward.toml:6:41: `x` is not a pin
               6 | tls = { pins = ['sha256//AAAA', 'AAAA', 'x'] }
                 |                                         ^^^ write the SHA-256 of the public key (SubjectPublicKeyInfo) in base64: 44 letters

            doorward.toml:6:18: warning: nobody checks who answers: anyone between can read and change all
               6 | tls = { verify = false, roots = 'a' }
                 |                  ^^^^^ name the service's authority in `roots`, or its key in `pins`
            doorward.toml:6:33: `roots` means nothing beside `verify = false`
               6 | tls = { verify = false, roots = 'a' }
                 |                                 ^^^ remove one of them

            doorward.toml:6:23: `key` is missing
               6 | tls = { certificate = { cert = 'c' } }
                 |                       ^^^^^^^^^^^^^^

            doorward.toml:6:9: there is no key `cert` here
               6 | tls = { cert = 'c' }
                 |         ^^^^ known: roots, server-name, certificate, pins, verify

        "#]].assert_eq(&text);
    }
}
