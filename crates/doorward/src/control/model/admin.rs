//! The side for operators.

use std::net::SocketAddr;

use config::{At, Report, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen::{Address, Listen};

/// The side for operators: API, dashboard, metrics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// The address for operators. One that other machines can reach needs a `token`.
    pub(crate) listen: At<Address>,
    /// What operators must present, as `Authorization: Bearer`: at least 16 characters, best from the
    /// environment: `"${DOORWARD_TOKEN}"`. Default: one is made at start and kept in a file that only
    /// the same user can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<At<Secret>>,
}

impl Default for Admin {
    fn default() -> Self {
        let listen = Address(SocketAddr::from(([127, 0, 0, 1], 9900))).into();
        Self { listen, token: None }
    }
}

/// Shorter tokens can be guessed.
const TOKEN_CHARS_MIN: usize = 16;

impl Admin {
    pub(super) fn check(&self, report: &mut Report) {
        if let Some(token) = &self.token
            && token.reveal().chars().count() < TOKEN_CHARS_MIN
        {
            report
                .error(token, "this token is too short to be safe")
                .help(format!("write at least {TOKEN_CHARS_MIN} characters"));
        }
    }

    pub(super) fn check_together(&self, listen: &Listen, report: &mut Report) {
        if listen.all().any(|other| other.address.clashes(*self.listen)) {
            // One of the two may be a default, which stands nowhere.
            let place = self.listen.place();
            report
                .error(
                    if place.is_none() { listen.http.place() } else { place },
                    format!("`{}` is for clients and for operators", *self.listen),
                )
                .help("give `[admin] listen` an address of its own");
        }
        if self.token.is_none() && !self.listen.0.ip().is_loopback() {
            report
                .error(
                    &self.listen,
                    "other machines can reach this address, and there is no `token`",
                )
                .help("add `token = \"${DOORWARD_TOKEN}\"`, or listen on 127.0.0.1");
        }
    }
}
