//! Sessions that stay at one endpoint: what the text says.

use config::{At, Period, Report, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::balance::is_token;
use crate::balance::{SameSite, Sticky};
use crate::route::OneOrMany;

/// Sessions that stay at one endpoint by a signed cookie.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StickyConfig {
    /// The name of the cookie; `doorward-` and the name of the service if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<At<String>>,
    /// How long a session stays where it is when nothing comes from it. It is also the cookie's
    /// `Max-Age`.
    pub keep: At<Period>,
    /// The `Path` of the cookie.
    pub path: At<String>,
    /// The `SameSite` of the cookie. With `"none"` it is always `Secure`; otherwise when the client came
    /// by HTTPS.
    pub same_site: At<SameSite>,
    /// What cookies are signed with: at least 16 characters, best from the environment. The same on all
    /// nodes, or a session that meets another node starts anew. Of several, the first one signs and all are
    /// believed, so that keys can be replaced. If left out, each process makes one for itself, and sessions
    /// start anew with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<At<OneOrMany<Secret>>>,
}

impl Default for StickyConfig {
    fn default() -> Self {
        Self {
            cookie: None,
            keep: Period::from_secs(86_400).into(),
            path: At::from("/".to_owned()),
            same_site: At::default(),
            key: None,
        }
    }
}

/// Shorter keys can be guessed.
const KEY_CHARS_MIN: usize = 16;

/// One that signs, one that did, one that is to: a cookie that is none of ours is compared with each.
const KEYS_MAX: usize = 3;

/// Browsers keep no cookie for longer (RFC 6265bis, 5.5).
const KEEP_MAX: Period = Period::from_secs(400 * 86_400);

/// The inner `None` is that nothing sticks.
#[expect(clippy::option_option, reason = "the outer one is a problem in the text")]
pub(super) fn build(
    service: &str,
    config: Option<&At<StickyConfig>>,
    report: &mut Report,
) -> Option<Option<Sticky>> {
    let Some(config) = config else { return Some(None) };
    let StickyConfig { cookie, keep, path, same_site, key } = &**config;
    let mut whole = report.within("keep", keep, Period::from_secs(1)..=KEEP_MAX);
    if let Some(cookie) = cookie.as_ref().filter(|cookie| !is_token(cookie)) {
        report
            .error(cookie, format!("`{}` is not a name for a cookie", **cookie))
            .help("at most 64 letters, digits and some of `!#$%&'*+-.^_`|~`");
        whole = false;
    }
    // RFC 6265, 4.1.1: what ends the attribute.
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(fits) {
        report
            .error(path, format!("`{}` is not a path for a cookie", **path))
            .help("write one such as \"/\" or \"/shop\"");
        whole = false;
    }
    let keys: Vec<At<Secret>> = key.iter().flat_map(OneOrMany::placed).collect();
    for key in keys.iter().filter(|key| key.reveal().chars().count() < KEY_CHARS_MIN) {
        report
            .error(key, "this key is too short to be safe")
            .help(format!("write at least {KEY_CHARS_MIN} characters"));
        whole = false;
    }
    if let Some(key) = keys.get(KEYS_MAX) {
        report
            .error(key, format!("there are more than {KEYS_MAX} keys"))
            .help("leave out those whose cookies are too old by now");
        whole = false;
    }
    whole.then(|| {
        Some(Sticky {
            cookie: cookie
                .as_ref()
                .map_or_else(|| format!("doorward-{service}").into(), |name| name.as_str().into()),
            keep_s: keep.as_ns() / 1_000_000_000,
            path: path.as_str().into(),
            same_site: **same_site,
            keys: keys.iter().map(|key| (**key).clone()).collect(),
        })
    })
}
