//! A copy of what a service is sent, for another one.

use config::{At, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RouteConfig;
use crate::template::Scope;

/// Sends copies of requests to another service, off the path of their clients: to try a new version with
/// the requests of today. Its answers are thrown away, and its failures reach nobody.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MirrorConfig {
    /// The service that gets the copies.
    pub to: At<String>,
    /// Which share of the requests is copied; all if left out.
    #[serde(default = "all")]
    pub share: At<Share>,
}

fn all() -> At<Share> {
    At::from(Share::ALL)
}

/// Who gets copies, and of how much.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) to: At<String>,
    pub(crate) share: Share,
}

impl Mirror {
    /// Reads what `config` says, or reports what is wrong with it.
    pub(super) fn build(config: &RouteConfig, scope: &mut Scope<'_>) -> Option<Self> {
        let mirror = config.mirror.as_ref()?;
        if config.service.is_none() && config.split.is_none() {
            scope
                .report
                .error(mirror, "only requests to services are mirrored")
                .help("remove `mirror`, or lead the route to a service");
            return None;
        }
        if config.service.as_ref().is_some_and(|service| **service == *mirror.to) {
            let message = format!("`{}` gets the requests already", *mirror.to);
            scope
                .report
                .error(&mirror.to, message)
                .help("mirror them to another service, such as its next version");
            return None;
        }
        Some(Self { to: mirror.to.clone(), share: *mirror.share })
    }
}
