//! Routes are tested as text: routes and requests in, trail and outcome out.

use expect_test::{Expect, expect};

use crate::harness;

mod actions;

/// Routes in short: one a line, `<path> <more keys>`; they lead to the service `a` unless they say
/// otherwise.
#[track_caller]
fn check(routes: &str, requests: &str, expect: Expect) {
    let mut config = String::new();
    for (name, port) in [("a", 1), ("b", 2)] {
        let is_used = |line: &str| line.contains(&format!("'{name}'")) || line.contains("split");
        if name == "a" || routes.lines().any(is_used) {
            config += &format!("[service.{name}]\nendpoints = ['127.0.0.1:{port}']\n");
        }
    }
    for line in routes.lines().map(str::trim) {
        let (path, keys) = line.split_once(' ').unwrap_or((line, ""));
        config += &format!("[[route]]\npath = '{path}'\n");
        let keys = keys.split(" | ").filter(|key| !key.is_empty());
        keys.for_each(|key| config += &format!("{key}\n"));
        let leads = ["service", "split", "respond", "redirect", "files"];
        if !leads.iter().any(|key| line.contains(key)) {
            config += "service = 'a'\n";
        }
    }
    harness::check(&config, requests, expect);
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    check(
        "/*
         /users/{id}
         /users/me
         /users/*",
        "GET h /users/me
         GET h /users/7
         GET h /users/7/posts
         GET h /users/
         GET h /usersx",
        expect![[r#"
            GET h /users/me
              route            match   the most specific match route=/users/me
              route            lost    its path is less specific route=/users/{id}
              route            lost    its path is less specific route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /users/7
              route            match   the most specific match route=/users/{id}
              route            lost    its path is less specific route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /users/7/posts
              route            match   the most specific match route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /users/
              route            match   the most specific match route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /usersx
              route            match   the only match route=/*
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
}

#[test]
fn a_prefix_is_the_path_itself_and_all_below() {
    check(
        "/a/*",
        "GET h /a
         GET h /a/
         GET h /a/b/c
         GET h /ab
         GET h /",
        expect![[r#"
            GET h /a
              route            match   the only match route=/a/*
              service          choose  the route names it name=a
              => forward a
            GET h /a/
              route            match   the only match route=/a/*
              service          choose  the route names it name=a
              => forward a
            GET h /a/b/c
              route            match   the only match route=/a/*
              service          choose  the route names it name=a
              => forward a
            GET h /ab
              route            refuse  no route matches
              => fault 404 no-route
            GET h /
              route            refuse  no route matches
              => fault 404 no-route
        "#]],
    );
}

#[test]
fn a_slash_at_the_end_counts() {
    check(
        "/a
         /b/
         /",
        "GET h /a
         GET h /a/
         GET h /b
         GET h /b/
         GET h /
         OPTIONS h *",
        expect![[r#"
            GET h /a
              route            match   the only match route=/a
              service          choose  the route names it name=a
              => forward a
            GET h /a/
              route            lost    a slash at the end makes another path route=/a
              route            refuse  no route matches
              => fault 404 no-route
            GET h /b
              route            lost    a slash at the end makes another path route=/b/
              route            refuse  no route matches
              => fault 404 no-route
            GET h /b/
              route            match   the only match route=/b/
              service          choose  the route names it name=a
              => forward a
            GET h /
              route            match   the only match route=/
              service          choose  the route names it name=a
              => forward a
            OPTIONS h *
              route            match   the only match route=/
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
}

#[test]
fn no_spelling_of_a_path_walks_around_a_rule() {
    check(
        "/* service = 'b'
         /admin/*",
        "GET h //admin
         GET h /admin//x
         GET h /%61dmin/x
         GET h /x/../admin
         GET h /%61%64%6D%69%6e
         GET h /admin%2Fx
         GET h /Admin
         GET h /%2561dmin",
        expect![[r#"
            GET h //admin
              route            match   the most specific match route=/admin/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /admin//x
              route            match   the most specific match route=/admin/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /%61dmin/x
              route            match   the most specific match route=/admin/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /x/../admin
              route            match   the most specific match route=/admin/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a /admin
            GET h /%61%64%6D%69%6e
              route            match   the most specific match route=/admin/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /admin%2Fx
              route            match   the only match route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /Admin
              route            match   the only match route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /%2561dmin
              route            match   the only match route=/*
              service          choose  the route names it name=b
              => forward b
        "#]],
    );
}

#[test]
fn hosts_go_before_paths() {
    check(
        "/a name = 'none'
         /* name = 'exact' | host = 'www.example.com'
         /* name = 'long' | host = '*.api.example.com'
         /* name = 'short' | host = '*.example.com'",
        "GET www.example.com /a
         GET WWW.Example.COM.:8080 /a
         GET x.y.api.example.com /a
         GET api.example.com /a
         GET example.com /a
         GET example.com /b
         GET badexample.com /b
         GET - /a",
        expect![[r#"
            GET www.example.com /a
              route            match   the most specific match route=exact
              route            lost    its host is less specific route=short
              route            lost    its host is less specific route=none
              service          choose  the route names it name=a
              => forward a
            GET WWW.Example.COM.:8080 /a
              route            match   the most specific match route=exact
              route            lost    its host is less specific route=short
              route            lost    its host is less specific route=none
              service          choose  the route names it name=a
              => forward a
            GET x.y.api.example.com /a
              route            match   the most specific match route=long
              route            lost    its host is less specific route=short
              route            lost    its host is less specific route=none
              service          choose  the route names it name=a
              => forward a
            GET api.example.com /a
              route            match   the most specific match route=short
              route            lost    its host is less specific route=none
              service          choose  the route names it name=a
              => forward a
            GET example.com /a
              route            match   the only match route=none
              service          choose  the route names it name=a
              => forward a
            GET example.com /b
              route            lost    its host is another route=exact
              route            lost    its host is another route=long
              route            lost    its host is another route=short
              route            refuse  no route matches
              => fault 404 no-route
            GET badexample.com /b
              route            lost    its host is another route=exact
              route            lost    its host is another route=long
              route            lost    its host is another route=short
              route            refuse  no route matches
              => fault 404 no-route
            GET - /a
              route            match   the only match route=none
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
}

#[test]
fn conditions_are_more_specific_than_none() {
    check(
        "/a name = 'plain'
         /a name = 'beta' | header = { x-beta = true }
         /a name = 'beta-2' | header = { X-Beta = '2' }
         /a name = 'query' | query = { debug = true }
         /a name = 'post' | method = 'POST'",
        "GET h /a
         GET h /a X-BETA: 1
         GET h /a X-BETA: 2
         GET h /a?x&%64ebug=1
         POST h /a X-Beta: 2
         DELETE h /a x-beta: 1",
        expect![[r#"
            GET h /a
              route            match   the only match route=plain
              route            lost    its method is another route=post
              route            lost    a header that it asks for is missing or another route=beta-2
              route            lost    a header that it asks for is missing or another route=beta
              route            lost    a query parameter that it asks for is missing or another route=query
              service          choose  the route names it name=a
              => forward a
            GET h /a X-BETA: 1
              route            match   the most specific match route=beta
              route            lost    its method is another route=post
              route            lost    a header that it asks for is missing or another route=beta-2
              route            lost    a query parameter that it asks for is missing or another route=query
              route            lost    it asks for fewer headers route=plain
              service          choose  the route names it name=a
              => forward a /a
                 X-BETA: 1
            GET h /a X-BETA: 2
              route            match   the most specific match route=beta-2
              route            lost    its method is another route=post
              route            lost    it asks for fewer headers route=beta
              route            lost    a query parameter that it asks for is missing or another route=query
              route            lost    it asks for fewer headers route=plain
              service          choose  the route names it name=a
              => forward a /a
                 X-BETA: 2
            GET h /a?x&%64ebug=1
              route            match   the most specific match route=query
              route            lost    its method is another route=post
              route            lost    a header that it asks for is missing or another route=beta-2
              route            lost    a header that it asks for is missing or another route=beta
              route            lost    it asks for fewer query parameters route=plain
              service          choose  the route names it name=a
              => forward a
            POST h /a X-Beta: 2
              route            match   the most specific match route=post
              route            lost    it names no method route=beta-2
              route            lost    it names no method route=beta
              route            lost    a query parameter that it asks for is missing or another route=query
              route            lost    it names no method route=plain
              service          choose  the route names it name=a
              => forward a /a
                 X-Beta: 2
            DELETE h /a x-beta: 1
              route            match   the most specific match route=beta
              route            lost    its method is another route=post
              route            lost    a header that it asks for is missing or another route=beta-2
              route            lost    a query parameter that it asks for is missing or another route=query
              route            lost    it asks for fewer headers route=plain
              service          choose  the route names it name=a
              => forward a /a
                 x-beta: 1
        "#]],
    );
}

#[test]
fn another_method_falls_to_the_next_match_or_is_refused() {
    check(
        "/a/b method = 'POST'
         /a/{x} method = ['GET', 'PURGE']
         /c method = 'PUT' | header = { k = true }",
        "POST h /a/b
         GET h /a/b
         HEAD h /a/b
         DELETE h /a/b
         PURGE h /a/b
         BAN h /a/b
         GET h /c
         GET h /c K: 1",
        expect![[r#"
            POST h /a/b
              route            match   the only match route=POST /a/b
              route            lost    its method is another route=GET,PURGE /a/{x}
              service          choose  the route names it name=a
              => forward a
            GET h /a/b
              route            match   the only match route=GET,PURGE /a/{x}
              route            lost    its method is another route=POST /a/b
              service          choose  the route names it name=a
              => forward a
            HEAD h /a/b
              route            match   the only match route=GET,PURGE /a/{x}
              route            lost    its method is another route=POST /a/b
              service          choose  the route names it name=a
              => forward a
            DELETE h /a/b
              route            lost    its method is another route=POST /a/b
              route            lost    its method is another route=GET,PURGE /a/{x}
              route            refuse  the routes that match have other methods
              => fault 405 method-not-allowed Allow: GET, HEAD, POST, PURGE
            PURGE h /a/b
              route            match   the only match route=GET,PURGE /a/{x}
              route            lost    its method is another route=POST /a/b
              service          choose  the route names it name=a
              => forward a
            BAN h /a/b
              route            lost    its method is another route=POST /a/b
              route            lost    its method is another route=GET,PURGE /a/{x}
              route            refuse  the routes that match have other methods
              => fault 405 method-not-allowed Allow: GET, HEAD, POST, PURGE
            GET h /c
              route            lost    a header that it asks for is missing or another route=PUT /c k
              route            refuse  no route matches
              => fault 404 no-route
            GET h /c K: 1
              route            lost    its method is another route=PUT /c k
              route            refuse  the routes that match have other methods
              => fault 405 method-not-allowed Allow: PUT
        "#]],
    );
}

#[test]
fn get_is_for_head_unless_another_route_names_it() {
    check(
        "/a method = 'GET'
         /a method = 'HEAD' | service = 'b'",
        "GET h /a
         HEAD h /a",
        expect![[r#"
            GET h /a
              route            match   the only match route=GET /a
              route            lost    its method is another route=HEAD /a
              service          choose  the route names it name=a
              => forward a
            HEAD h /a
              route            match   the most specific match route=HEAD /a
              route            lost    another names the method itself route=GET /a
              service          choose  the route names it name=b
              => forward b
        "#]],
    );
}

#[test]
fn what_no_route_matches_is_explained_by_the_near_ones() {
    check(
        "/a/* host = 'x'
         /a/b host = 'y'",
        "GET z /a/b
         GET z /c",
        expect![[r#"
            GET z /a/b
              route            lost    its host is another route=x/a/*
              route            lost    its host is another route=y/a/b
              route            refuse  no route matches
              => fault 404 no-route
            GET z /c
              route            refuse  no route matches
              => fault 404 no-route
        "#]],
    );
}

#[test]
fn rivals_are_a_problem_with_both_places() {
    check(
        "/a/{x}
         /a/{y} method = 'GET'
         /a/{y} method = ['GET', 'POST']
         /a/{z}
         /b/* host = ['p', 'q']
         /b/{rest...} host = ['q', 'r']
         /c header = { h = '1' }
         /c header = { h = '2' }
         /c header = { k = '2' }",
        "",
        expect![[r#"
            doorward.toml:10:1: two routes could match the same request: GET,POST /a/{y}
              10 | [[route]]
                 | ^^^^^^^^^ order does not decide: make one more specific, or remove it
                 = the other one is at doorward.toml:6:1
            doorward.toml:14:1: two routes could match the same request: /a/{z}
              14 | [[route]]
                 | ^^^^^^^^^ order does not decide: make one more specific, or remove it
                 = the other one is at doorward.toml:3:1
            doorward.toml:21:1: two routes could match the same request: q,r/b/{rest...}
              21 | [[route]]
                 | ^^^^^^^^^ order does not decide: make one more specific, or remove it
                 = the other one is at doorward.toml:17:1
            doorward.toml:33:1: two routes could match the same request: /c k=2
              33 | [[route]]
                 | ^^^^^^^^^ order does not decide: make one more specific, or remove it
                 = the other one is at doorward.toml:25:1
        "#]],
    );
}
