//! Filters are tested as text: configuration and requests in, trail and outcome out.

use expect_test::{Expect, expect};

use crate::harness;

/// Runs `requests` through a route with `keys`, which leads to a service.
#[track_caller]
fn check(keys: &str, requests: &str, expect: Expect) {
    let path =
        if keys.contains("path =") && keys.starts_with("path =") { "" } else { "path = '/*'\n" };
    let config = format!(
        "[[route]]\nservice = 'a'\n{path}{keys}\n[service.a]\nendpoints = ['127.0.0.1:1']\n"
    );
    harness::check(&config, requests, expect);
}

#[test]
fn a_prefix_is_stripped_as_routes_match() {
    check(
        "rewrite = { strip-prefix = '/api/v1' }",
        "GET h /api/v1/users?x=1
         GET h /api/v1
         GET h /api/v1/
         GET h //api//v1//users
         GET h /%61pi/v1/a%2Fb
         GET h /api/v10
         GET h /api",
        expect![[r#"
            GET h /api/v1/users?x=1
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/users?x=1
              service          choose  the route names it name=a
              => forward a /users?x=1
            GET h /api/v1
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/
              service          choose  the route names it name=a
              => forward a /
            GET h /api/v1/
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/
              service          choose  the route names it name=a
              => forward a /
            GET h //api//v1//users
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=//users
              service          choose  the route names it name=a
              => forward a //users
            GET h /%61pi/v1/a%2Fb
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/a%2Fb
              service          choose  the route names it name=a
              => forward a /a%2Fb
            GET h /api/v10
              route            match   the only match route=/*
              rewrite          pass    the prefix is not there target=/api/v10
              service          choose  the route names it name=a
              => forward a
            GET h /api
              route            match   the only match route=/*
              rewrite          pass    the prefix is not there target=/api
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
}

#[test]
fn a_path_is_put_together_anew() {
    check(
        "path = '/v1/{kind}/{rest...}'\n\
         rewrite = { path = '/v2/{path.rest}/{path.kind}', query = 'by={client.ip}&{query}' }",
        "GET h /v1/a/b/c?x=%26&y
         GET h /v1/a/
         GET h /v1/%2e%2ex/b%2Fc?",
        expect![[r#"
            GET h /v1/a/b/c?x=%26&y
              route            match   the only match route=/v1/{kind}/{rest...} params=kind:a,rest:b/c
              rewrite          pass    the target is rewritten target=/v2/b/c/a?by=10.0.0.1&x=%26&y
              service          choose  the route names it name=a
              => forward a /v2/b/c/a?by=10.0.0.1&x=%26&y
            GET h /v1/a/
              route            match   the only match route=/v1/{kind}/{rest...} params=kind:a,rest:
              rewrite          pass    the target is rewritten target=/v2//a?by=10.0.0.1
              service          choose  the route names it name=a
              => forward a /v2//a?by=10.0.0.1
            GET h /v1/%2e%2ex/b%2Fc?
              route            match   the only match route=/v1/{kind}/{rest...} params=kind:%2e%2ex,rest:b%2Fc
              rewrite          pass    the target is rewritten target=/v2/b%2Fc/%2e%2ex?by=10.0.0.1
              service          choose  the route names it name=a
              => forward a /v2/b%2Fc/%2e%2ex?by=10.0.0.1
        "#]],
    );
}

#[test]
fn no_fact_makes_a_way_up() {
    check(
        "rewrite = { path = '/files/{query.f}', query = '' }",
        "GET h /?f=a
         GET h /?f=../secret
         GET h /?f=%2e%2e%2fsecret
         GET h /?f=..
         GET h /?f=%2E.
         GET h /?f=a%2Fb%3Fc
         GET h /",
        expect![[r#"
            GET h /?f=a
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/files/a
              service          choose  the route names it name=a
              => forward a /files/a
            GET h /?f=../secret
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/files/..%2Fsecret
              service          choose  the route names it name=a
              => forward a /files/..%2Fsecret
            GET h /?f=%2e%2e%2fsecret
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/files/..%2Fsecret
              service          choose  the route names it name=a
              => forward a /files/..%2Fsecret
            GET h /?f=..
              route            match   the only match route=/*
              rewrite          refuse  the new path has dot segments status=400
              => fault 400 malformed
            GET h /?f=%2E.
              route            match   the only match route=/*
              rewrite          refuse  the new path has dot segments status=400
              => fault 400 malformed
            GET h /?f=a%2Fb%3Fc
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/files/a%2Fb%3Fc
              service          choose  the route names it name=a
              => forward a /files/a%2Fb%3Fc
            GET h /
              route            match   the only match route=/*
              rewrite          pass    the target is rewritten target=/files/
              service          choose  the route names it name=a
              => forward a /files/
        "#]],
    );
}

#[test]
fn headers_are_removed_set_and_added() {
    check(
        "path = '/u/{id}'\n\
         [route.request-headers]\n\
         remove = ['Cookie']\n\
         set = { X-User = '{header.x-user}/{path.id}', X-Where = '{scheme}://{host}{path}?{query}' }\n\
         add = { X-Tag = '{{{method}}} {request-id} {query.a}' }\n\
         [route.response-headers]\n\
         remove = ['X-From']\n\
         set = { Strict-Transport-Security = 'max-age=1' }\n\
         add = { X-Id = '{request-id}' }\n",
        "GET h:1 /u/7?a=%20b COOKIE: a=b; x-user: eve; x-tag: old
         GET h /u/7",
        expect![[r#"
            GET h:1 /u/7?a=%20b COOKIE: a=b; x-user: eve; x-tag: old
              route            match   the only match route=/u/{id} params=id:7
              request-headers  pass    the headers are changed removed=cookie written=X-User,X-Where,X-Tag
              service          choose  the route names it name=a
              response-headers pass    the headers are changed removed=x-from written=Strict-Transport-Security,X-Id
              => forward a /u/7?a=%20b
                 x-tag: old
                 X-User: eve/7
                 X-Where: http://h/u/7?a=%20b
                 X-Tag: {GET} id-1 %20b
              <= 200
                 Strict-Transport-Security: max-age=1
                 X-Id: id-1
            GET h /u/7
              route            match   the only match route=/u/{id} params=id:7
              request-headers  pass    the headers are changed removed=cookie written=X-User,X-Where,X-Tag
              service          choose  the route names it name=a
              response-headers pass    the headers are changed removed=x-from written=Strict-Transport-Security,X-Id
              => forward a
              <= 200
                 Strict-Transport-Security: max-age=1
                 X-Id: id-1
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_filter_is_said() {
    check(
        "rewrite = {}",
        "",
        expect![[r#"
        doorward.toml:4:11: this rewrites nothing
           4 | rewrite = {}
             |           ^^ give `strip-prefix`, `path` or `query`
    "#]],
    );
    check(
        "rewrite = { path = '/a', strip-prefix = '/b' }",
        "",
        expect![[r#"
        doorward.toml:4:20: `path` and `strip-prefix` both give the new path
           4 | rewrite = { path = '/a', strip-prefix = '/b' }
             |                    ^^^^ remove one of them
             = the other one is at doorward.toml:4:41
    "#]],
    );
    check(
        "rewrite = { path = 'a' }",
        "",
        expect![[r#"
        doorward.toml:4:20: the new path `a` does not begin with `/`
           4 | rewrite = { path = 'a' }
             |                    ^^^ write "/a"
    "#]],
    );
    check(
        "rewrite = { path = '/a?b={query}' }",
        "",
        expect![[r#"
        doorward.toml:4:20: the new path `/a?b={query}` has more than a path in it
           4 | rewrite = { path = '/a?b={query}' }
             |                    ^^^^^^^^^^^^^^ the query stays as it is, or give `query` as a key of its own
    "#]],
    );
    check(
        "rewrite = { strip-prefix = '/a/*' }",
        "",
        expect![[r#"
        doorward.toml:4:28: `/a/*` is not a prefix to strip
           4 | rewrite = { strip-prefix = '/a/*' }
             |                            ^^^^^^ write the segments to cut off: "/api"
    "#]],
    );
    check(
        "rewrite = { query = '?a=b' }",
        "",
        expect![[r#"
        doorward.toml:4:21: the query begins with `?`
           4 | rewrite = { query = '?a=b' }
             |                     ^^^^^^ leave it out: Doorward writes it
    "#]],
    );
    check(
        "rewrite = { prefix = '/a' }",
        "",
        expect![[r#"
        doorward.toml:4:13: there is no key `prefix` here
           4 | rewrite = { prefix = '/a' }
             |             ^^^^^^ known: strip-prefix, path, query
    "#]],
    );
    check(
        "request-headers = {}",
        "",
        expect![[r#"
        doorward.toml:4:19: warning: this changes no header
           4 | request-headers = {}
             |                   ^^ give `set`, `add` or `remove`
    "#]],
    );
    check(
        "path = '/{id}'\n\
         request-headers = { set = { A = '{id}', B = '{path.idd}', C = '{hosst}', D = '{', E = '}' } }",
        "",
        expect![[r#"
            doorward.toml:4:33: there is no value `{id}`
               4 | request-headers = { set = { A = '{id}', B = '{path.idd}', C = '{hosst}', D = '{', E = '}' } }
                 |                                 ^^^^^^ did you mean `{path.id}`?
            doorward.toml:4:45: there is no value `{path.idd}`
               4 | request-headers = { set = { A = '{id}', B = '{path.idd}', C = '{hosst}', D = '{', E = '}' } }
                 |                                             ^^^^^^^^^^^^ did you mean `{path.id}`?
            doorward.toml:4:63: there is no value `{hosst}`
               4 | request-headers = { set = { A = '{id}', B = '{path.idd}', C = '{hosst}', D = '{', E = '}' } }
                 |                                                               ^^^^^^^^^ did you mean `{host}`?
            doorward.toml:4:78: `{` stands alone in `{`
               4 | request-headers = { set = { A = '{id}', B = '{path.idd}', C = '{hosst}', D = '{', E = '}' } }
                 |                                                                              ^^^ write `{{` for a brace that is meant as such
            doorward.toml:4:87: `}` stands alone in `}`
               4 | …path.idd}', C = '{hosst}', D = '{', E = '}' } }
                 |                                          ^^^ write `}}` for a brace that is meant as such
        "#]],
    );
    check(
        "request-headers = { set = { Host = 'a', 'B C' = 'd', Content-Length = '1', \
         Connection = 'x', X-Forwarded-For = 'y', Via = 'z' }, remove = ['X-Request-Id'] }",
        "",
        expect![[r#"
            doorward.toml:4:29: `Host` cannot be changed here
               4 | request-headers = { set = { Host = 'a', 'B C' = 'd', Content-Length = '1', Connection = 'x', X-Forwarded-For = 'y', Via …
                 |                             ^^^^ say `host = ...` on the service instead
            doorward.toml:4:41: `B C` is not a header name
               4 | request-headers = { set = { Host = 'a', 'B C' = 'd', Content-Length = '1', Connection = 'x', X-Forwarded-For = 'y', Via …
                 |                                         ^^^^^ letters, digits and `-`
            doorward.toml:4:54: `Content-Length` cannot be changed here
               4 | request-headers = { set = { Host = 'a', 'B C' = 'd', Content-Length = '1', Connection = 'x', X-Forwarded-For = 'y', Via …
                 |                                                      ^^^^^^^^^^^^^^ it says how the message is sent: Doorward writes it from what it sends
            doorward.toml:4:76: `Connection` cannot be changed here
               4 | request-headers = { set = { Host = 'a', 'B C' = 'd', Content-Length = '1', Connection = 'x', X-Forwarded-For = 'y', Via …
                 |                                                                            ^^^^^^^^^^ it says how the message is sent: Doorward writes it from what it sends
            doorward.toml:4:94: `X-Forwarded-For` cannot be changed here
               4 | …Content-Length = '1', Connection = 'x', X-Forwarded-For = 'y', Via = 'z' }, remove = ['X-Request-Id'] }
                 |                                          ^^^^^^^^^^^^^^^ Doorward writes it, so that services can believe it
            doorward.toml:4:117: `Via` cannot be changed here
               4 | …onnection = 'x', X-Forwarded-For = 'y', Via = 'z' }, remove = ['X-Request-Id'] }
                 |                                          ^^^ every proxy must add itself to it (RFC 9110, 7.6.3)
            doorward.toml:4:140: `X-Request-Id` cannot be changed here
               4 | …arded-For = 'y', Via = 'z' }, remove = ['X-Request-Id'] }
                 |                                          ^^^^^^^^^^^^^^ Doorward writes it, so that all logs agree
        "#]],
    );
    check(
        "response-headers = { add = { Transfer-Encoding = 'x', Date = 'y', X-Forwarded-For = 'z' } }",
        "",
        expect![[r#"
            doorward.toml:4:30: `Transfer-Encoding` cannot be changed here
               4 | response-headers = { add = { Transfer-Encoding = 'x', Date = 'y', X-Forwarded-For = 'z' } }
                 |                              ^^^^^^^^^^^^^^^^^ it says how the message is sent: Doorward writes it from what it sends
            doorward.toml:4:55: `Date` cannot be changed here
               4 | response-headers = { add = { Transfer-Encoding = 'x', Date = 'y', X-Forwarded-For = 'z' } }
                 |                                                       ^^^^ Doorward writes it where it is missing
        "#]],
    );
}

#[test]
fn faults_are_made_on_purpose() {
    check(
        "fault = { delay = { time = '2s' }, abort = { with = 503 }, header = { x-chaos = 'on' } }",
        "GET h /
         GET h / X-Chaos: off
         GET h / X-Chaos: on",
        expect![[r#"
            GET h /
              route            match   the only match route=/*
              fault            pass    the request has not the headers that are asked for
              service          choose  the route names it name=a
              => forward a
            GET h / X-Chaos: off
              route            match   the only match route=/*
              fault            pass    the request has not the headers that are asked for
              service          choose  the route names it name=a
              => forward a /
                 X-Chaos: off
            GET h / X-Chaos: on
              route            match   the only match route=/*
              fault            refuse  a delay was drawn, and then an abort delay=2s delay-share=100% abort-share=100% status=503
              => fault 503 injected
        "#]],
    );
    check(
        "fault = { delay = { time = '250ms', share = '60%' }, abort = { with = 'reset', share = '0%' } }",
        "GET h /",
        expect![[r#"
            GET h /
              route            match   the only match route=/*
              fault            pass    a delay was drawn delay=250ms delay-share=60% abort-share=0%
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
    check(
        "fault = { delay = { time = '250ms', share = '1%' }, abort = { with = 'reset', share = '99%' } }",
        "GET h /",
        expect![[r#"
            GET h /
              route            match   the only match route=/*
              fault            refuse  an abort was drawn delay=250ms delay-share=1% abort-share=99% status=502
              => fault 502 injected-reset
        "#]],
    );
}

#[test]
fn faults_that_hit_everybody_are_told_of() {
    check(
        "fault = { delay = { time = '1s' }, abort = { with = 429, share = '100%' } }",
        "",
        expect![[r#"
            doorward.toml:4:19: warning: every request of this route is delayed
               4 | fault = { delay = { time = '1s' }, abort = { with = 429, share = '100%' } }
                 |                   ^^^^^^^^^^^^^^^ give it a `share`, or a `header` that only tests send
            doorward.toml:4:44: warning: every request of this route is aborted
               4 | fault = { delay = { time = '1s' }, abort = { with = 429, share = '100%' } }
                 |                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ give it a `share`, or a `header` that only tests send
        "#]],
    );
    check(
        "fault = {}",
        "",
        expect![[r#"
        doorward.toml:4:9: `fault` neither delays nor aborts
           4 | fault = {}
             |         ^^ give it `delay = { time = "2s" }` or `abort = { with = 503 }`
    "#]],
    );
    check(
        "fault = { delay = { time = '2m' }, abort = { with = 200 }, header = { 'x y' = true } }",
        "",
        expect![[r#"
            doorward.toml:4:28: `time = "2m"` is too large
               4 | fault = { delay = { time = '2m' }, abort = { with = 200 }, header = { 'x y' = true } }
                 |                            ^^^^ write at most "1m"
            doorward.toml:4:53: the status 200 is no failure
               4 | fault = { delay = { time = '2m' }, abort = { with = 200 }, header = { 'x y' = true } }
                 |                                                     ^^^ write one from 400 to 599, or "reset"
            doorward.toml:4:71: `x y` is not a header name
               4 | fault = { delay = { time = '2m' }, abort = { with = 200 }, header = { 'x y' = true } }
                 |                                                                       ^^^^^
        "#]],
    );
    check(
        "fault = { abort = { with = 'nothing' } }",
        "",
        expect![[r#"
        doorward.toml:4:28: expected a status or "reset", found the string "nothing"
           4 | fault = { abort = { with = 'nothing' } }
             |                            ^^^^^^^^^
    "#]],
    );
}
