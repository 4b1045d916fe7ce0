//! What the route says of its cache.

use super::{Kitchen, body, status};
use crate::wire::field;

#[test]
fn the_route_says_how_long() {
    let kitchen = Kitchen::new("{ fresh = \"1h\" }");
    let (_, first) = kitchen.fetch("GET /a", "200 OK\nX: y\n\nhello");
    assert_eq!(status(&first), "fwd=uri-miss; stored; ttl=3600; detail=fresh-rule");
    assert_eq!(body(&kitchen.hit("GET /a")), "hello");
    for (path, answer) in [
        ("/1", "200 OK\nCache-Control: no-store\n\nx"),
        ("/2", "200 OK\nCache-Control: private\n\nx"),
        ("/3", "404 Not Found\nX: y\n\nx"),
        ("/4", "200 OK\nSet-Cookie: a=b\n\nx"),
    ] {
        let (_, given) = kitchen.fetch(&format!("GET {path}"), answer);
        assert!(!status(&given).contains("stored"), "{given}");
    }
    // Who has cookies may get another answer than who has none.
    let (_, given) = kitchen.fetch("GET /a\nCookie: session=1", "200 OK\n\nmine");
    assert_eq!((status(&given), body(&given)), ("fwd=bypass; detail=cookie", "mine"));
}

#[test]
fn the_key_is_what_the_route_says_and_nothing_else_reaches_the_service() {
    let key = "{ fresh = \"1h\", key = { query = [\"page\", \"q\"], cookies = [\"theme\"], headers = [\"X-Site\"] } }";
    let kitchen = Kitchen::new(key);
    let request = "GET /a?utm_source=x&q=1&page=2\nCookie: id=7; theme=dark";
    let (asked, _) = kitchen.fetch(request, "200 OK\n\ndark");
    assert!(asked.starts_with("GET /a?page=2&q=1 HTTP/1.1\r\n"), "{asked}");
    assert_eq!(field(&asked, "cookie"), Some("theme=dark"));
    let again = "GET /a?page=2&q=1&fbclid=9\nCookie: theme=dark; id=8";
    assert_eq!(body(&kitchen.hit(again)), "dark");
    kitchen.fetch("GET /a?page=2&q=1\nCookie: theme=light", "200 OK\n\nlight");
    kitchen.fetch("GET /a?page=3&q=1\nCookie: theme=dark", "200 OK\n\nthree");
    kitchen.fetch("GET /a?page=2&q=1\nCookie: theme=dark\nX-Site: b", "200 OK\n\nb");

    let kitchen = Kitchen::new("{ fresh = \"1h\", key = { query-except = [\"utm_*\"] } }");
    let (asked, _) = kitchen.fetch("GET /a?utm_source=x&b=1&a=%7e", "200 OK\n\nx");
    assert!(asked.starts_with("GET /a?a=~&b=1 HTTP/1.1\r\n"), "{asked}");
    kitchen.hit("GET /a?a=~&b=1&utm_medium=y");
}

#[test]
fn scheme_host_and_path_are_always_in_the_key() {
    let kitchen = Kitchen::new("{ fresh = \"1h\", key = { query = [] } }");
    kitchen.fetch("GET /a?x", "200 OK\n\nh");
    kitchen.hit("GET /a?y");
    kitchen.fetch("GET /A", "200 OK\n\nA");
    let mut client = kitchen.door.connect();
    client.send("GET /a HTTP/1.1\r\nHost: other\r\n\r\n");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crate::http::crlf(&super::said("200 OK\n\nother")));
    assert_eq!(body(&client.read_response()), "other");
    // The same host and path, written in other ways.
    let mut client = kitchen.door.connect();
    client.send("GET /./%61 HTTP/1.1\r\nHost: H:80\r\n\r\n");
    assert_eq!(body(&client.read_response()), "h");
}

#[test]
fn requests_may_go_past_the_cache() {
    let kitchen = Kitchen::new(
        "{ fresh = \"1h\", bypass = { header = { x-preview = true }, query = { draft = \"1\" }, cookie = { admin = true } } }",
    );
    kitchen.fetch("GET /a", "200 OK\n\nall");
    for request in ["GET /a\nX-Preview: x", "GET /a?draft=1", "GET /a\nCookie: b=1; admin=x"] {
        let (_, given) = kitchen.fetch(request, "200 OK\n\none");
        assert_eq!((status(&given), body(&given)), ("fwd=bypass; detail=rule", "one"));
    }
    assert_eq!(body(&kitchen.hit("GET /a")), "all");
    let (_, given) = kitchen.fetch("OPTIONS /a", "204 No Content\nX: y");
    assert_eq!(status(&given), "fwd=method; detail=method");
}

