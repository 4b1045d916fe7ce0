//! Says how important a request is: by its route, by who sends it, or by what it says itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use config::At;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::RequestHead;

use super::{Filter, Phases};
use crate::Cx;
use crate::decision::Decision;
use crate::identity::Pattern;
use crate::overload::Priority;
use crate::template::{Scope, is_token};

/// The compiled filter.
#[derive(Debug)]
pub(super) struct Prioritize {
    default: Priority,
    identities: Box<[(Pattern, Priority)]>,
    header: Option<Box<str>>,
    header_at_most: Priority,
}

/// How important the requests of a route are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PriorityConfig {
    /// Of all that are not told apart.
    pub default: At<Priority>,
    /// Of clients with certificates, by identity; the most important one if several fit.
    pub identities: BTreeMap<At<String>, At<Priority>>,
    /// The header in which a request may say it itself.
    pub header: Option<At<String>>,
    /// What it may say at most, if it is no more than that anyway.
    pub header_at_most: At<Priority>,
}

/// The long form.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename = "PriorityTable", default)]
#[derive(Default)]
struct Table {
    /// How important requests are that are not told apart.
    default: At<Priority>,
    /// How important requests of clients with certificates are, by identity, as in
    /// `{ "spiffe://example.org/billing/*" = "critical" }`; the most important one if several fit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    identities: BTreeMap<At<String>, At<Priority>>,
    /// The header in which a request may say it itself. The service sees there what was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<At<String>>,
    /// How important a request can make itself so. What it is by its route or its identity, it may say
    /// in any case.
    header_at_most: At<Priority>,
}

impl Serialize for PriorityConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { default, identities, header, header_at_most } = self.clone();
        if header.is_none() && identities.is_empty() {
            return default.serialize(to);
        }
        Table { default, identities, header, header_at_most }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for PriorityConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = PriorityConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"critical\", \"normal\", \"sheddable\", or a table")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PriorityConfig, E> {
                let named = Priority::named(text.as_bytes());
                let default =
                    named.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(PriorityConfig { default: default.into(), ..PriorityConfig::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PriorityConfig, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Table { default, identities, header, header_at_most } = table;
                Ok(PriorityConfig { default, identities, header, header_at_most })
            }
        }

        from.deserialize_any(Either)
    }
}

impl JsonSchema for PriorityConfig {
    fn schema_name() -> Cow<'static, str> {
        "PriorityConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Priority>();
        let table = generator.subschema_for::<Table>();
        json_schema!({ "anyOf": [word, table] })
    }
}

impl Filter for Prioritize {
    const NAME: &'static str = "priority";
    const ABOUT: &'static str = "says how important requests are when not all can be answered";
    const PHASES: Phases = Phases::REQUEST;
    type Config = PriorityConfig;

