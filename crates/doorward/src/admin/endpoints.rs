//! `/api/services/NAME/endpoints`: where a service is, as operators say.

use rules::Reply;
use rules::service::{Endpoint, Rank};
use serde::Deserialize;
use wire::Method;

use super::{json_reply, not_allowed, problem};
use crate::control::endpoints::{Telling, Vain};
use crate::control::run::ControlHandle;

/// What an operator wants an endpoint to get.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    tier: u32,
    zone: Option<String>,
}

fn one() -> u32 {
    1
}

/// What stands in the body of a request, if anything.
fn read_rank(content: &[u8]) -> Result<Option<Rank>, String> {
    if content.is_empty() {
        return Ok(None);
    }
    let wanted: Wanted = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    Rank::new(wanted.weight, wanted.tier, wanted.zone.as_deref()).map(Some)
}

/// Does what an operator wants of `NAME/endpoints` or `NAME/endpoints/HOST:PORT`.
pub(super) async fn tell(
    control: &ControlHandle,
    method: Method,
    path: &str,
    content: &[u8],
) -> Reply {
    let nothing = || json_reply(404, &problem(404, "There is nothing here; GET / lists what is"));
    let Some((service, rest)) = path.split_once("/endpoints") else { return nothing() };
    let endpoint = match rest.strip_prefix('/') {
        Some(text) => match Endpoint::read(text) {
            Ok(Endpoint::File(_)) => {
                return json_reply(400, &problem(400, "Files stand in the configuration"));
            }
            Ok(endpoint) => Some(endpoint),
            Err(advice) => return json_reply(400, &problem(400, &advice)),
        },
        None if rest.is_empty() => None,
        None => return nothing(),
    };
    let telling = match (method, endpoint) {
        (Method::Get | Method::Head, None) => Telling::Nothing,
        (_, None) => return not_allowed("GET, HEAD"),
        (Method::Put, Some(endpoint)) => match read_rank(content) {
            Ok(rank) => Telling::Use(endpoint, rank),
            Err(advice) => return json_reply(400, &problem(400, &advice)),
        },
        (Method::Delete, Some(endpoint)) => Telling::Leave(endpoint),
        (_, Some(_)) => return not_allowed("PUT, DELETE"),
    };
    let (status, title) = match control.tell(service, telling).await {
        Some(Ok(standing)) => return json_reply(200, &standing),
        Some(Err(Vain::NoService)) => (404, "There is no such service"),
        Some(Err(Vain::NoEndpoint)) => (404, "The service has no such endpoint"),
        Some(Err(Vain::Started)) => (409, "Doorward starts the instances of this service"),
        Some(Err(Vain::TooMany)) => (409, "As many endpoints were added as may be"),
        None => (503, "The process is ending"),
    };
    json_reply(status, &problem(status, title))
}
