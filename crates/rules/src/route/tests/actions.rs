//! What happens on a route, and what is said about routes that are wrong.

use expect_test::expect;

use super::check;
use crate::harness;
use crate::route::RouteConfig;

#[test]
fn shares_of_a_split_are_drawn() {
    check(
        "/a split = { a = '60%', b = '40%' }
         /b split = { a = '40%', b = '60%' }
         /c split = { a = '0%', b = '100%' }",
        "GET h /a
         GET h /b
         GET h /c",
        expect![[r#"
            GET h /a
              route            match   the only match route=/a
              service          choose  its share of the split was drawn name=a
              => forward a
            GET h /b
              route            match   the only match route=/b
              service          choose  its share of the split was drawn name=b
              => forward b
            GET h /c
              route            match   the only match route=/c
              service          choose  its share of the split was drawn name=b
              => forward b
        "#]],
    );
}

#[test]
fn answers_and_redirects() {
    check(
        "/health respond = { body = 'ok' }
         /gone respond = { status = 410, body = '{}', type = 'application/json', headers = { X-A = 'b' } }
         /old/* redirect = { to = 'https://example.com/new/{path.*}?{query}' }
         /up/* host = 'h' | redirect = { to = 'https://{host}{path}?{query}', status = 301 }
         /slash/{rest...} redirect = { to = '/{path.rest}' }
         /self/* redirect = { to = '{path}/' }
         /find redirect = { to = '/search?q={query.q}&ua={header.user-agent}&by={client.ip}' }",
        "GET h /health
         GET h /gone
         GET h /old/a/b?x=%20
         GET h /old/a
         GET h:8080 /up/a?
         GET h /slash//evil.example/
         GET h /slash/%5Cevil.example
         GET h //self//x
         GET h /find?q=a%26b User-Agent: a&b=c\td
         GET - /up/x",
        expect![[r#"
            doorward.toml:1:10: warning: nothing leads to the service `a`
               1 | [service.a]
                 |          ^ give it a route, or remove it
            doorward.toml:3:10: warning: nothing leads to the service `b`
               3 | [service.b]
                 |          ^ give it a route, or remove it
            GET h /health
              route            match   the only match route=/health
              respond          reply   the route has the answer status=200
              => reply 200
                 content-type: text/plain; charset=utf-8
                 ok
            GET h /gone
              route            match   the only match route=/gone
              respond          reply   the route has the answer status=410
              => reply 410
                 content-type: application/json
                 X-A: b
                 {}
            GET h /old/a/b?x=%20
              route            match   the only match route=/old/* params=*:a/b
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: https://example.com/new/a/b?x=%20
            GET h /old/a
              route            match   the only match route=/old/* params=*:a
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: https://example.com/new/a
            GET h:8080 /up/a?
              route            match   the only match route=h/up/*
              redirect         reply   the route leads elsewhere status=301
              => reply 301
                 location: https://h/up/a?
            GET h /slash//evil.example/
              route            match   the only match route=/slash/{rest...} params=rest:evil.example/
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: /evil.example/
            GET h /slash/%5Cevil.example
              route            match   the only match route=/slash/{rest...} params=rest:%5Cevil.example
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: /%5Cevil.example
            GET h //self//x
              route            match   the only match route=/self/*
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: /self//x/
            GET h /find?q=a%26b User-Agent: a&b=c	d
              route            match   the only match route=/find
              redirect         reply   the route leads elsewhere status=308
              => reply 308
                 location: /search?q=a%26b&ua=a%26b%3Dc%09d&by=10.0.0.1
            GET - /up/x
              route            lost    its host is another route=h/up/*
              route            refuse  no route matches
              => fault 404 no-route
        "#]],
    );
}

#[test]
fn an_unsafe_redirect_is_a_problem() {
    check(
        "/a redirect = { to = 'https://{host}{path}' }
         /b redirect = { to = '{query.next}' }
         /c redirect = { to = 'https://example.com{query.p}' }
         /d redirect = { to = '//example.com/' }
         /e redirect = { to = '/x', status = 200 }
         /f redirect = { to = 'https://{header.x-host}/' }
         /g redirect = { to = '{scheme}://example.com/{path}' }",
        "",
        expect![[r#"
            doorward.toml:5:19: warning: the target's host is whatever the request says it is
               5 | redirect = { to = 'https://{host}{path}' }
                 |                   ^^^^^^^^^^^^^^^^^^^^^^ give the route a `host`, or write the host out
            doorward.toml:8:19: `{query.next}` may lead anywhere
               8 | redirect = { to = '{query.next}' }
                 |                   ^^^^^^^^^^^^^^ begin it with `/`, `http://`, `https://` or `{scheme}://`
            doorward.toml:11:19: whoever makes a link can choose the host of this target
              11 | redirect = { to = 'https://example.com{query.p}' }
                 |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ put a `/` behind the host
            doorward.toml:14:19: `//example.com/` may lead anywhere
              14 | redirect = { to = '//example.com/' }
                 |                   ^^^^^^^^^^^^^^^^ begin it with `/`, `http://`, `https://` or `{scheme}://`
            doorward.toml:17:34: 200 redirects nobody
              17 | redirect = { to = '/x', status = 200 }
                 |                                  ^^^ write 301, 302, 303, 307 or 308
            doorward.toml:20:19: whoever makes a link can choose the host of this target
              20 | redirect = { to = 'https://{header.x-host}/' }
                 |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^ put a `/` behind the host
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_route_is_said() {
    check(
        "a
         /a* name = 'star'
         /{id}.json
         /a//b
         /a/../b
         /a?x=1
         /{x}/{x}
         /{rest...}/b
         /{}
         /h1 host = 'http://h'
         /h2 host = 'h:80'
         /h3 host = ['*', '*.a.*', 'ä', '']
         /m1 method = ['get', 'CONNECT', 'A B']
         /c1 header = { 'a b' = true, c = false, d = 1 }
         /s1 service = 'aa' | name = 'x'
         /s2 service = 'a' | respond = {}
         /s3 split = { a = '50%', b = '40%' }
         /s4 split = { a = '50%', c = '50%' }
         /s5 respond = { status = 99 }
         /s6 respond = { status = 204, body = 'x' }
         /s7 respond = { headers = { Content-Length = '3' } }
         /k1 servise = 'a'
         /b1 body-limit = '10'",
        "",
        expect![[r#"
            doorward.toml:6:8: the path `a` does not begin with `/`
               6 | path = 'a'
                 |        ^^^ write "/a"
            doorward.toml:9:8: in the path `/a*` `*` stands beside something else
               9 | path = '/a*'
                 |        ^^^^^ it stands for all that follows a slash: "/a/*"
            doorward.toml:13:8: in the path `/{id}.json` a parameter stands beside something else
              13 | path = '/{id}.json'
                 |        ^^^^^^^^^^^^ it stands for one whole segment: "/a/{id}"
            doorward.toml:16:8: in the path `/a//b` a segment is empty
              16 | path = '/a//b'
                 |        ^^^^^^^ write one slash: `//` in a request counts as one here
            doorward.toml:19:8: in the path `/a/../b` `..` can never match
              19 | path = '/a/../b'
                 |        ^^^^^^^^^ requests come here with dot segments resolved
            doorward.toml:22:8: the path `/a?x=1` has more than a path in it
              22 | path = '/a?x=1'
                 |        ^^^^^^^^ write "/a"; `query` is a key of its own
            doorward.toml:25:8: in the path `/{x}/{x}` two parameters are called `x`
              25 | path = '/{x}/{x}'
                 |        ^^^^^^^^^^ give each a name of its own
            doorward.toml:28:8: in the path `/{rest...}/b` something stands behind `{rest...}`
              28 | path = '/{rest...}/b'
                 |        ^^^^^^^^^^^^^^ it stands for all that follows, so it must be the last segment
            doorward.toml:31:8: in the path `/{}` `{}` is not a parameter
              31 | path = '/{}'
                 |        ^^^^^ name it with letters, digits, `-` and `_`: "{id}", "{rest...}"
            doorward.toml:35:8: `http://h` is not a host to match
              35 | host = 'http://h'
                 |        ^^^^^^^^^^ write only the host: "h"
            doorward.toml:39:8: `h:80` is not a host to match
              39 | host = 'h:80'
                 |        ^^^^^^ write "h": ports do not count
            doorward.toml:43:9: `*` is not a host to match
              43 | host = ['*', '*.a.*', 'ä', '']
                 |         ^^^ leave `host` out to match every host
            doorward.toml:43:14: `*.a.*` is not a host to match
              43 | host = ['*', '*.a.*', 'ä', '']
                 |              ^^^^^^^ `*` stands for the first labels only: "*.example.com"
            doorward.toml:43:23: `ä` is not a host to match
              43 | host = ['*', '*.a.*', 'ä', '']
                 |                       ^^^ write an international name as requests have it: "xn--..."
            doorward.toml:43:28: `` is not a host to match
              43 | host = ['*', '*.a.*', 'ä', '']
                 |                            ^^ write a name such as "example.com" or "*.example.com"
            doorward.toml:47:11: `get` is not the method `GET`
              47 | method = ['get', 'CONNECT', 'A B']
                 |           ^^^^^ methods are told apart by case (RFC 9110, 9.1)
            doorward.toml:47:18: Doorward opens no tunnels, so no route sees `CONNECT`
              47 | method = ['get', 'CONNECT', 'A B']
                 |                  ^^^^^^^^^
            doorward.toml:47:29: `A B` is not a method
              47 | method = ['get', 'CONNECT', 'A B']
                 |                             ^^^^^
            doorward.toml:51:30: `false` is not built: a route without the condition gets what this one leaves
              51 | header = { 'a b' = true, c = false, d = 1 }
                 |                              ^^^^^
            doorward.toml:51:41: expected true or a string, found the number 1
              51 | header = { 'a b' = true, c = false, d = 1 }
                 |                                         ^
            doorward.toml:55:11: there is no service `aa`
              55 | service = 'aa'
                 |           ^^^^ did you mean `a`?
            doorward.toml:60:11: `respond` and `service` cannot both happen
              60 | respond = {}
                 |           ^^ remove one of them, or make two routes
                 = `service` is at doorward.toml:59:11
            doorward.toml:63:9: the shares sum up to 90%
              63 | split = { a = '50%', b = '40%' }
                 |         ^^^^^^^^^^^^^^^^^^^^^^^^ they must sum up to 100%
            doorward.toml:66:22: there is no service `c`
              66 | split = { a = '50%', c = '50%' }
                 |                      ^ did you mean `a`?
            doorward.toml:69:22: `status = 99` is too small
              69 | respond = { status = 99 }
                 |                      ^^ write at least 200
            doorward.toml:72:22: an answer with status 204 has no body
              72 | respond = { status = 204, body = 'x' }
                 |                      ^^^ remove `body`, or take another status (RFC 9110, 15.3.5 and 15.4.5)
            doorward.toml:75:25: `Content-Length` cannot be set here
              75 | respond = { headers = { Content-Length = '3' } }
                 |                         ^^^^^^^^^^^^^^ Doorward writes it from what it sends
            doorward.toml:78:1: there is no key `servise` here
              78 | servise = 'a'
                 | ^^^^^^^ did you mean `service`?
            doorward.toml:82:14: `10` is not a size: write a number and a unit, e.g. "10B"
              82 | body-limit = '10'
                 |              ^^^^
        "#]],
    );
}

#[test]
fn a_route_that_does_nothing_and_a_service_that_nobody_calls() {
    harness::check(
        "[service.a]\nendpoints = ['127.0.0.1:1']\n[[route]]\npath = '/'\n",
        "",
        expect![[r#"
            doorward.toml:4:8: nothing happens on this route
               4 | path = '/'
                 |        ^^^ give `service`, `split`, `respond`, `redirect` or `files`
        "#]],
    );
    harness::check(
        "[[route]]\npath = '/'\nservice = 'a'\n",
        "",
        expect![[r#"
        doorward.toml:3:11: there is no service `a`
           3 | service = 'a'
             |           ^^^ there is none yet: add `[service.a]`
    "#]],
    );
}

#[test]
fn the_machine_spelling_says_the_same() {
    let text = r#"{
        "name": "n", "host": ["a", "*.b"], "path": "/{id}", "method": "GET",
        "header": { "x": true }, "query": { "q": "1" }, "service": "s", "body-limit": "10MiB",
        "request-headers": { "set": { "a": "b" } }, "rewrite": { "strip-prefix": "/x" }
    }"#;
    let config: RouteConfig = serde_json::from_str(text).expect("a route");
    let again = serde_json::to_value(&config).expect("JSON");
    let expect: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(again, expect);
}

#[test]
fn every_key_is_described() {
    let schema = serde_json::to_value(schemars::schema_for!(RouteConfig)).expect("JSON");
    let keys = schema["properties"].as_object().expect("properties");
    for (key, schema) in keys {
        assert!(schema["description"].is_string(), "`{key}` has no words in the manual");
    }
    for (filter, _) in crate::filter::ALL {
        assert!(keys.contains_key(*filter), "`{filter}` is no key of a route");
    }
}

#[test]
fn copies_go_to_another_service() {
    let services =
        "[service.a]\nendpoints = ['127.0.0.1:1']\n[service.b]\nendpoints = ['127.0.0.1:2']\n";
    harness::check(
        &format!(
            "[[route]]\npath = '/all'\nservice = 'a'\nmirror = {{ to = 'b' }}\n\
             [[route]]\npath = '/none'\nsplit = {{ a = '100%' }}\nmirror = {{ to = 'b', share = '0%' }}\n\
             [[route]]\npath = '/own'\nservice = 'a'\n{services}"
        ),
        "GET h /all
         GET h /none
         GET h /own",
        expect![[r#"
            GET h /all
              route            match   the only match route=/all
              service          choose  the route names it name=a
              mirror           copy    its share was drawn name=b share=100%
              => forward a
            GET h /none
              route            match   the only match route=/none
              service          choose  the route names it name=a
              mirror           pass    its share was not drawn name=b share=0%
              => forward a
            GET h /own
              route            match   the only match route=/own
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
    harness::check(
        &format!(
            "[[route]]\npath = '/a'\nservice = 'a'\nmirror = {{ to = 'a' }}\n\
             [[route]]\npath = '/b'\nrespond = {{}}\nmirror = {{ to = 'b' }}\n{services}"
        ),
        "",
        expect![[r#"
            doorward.toml:4:17: `a` gets the requests already
               4 | mirror = { to = 'a' }
                 |                 ^^^ mirror them to another service, such as its next version
            doorward.toml:8:10: only requests to services are mirrored
               8 | mirror = { to = 'b' }
                 |          ^^^^^^^^^^^^ remove `mirror`, or lead the route to a service
        "#]],
    );
    harness::check(
        &format!("[[route]]\npath = '/a'\nservice = 'a'\nmirror = {{ to = 'c' }}\n{services}"),
        "",
        expect![[r#"
            doorward.toml:4:17: there is no service `c`
               4 | mirror = { to = 'c' }
                 |                 ^^^ did you mean `a`?
            doorward.toml:7:10: warning: nothing leads to the service `b`
               7 | [service.b]
                 |          ^ give it a route, or remove it
        "#]],
    );
}
