//! What the two header filters share: which lines to drop, to set and to add.

use std::collections::BTreeMap;

use config::At;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::head::HOP_BY_HOP;
use wire::{Fields, Known, RequestHead};

use crate::Cx;
use crate::template::{Into, Scope, Template, is_token};

/// Changes to header fields, made in the order `remove`, `set`, `add`. Values may have facts of the
/// request in them: `{client.ip}`, `{host}`, `{method}`, `{path}`, `{query}`, `{path.NAME}`,
/// `{query.NAME}`, `{header.NAME}`, `{request-id}`, `{scheme}`. For a response these are of the request
/// as it went to the service.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HeadersConfig {
    /// Fields to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<At<String>>,
    /// Fields to set: lines of that name that are there already are replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<At<String>, At<String>>,
    /// Fields to add beside those that are there already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<At<String>, At<String>>,
}

/// Compiled changes to header fields.
#[derive(Debug)]
pub(super) struct Changes {
    /// The names to drop, those to be set anew among them, in lower case.
    drop: Box<[Box<str>]>,
    push: Box<[(Box<str>, Template)]>,
}

/// Whose header fields are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Response,
}

impl Changes {
    pub(super) fn build(
        config: &At<HeadersConfig>,
        message: Message,
        scope: &mut Scope<'_>,
    ) -> Option<Self> {
        let HeadersConfig { remove, set, add } = &**config;
        if remove.is_empty() && set.is_empty() && add.is_empty() {
            scope
                .report
                .warning(config, "this changes no header")
                .help("give `set`, `add` or `remove`");
        }
        let mut whole = true;
        let mut drop: Vec<Box<str>> = Vec::new();
        for name in remove.iter().chain(set.keys()) {
            whole &= check_name(name, message, scope);
            drop.push(name.to_ascii_lowercase().into());
        }
        let mut push = Vec::new();
        for (name, value) in set.iter().chain(add) {
            match Template::read(value, scope) {
                Some(value) => push.push(((**name).as_str().into(), value)),
                None => whole = false,
            }
        }
        for name in add.keys() {
            whole &= check_name(name, message, scope);
        }
        whole.then(|| Self { drop: drop.into(), push: push.into() })
    }

    /// Puts the new values together in `cx`, before lines are dropped: they may be made of these.
    pub(super) fn render(&self, facts: &RequestHead, cx: &mut Cx) {
        let mut scratch = std::mem::take(&mut cx.scratch);
        scratch.clear();
        for (_, template) in &self.push {
            scratch.push_with(|out| template.render(facts, cx, Into::Field, out));
        }
        cx.scratch = scratch;
    }

    /// Makes the changes, with the values that [`Changes::render`] left in `cx`.
    pub(super) fn make(&self, fields: &mut Fields, cx: &Cx) {
        if !self.drop.is_empty() {
            fields.remove_if(|name, _, _| {
                let is = |drop: &str| name.eq_ignore_ascii_case(drop.as_bytes());
                self.drop.iter().any(|drop| is(drop))
            });
        }
        for (index, (name, _)) in self.push.iter().enumerate() {
            fields.push(name, cx.scratch.at(index));
        }
    }
}

impl Changes {
    /// Explains the changes that were made.
    pub(super) fn note(&self, cx: &mut Cx) {
        if cx.trail.is_none() {
            return;
        }
        let pushed: Vec<&str> = self.push.iter().map(|(name, _)| &**name).collect();
        let is_pushed = |name: &str| pushed.iter().any(|known| known.eq_ignore_ascii_case(name));
        let dropped: Vec<&str> =
            self.drop.iter().map(|name| &**name).filter(|name| !is_pushed(name)).collect();
        for (key, names) in [("removed", dropped), ("written", pushed)] {
            if !names.is_empty() {
                cx.note(key, names.join(","));
            }
        }
    }
}

/// Reports a name that is not for this filter to change; says whether it is.
fn check_name(name: &At<String>, message: Message, scope: &mut Scope<'_>) -> bool {
    if !is_token(name) {
        scope
            .report
            .error(name, format!("`{}` is not a header name", **name))
            .help("letters, digits and `-`");
        return false;
    }
    let Some(help) = why_not(Known::of(name.as_bytes()), message) else {
        return true;
    };
    scope.report.error(name, format!("`{}` cannot be changed here", **name)).help(help);
    false
}

/// Why a field is not for the configuration to change.
fn why_not(known: Known, message: Message) -> Option<&'static str> {
    // RFC 9110, 6.5 and 7.6.1: who changes these changes where a message ends, and two readers of
    // one connection may then see different messages (request smuggling).
    const FRAMING: u64 = Known::ContentLength.bit() | Known::Trailer.bit() | Known::Expect.bit();
    const FORWARDING: u64 = Known::Forwarded.bit()
        | Known::XForwardedFor.bit()
        | Known::XForwardedHost.bit()
        | Known::XForwardedPort.bit()
        | Known::XForwardedProto.bit();
    let bit = known.bit();
    if bit & (HOP_BY_HOP | FRAMING) != 0 {
        return Some("it says how the message is sent: Doorward writes it from what it sends");
    }
    if bit & Known::Via.bit() != 0 {
        return Some("every proxy must add itself to it (RFC 9110, 7.6.3)");
    }
    match message {
        Message::Request if known == Known::Host => Some("say `host = ...` on the service instead"),
        Message::Request if bit & FORWARDING != 0 => {
            Some("Doorward writes it, so that services can believe it")
        }
        Message::Request if known == Known::XRequestId => {
            Some("Doorward writes it, so that all logs agree")
        }
        Message::Response if known == Known::Date => Some("Doorward writes it where it is missing"),
        Message::Request | Message::Response => None,
    }
}