    fn build(config: &At<PriorityConfig>, scope: &mut Scope<'_>) -> Option<Self> {
        let PriorityConfig { default, identities, header, header_at_most } = &**config;
        let mut whole = true;
        if let Some(name) = header.as_ref().filter(|name| !is_token(name)) {
            scope
                .report
                .error(name, format!("`{}` is not the name of a header", **name))
                .help("write one such as \"X-Priority\"");
            whole = false;
        }
        if header.is_none() && **header_at_most != Priority::default() {
            scope
                .report
                .error(header_at_most, "`header-at-most` means nothing without `header`")
                .help("name the header, or remove it");
            whole = false;
        }
        let read = identities.iter().filter_map(|(pattern, priority)| {
            Some((Pattern::read(pattern, scope.report)?, **priority))
        });
        let read: Box<[_]> = read.collect();
        whole &= read.len() == identities.len();
        whole.then(|| Self {
            default: **default,
            identities: read,
            header: header.as_ref().map(|name| name.as_str().into()),
            header_at_most: **header_at_most,
        })
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        let (mut priority, mut why) = (self.default, "the route says so");
        if let Some(identity) = cx.identity() {
            let fitting = self.identities.iter().filter(|(one, _)| one.find(identity).is_some());
            if let Some(best) = fitting.map(|(_, priority)| *priority).min() {
                (priority, why) = (best, "the client's identity says so");
            }
        }
        if let Some(name) = &self.header
            && let Some(value) = head.fields.get_named(name)
        {
            // Anybody may step back, and nobody forward beyond what is allowed.
            let limit = priority.min(self.header_at_most);
            match Priority::named(value.to_ascii_lowercase().trim_ascii()) {
                Some(said) if said < limit => {
                    (priority, why) = (limit, "the request says more than it may");
                }
                Some(said) => (priority, why) = (said, "the request says so"),
                None => why = "the request says nothing that is known",
            }
            head.fields.set(name, priority.name().as_bytes());
        }
        cx.priority = priority;
        cx.note("is", priority.name());
        Decision::pass(why)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use expect_test::{Expect, expect};

    use crate::harness::{compile, cx, head};
    use crate::{Identity, Shown};

    /// What becomes of requests that say so (`-` is nothing), from clients of this identity.
    #[track_caller]
    fn check(filter: &str, requests: &[(&str, &str)], expect: Expect) {
        let text = format!("[[route]]\npath = '/'\nrespond = {{}}\npriority = {filter}\n");
        let (report, rules) = compile(&text);
        let mut out = report.to_string();
        for (says, identity) in requests {
            let Some(rules) = &rules else { break };
            let (mut head, mut cx) = (head("GET a.example /"), cx());
            if *says != "-" {
                head.fields.push("X-Priority", says.as_bytes());
            }
            if *identity != "-" {
                let identity = Some(Identity::named(identity));
                cx.shown = Some(Rc::new(Shown { server_name: None, identity }));
            }
            rules.decide(&mut head, &mut cx);
            let told = head.fields.get_named("X-Priority").unwrap_or(b"-").to_vec();
            let (told, is) = (String::from_utf8_lossy(&told), cx.priority.name());
            let trail = cx.trail.expect("kept open").to_string();
            let line = trail.lines().find(|line| line.contains("priority"));
            let why = line.unwrap_or_default().trim();
            out += &format!("{says} {identity}: {is}, told {told}\n  {why}\n");
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn a_route_says_it_for_all() {
        check(
            "'sheddable'",
            &[("critical", "-"), ("-", "cn:a")],
            expect![[r#"
            critical -: sheddable, told critical
              priority         pass    the route says so is=sheddable
            - cn:a: sheddable, told -
              priority         pass    the route says so is=sheddable
        "#]],
        );
    }

    #[test]
    fn nobody_makes_himself_more_important_than_allowed() {
        let header = "{ header = 'x-priority' }";
        check(
            header,
            &[("critical", "-"), ("normal", "-"), ("Sheddable", "-"), ("-", "-"), ("9", "-")],
            expect![[r#"
                critical -: normal, told normal
                  priority         pass    the request says more than it may is=normal
                normal -: normal, told normal
                  priority         pass    the request says so is=normal
                Sheddable -: sheddable, told sheddable
                  priority         pass    the request says so is=sheddable
                - -: normal, told -
                  priority         pass    the route says so is=normal
                9 -: normal, told normal
                  priority         pass    the request says nothing that is known is=normal
            "#]],
        );
        check(
            "{ header = 'x-priority', header-at-most = 'critical', default = 'sheddable' }",
            &[("critical", "-"), ("-", "-")],
            expect![[r#"
                critical -: critical, told critical
                  priority         pass    the request says so is=critical
                - -: sheddable, told -
                  priority         pass    the route says so is=sheddable
            "#]],
        );
        check(
            "{ header = 'x-priority', header-at-most = 'sheddable' }",
            &[("critical", "-"), ("normal", "-"), ("sheddable", "-")],
            expect![[r#"
                critical -: normal, told normal
                  priority         pass    the request says more than it may is=normal
                normal -: normal, told normal
                  priority         pass    the request says so is=normal
                sheddable -: sheddable, told sheddable
                  priority         pass    the request says so is=sheddable
            "#]],
        );
    }

    #[test]
    fn who_is_known_may_say_what_they_are() {
        check(
            "{ header = 'x-priority', default = 'sheddable', identities = \
             { 'spiffe://a.org/*' = 'normal', 'spiffe://a.org/billing' = 'critical' } }",
            &[
                ("-", "spiffe://a.org/billing"),
                ("critical", "spiffe://a.org/billing"),
                ("sheddable", "spiffe://a.org/billing"),
                ("critical", "spiffe://a.org/web"),
                ("critical", "spiffe://b.org/web"),
                ("critical", "-"),
            ],
            expect![[r#"
                - spiffe://a.org/billing: critical, told -
                  priority         pass    the client's identity says so is=critical
                critical spiffe://a.org/billing: critical, told critical
                  priority         pass    the request says so is=critical
                sheddable spiffe://a.org/billing: sheddable, told sheddable
                  priority         pass    the request says so is=sheddable
                critical spiffe://a.org/web: normal, told normal
                  priority         pass    the request says more than it may is=normal
                critical spiffe://b.org/web: normal, told normal
                  priority         pass    the request says more than it may is=normal
                critical -: normal, told normal
                  priority         pass    the request says more than it may is=normal
            "#]],
        );
    }

    #[test]
    fn what_is_no_priority_is_said() {
        check(
            "'urgent'",
            &[],
            expect![[r#"
            doorward.toml:4:12: expected "critical", "normal", "sheddable", or a table, found the string "urgent"
               4 | priority = 'urgent'
                 |            ^^^^^^^^
        "#]],
        );
        check(
            "3",
            &[],
            expect![[r#"
            doorward.toml:4:12: expected "critical", "normal", "sheddable", or a table, found the number 3
               4 | priority = 3
                 |            ^
        "#]],
        );
        check(
            "{ default = 'urgent' }",
            &[],
            expect![[r#"
            doorward.toml:4:24: `urgent` is not one of "critical", "normal", "sheddable"
               4 | priority = { default = 'urgent' }
                 |                        ^^^^^^^^
        "#]],
        );
        check(
            "{ header = 'a b', identities = { 'web' = 'critical' } }",
            &[],
            expect![[r#"
            doorward.toml:4:23: `a b` is not the name of a header
               4 | priority = { header = 'a b', identities = { 'web' = 'critical' } }
                 |                       ^^^^^ write one such as "X-Priority"
            doorward.toml:4:45: `web` is not an identity
               4 | priority = { header = 'a b', identities = { 'web' = 'critical' } }
                 |                                             ^^^^^ write one such as "spiffe://example.org/ns/prod/*", "dns:*.example.com", "email:*@example.com", "uri:https://example.com/*", "ip:192.0.2.1", "cn:web", "sha256:d4e5..."
        "#]],
        );
        check(
            "{ header-at-most = 'critical' }",
            &[],
            expect![[r#"
            doorward.toml:4:31: `header-at-most` means nothing without `header`
               4 | priority = { header-at-most = 'critical' }
                 |                               ^^^^^^^^^^ name the header, or remove it
        "#]],
        );
    }
}