#[test]
fn a_route_may_know_no_cookies() {
    let kitchen = Kitchen::new("{ fresh = \"1h\", cookies = \"ignore\" }");
    let (asked, given) = kitchen.fetch("GET /a\nCookie: a=b", "200 OK\nSet-Cookie: c=d\n\nx");
    assert!(field(&asked, "cookie").is_none() && field(&given, "set-cookie").is_none());
    kitchen.hit("GET /a\nCookie: e=f");
    let kitchen = Kitchen::new("{ fresh = \"1h\", cookies = \"share\" }");
    kitchen.fetch("GET /a\nCookie: a=b", "200 OK\nSet-Cookie: c=d\n\nx");
    assert_eq!(field(&kitchen.hit("GET /a"), "set-cookie"), Some("c=d"));
}

#[test]
fn the_route_may_know_what_the_answer_varies_by() {
    let kitchen = Kitchen::new("{ fresh = \"1h\", vary-by = [\"Accept-Language\"] }");
    let (_, given) = kitchen.fetch("GET /a\nAccept-Language: de", "200 OK\nVary: X\n\nhallo");
    let vary: Vec<&str> = given.lines().filter_map(|line| line.strip_prefix("Vary: ")).collect();
    assert_eq!(vary, ["X", "accept-language"]);
    kitchen.fetch("GET /a\nAccept-Language: en", "200 OK\n\nhello");
    assert_eq!(body(&kitchen.hit("GET /a\nAccept-Language: de")), "hallo");
}

#[test]
fn filters_see_each_answer_and_the_service_whose_route_it_is() {
    let service = crate::door::Upstream::new();
    let address = service.address();
    let door = crate::door::Door::start(&format!(
        "[[route]]\npath = \"/a/*\"\nservice = \"it\"\ncache = {{ fresh = \"1h\" }}\n\
         rewrite = {{ strip-prefix = \"/a\" }}\n\
         response-headers = {{ set = {{ x-id = \"{{request-id}}\" }} }}\n\
         [service.it]\nendpoints = [\"{address}\"]\n"
    ));
    let kitchen = Kitchen { door, service };
    let (asked, first) = kitchen.fetch("GET /a/b", "200 OK\n\nx");
    assert!(asked.starts_with("GET /b "), "{asked}");
    let second = kitchen.hit("GET /a/b");
    assert_ne!(field(&first, "x-id"), field(&second, "x-id"));
    assert!(field(&second, "x-id").is_some());
}

#[test]
fn a_tag_is_made_where_the_service_has_none() {
    let kitchen = Kitchen::new("{ fresh = \"1h\", etag = true }");
    let (_, first) = kitchen.fetch("GET /a", "200 OK\nX: y\n\n0123456789");
    assert_eq!(field(&first, "etag"), None, "its bytes are not known yet");
    let hit = kitchen.hit("GET /a");
    let tag = field(&hit, "etag").expect("one was made").to_owned();
    assert!(tag.starts_with("\"a-") && tag.ends_with('"') && tag.len() == 20, "{tag}");
    let again = kitchen.hit(&format!("GET /a\nIf-None-Match: {tag}"));
    assert!(again.starts_with("HTTP/1.1 304 ") && field(&again, "etag") == Some(&*tag), "{again}");
    let part = kitchen.hit(&format!("GET /a\nRange: bytes=2-3\nIf-Range: {tag}"));
    assert!(part.starts_with("HTTP/1.1 206 ") && body(&part) == "23", "{part}");
    // The service is not asked about what it does not know; the same bytes have the same tag.
    let wish = "GET /a\nCache-Control: no-cache";
    let (asked, _) = kitchen.fetch(wish, "200 OK\nX: y\n\n0123456789");
    assert_eq!(field(&asked, "if-none-match"), None, "{asked}");
    assert_eq!(field(&kitchen.hit("GET /a"), "etag"), Some(&*tag));
    kitchen.fetch(wish, "200 OK\nX: y\n\n0123456780");
    let other = kitchen.hit("GET /a");
    assert!(field(&other, "etag").is_some_and(|other| other != tag), "{other}");
    // Its own is not replaced.
    kitchen.fetch("GET /b", "200 OK\nETag: W/\"1\"\n\nx");
    assert_eq!(field(&kitchen.hit("GET /b"), "etag"), Some("W/\"1\""));
    kitchen.fetch("GET /c", "404 Not Found\nCache-Control: max-age=60\n\nx");
    assert_eq!(field(&kitchen.hit("GET /c"), "etag"), None);
}
