//! Lets only clients in that have shown a certificate.

use config::At;
use wire::RequestHead;

use super::{Filter, Phases};
use crate::decision::Decision;
use crate::fault::Unproven;
use crate::identity::Pattern;
use crate::route::OneOrMany;
use crate::template::Scope;
use crate::{Cx, Fault};

/// The compiled filter.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    /// Everybody with a certificate may come if there is none.
    allowed: Box<[Pattern]>,
}

impl Filter for ClientCertificate {
    const NAME: &'static str = "client-certificate";
    const ABOUT: &'static str = "lets only clients in that have shown a certificate";
    const PHASES: Phases = Phases::REQUEST;
    type Config = OneOrMany;

    fn build(config: &At<OneOrMany>, scope: &mut Scope<'_>) -> Option<Self> {
        let texts: Vec<_> = OneOrMany::placed(config).collect();
        match &*texts {
            [word] if **word == "required" => return Some(Self { allowed: Box::default() }),
            [word] if **word == "optional" => {
                scope
                    .report
                    .error(word, "on a route `\"optional\"` changes nothing")
                    .help("remove it; what is asked of clients is said in `[listen] https`");
                return None;
            }
            _ => {}
        }
        let read = texts.iter().filter_map(|text| Pattern::read(text, scope.report));
        let allowed: Box<[Pattern]> = read.collect();
        (allowed.len() == texts.len()).then_some(Self { allowed })
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Cx) -> Decision {
        let shown = cx.shown.clone();
        let shown = shown.as_deref();
        let Some(identity) = shown.and_then(|shown| shown.identity.as_ref()) else {
            let named = shown.and_then(|shown| shown.server_name.as_deref());
            let is_elsewhere =
                named.is_some_and(|name| !name.as_bytes().eq_ignore_ascii_case(head.host()));
            return refuse(match is_elsewhere {
                true => Unproven::Misdirected,
                false => Unproven::Certificate,
            });
        };
        let found = self.allowed.iter().find_map(|pattern| pattern.find(identity));
        cx.note("identity", found.unwrap_or(identity.name()));
        match found {
            _ if self.allowed.is_empty() => Decision::pass("the client has shown a certificate"),
            Some(_) => Decision::pass("the client is one of those that may come"),
            None => refuse(Unproven::Identity),
        }
    }
}

fn refuse(unproven: Unproven) -> Decision {
    let fault = Fault::Unproven(unproven);
    Decision::refuse(fault.reason(), fault)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use expect_test::{Expect, expect};

    use crate::harness::{compile, cx, head};
    use crate::{Identity, Shown, Verdict};

    /// What becomes of a request to `a.example` on a connection that was opened to each of these names,
    /// by each of these clients.
    #[track_caller]
    fn check(filter: &str, clients: &[(Option<&str>, Option<&str>)], expect: Expect) {
        let text = format!(
            "[[route]]\npath = '/'\nrespond = {{}}\nclient-certificate = {filter}\n\
             request-headers = {{ set = {{ x-who = '{{client.identity}}' }} }}"
        );
        let (report, rules) = compile(&text);
        let mut out = report.to_string();
        for (server_name, identity) in clients {
            let Some(rules) = &rules else { break };
            let (mut head, mut cx) = (head("GET A.example:8443 /"), cx());
            cx.shown = Some(Rc::new(Shown {
                server_name: server_name.map(Into::into),
                identity: identity.map(Identity::named),
            }));
            let verdict = rules.decide(&mut head, &mut cx);
            let outcome = match verdict {
                Verdict::Fault { fault, .. } => format!("{} {}", fault.status(), fault.slug()),
                _ => String::from_utf8_lossy(head.fields.get_named("x-who").unwrap_or_default())
                    .into_owned(),
            };
            let trail = cx.trail.expect("kept open").to_string();
            let line = trail.lines().find(|line| line.contains("client-certificate"));
            let (name, line) = (server_name.unwrap_or("-"), line.unwrap_or_default().trim());
            out += &format!("{name} {}: {outcome}\n  {line}\n", identity.unwrap_or("-"));
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn any_certificate_will_do_if_no_more_is_asked_for() {
        check(
            "'required'",
            &[
                (Some("a.example"), Some("cn:a")),
                (Some("a.example"), None),
                (None, None),
                (Some("b.example"), None),
                (Some("b.example"), Some("cn:a")),
            ],
            expect![[r#"
                a.example cn:a: cn:a
                  client-certificate pass    the client has shown a certificate identity=cn:a
                a.example -: 403 client-certificate-required
                  client-certificate refuse  a client certificate is required, and there is none status=403
                - -: 403 client-certificate-required
                  client-certificate refuse  a client certificate is required, and there is none status=403
                b.example -: 421 misdirected
                  client-certificate refuse  the route requires a client certificate, and the connection was opened to another host status=421
                b.example cn:a: cn:a
                  client-certificate pass    the client has shown a certificate identity=cn:a
            "#]],
        );
    }

    #[test]
    fn only_those_come_that_may() {
        check(
            "['spiffe://example.org/ns/prod/*', 'cn:backup']",
            &[
                (None, Some("spiffe://example.org/ns/prod/web")),
                (None, Some("cn:backup")),
                (None, Some("spiffe://example.org/ns/test/web")),
                (None, None),
            ],
            expect![[r#"
                - spiffe://example.org/ns/prod/web: spiffe://example.org/ns/prod/web
                  client-certificate pass    the client is one of those that may come identity=spiffe://example.org/ns/prod/web
                - cn:backup: cn:backup
                  client-certificate pass    the client is one of those that may come identity=cn:backup
                - spiffe://example.org/ns/test/web: 403 client-not-allowed
                  client-certificate refuse  the client's identity is none of those that the route is for identity=spiffe://example.org/ns/test/web status=403
                - -: 403 client-certificate-required
                  client-certificate refuse  a client certificate is required, and there is none status=403
            "#]],
        );
    }

    #[test]
    fn what_is_no_identity_is_said() {
        check(
            "'optional'",
            &[],
            expect![[r#"
            doorward.toml:4:22: on a route `"optional"` changes nothing
               4 | client-certificate = 'optional'
                 |                      ^^^^^^^^^^ remove it; what is asked of clients is said in `[listen] https`
        "#]],
        );
        check(
            "['required', 'dns:*']",
            &[],
            expect![[r#"
            doorward.toml:4:23: `required` is not an identity
               4 | client-certificate = ['required', 'dns:*']
                 |                       ^^^^^^^^^^ write one such as "spiffe://example.org/ns/prod/*", "dns:*.example.com", "email:*@example.com", "uri:https://example.com/*", "ip:192.0.2.1", "cn:web", "sha256:d4e5..."
            doorward.toml:4:35: `dns:*` is not an identity
               4 | client-certificate = ['required', 'dns:*']
                 |                                   ^^^^^^^ write one such as "dns:*.example.com"
        "#]],
        );
        check(
            "[]",
            &[],
            expect![[r#"
            doorward.toml:4:22: the array is empty: leave the key out instead
               4 | client-certificate = []
                 |                      ^^
        "#]],
        );
    }
}
