//! What makes stored answers invalid.

use super::{Kitchen, body, said, status};
use crate::http::crlf;

const ANSWER: &str = "200 OK\nCache-Control: max-age=600\n\nold";

#[test]
fn the_answer_to_an_unsafe_request_invalidates() {
    let kitchen = Kitchen::new("{}");
    for (request, answer, paths) in [
        ("POST /1", "204 No Content\nX: y", &["/1"][..]),
        ("PUT /2/b", "201 Created\nLocation: /2/a\n\n", &["/2/b", "/2/a"]),
        ("DELETE /3/b", "200 OK\nContent-Location: a\n\n", &["/3/b", "/3/a"]),
        ("BREW /4/b", "303 See Other\nLocation: http://H/4/a#x\n\n", &["/4/b", "/4/a"]),
    ] {
        for path in paths {
            kitchen.fetch(&format!("GET {path}"), ANSWER);
            kitchen.hit(&format!("GET {path}"));
        }
        let (_, given) = kitchen.fetch(request, answer);
        assert_eq!(status(&given), "fwd=method; detail=method");
        for path in paths {
            kitchen.fetch(&format!("GET {path}"), ANSWER);
        }
    }
    // What failed changed nothing; what is elsewhere is not ours to judge.
    kitchen.fetch("GET /5", ANSWER);
    kitchen.fetch("GET /6", ANSWER);
    kitchen.fetch("POST /5", "500 Internal Server Error\n\n");
    kitchen.fetch("POST /7", "201 Created\nLocation: http://other/6\n\n");
    kitchen.hit("GET /5");
    kitchen.hit("GET /6");
}

#[test]
fn groups_go_together() {
    let kitchen = Kitchen::new("{}");
    let grouped = "200 OK\nCache-Control: max-age=600\nCache-Groups: \"news\", \"front\"\n\nx";
    kitchen.fetch("GET /1", grouped);
    kitchen.fetch("GET /2", grouped);
    kitchen.fetch("GET /3", ANSWER);
    kitchen.fetch("POST /4", "204 No Content\nCache-Group-Invalidation: \"News\", \"front\"");
    kitchen.fetch("GET /1", grouped);
    kitchen.fetch("GET /2", grouped);
    kitchen.hit("GET /3");
    // Said in answer to a safe request it says nothing.
    kitchen.fetch("GET /5", "200 OK\nCache-Group-Invalidation: \"front\"\n\nx");
    kitchen.hit("GET /1");
}

#[test]
fn the_answer_to_a_change_names_the_tags_of_what_is_not_true_any_more() {
    let kitchen = Kitchen::new("{}");
    let tagged = "200 OK\nCache-Control: max-age=600\nSurrogate-Key: article-7 front\n\nx";
    kitchen.fetch("GET /1", tagged);
    kitchen.fetch("GET /2", ANSWER);
    let (_, given) =
        kitchen.fetch("PUT /7", "204 No Content\nDoorward-Purge: other, article-7  more");
    assert!(!given.to_ascii_lowercase().contains("doorward-purge"), "it is for us: {given}");
    kitchen.fetch("GET /1", tagged);
    kitchen.hit("GET /2");
    // In answer to what failed, or was safe, it says nothing.
    kitchen.fetch("PUT /7", "500 Internal Server Error\nDoorward-Purge: article-7\n\n");
    kitchen.fetch("GET /7", "200 OK\nDoorward-Purge: article-7\n\nx");
    kitchen.hit("GET /1");
}

#[test]
fn unsafe_requests_invalidate_from_routes_without_a_cache() {
    let service = crate::door::Upstream::new();
    let address = service.address();
    let door = crate::door::Door::start(&format!(
        "[[route]]\npath = \"/*\"\nmethod = \"GET\"\nservice = \"it\"\ncache = {{}}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n\
         [service.it]\nendpoints = [\"{address}\"]\n"
    ));
    let kitchen = Kitchen { door, service };
    kitchen.fetch("GET /a", ANSWER);
    kitchen.hit("GET /a");
    kitchen.fetch("POST /a", "204 No Content\nX: y");
    kitchen.fetch("GET /a", ANSWER);
}

#[test]
fn a_change_during_a_fetch_wins() {
    let kitchen = Kitchen::new("{}");
    let mut early = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    // The service has read the old state; then it is changed.
    kitchen.fetch("POST /a", "204 No Content\nX: y");
    // Whoever asks now must not get what was read before.
    let mut late = kitchen.ask("GET /a");
    service.send(crlf(&said(ANSWER)));
    assert_eq!(body(&early.read_response()), "old");
    let mut again = kitchen.service.accept();
    again.read_request();
    again.send(crlf(&said("200 OK\nCache-Control: max-age=600\n\nnew")));
    assert_eq!(body(&late.read_response()), "new");
    assert_eq!(body(&kitchen.hit("GET /a")), "new");
}

#[test]
fn what_is_purged_softly_is_given_while_it_is_fetched_anew() {
    let kitchen = Kitchen::new("{ tags = [\"page-{query.id}\"] }");
    kitchen.fetch("GET /a?id=7", ANSWER);
    let order = r#"{"tags":["page-7"],"soft":true}"#;
    crate::ops::operate(&kitchen.door, "POST", "/api/purge", order);
    let mut client = kitchen.ask("GET /a?id=7");
    let given = client.read_response();
    assert!(body(&given) == "old" && status(&given).ends_with("detail=purged"), "{given}");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf(&said("200 OK\nCache-Control: max-age=600\n\nnew")));
    while body(&kitchen.hit("GET /a?id=7")) == "old" {}
    let order = r#"{"tags":["page-7"]}"#;
    crate::ops::operate(&kitchen.door, "POST", "/api/purge", order);
    kitchen.fetch("GET /a?id=7", ANSWER);
}

#[test]
fn a_purge_of_what_the_browser_shows_is_one_of_what_is_stored() {
    let kitchen = Kitchen::new("{ key = { query = [\"page\", \"q\"] } }");
    let admin = kitchen.door.admin.to_string();
    let purge = |url: &str| {
        let (code, out, err) =
            crate::ops::cli::run(&kitchen.door.folder, &["purge", url, "--admin", &admin]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let receipt: serde_json::Value = serde_json::from_str(&out).expect("JSON when piped");
        receipt["nodes"][0]["responses"].as_u64()
    };
    for (path, url) in [
        ("/a?page=2&q=x", "http://h/a?utm_source=mail&q=x&page=2#top"),
        ("/stra%C3%9Fe", "http://H:80/stra\u{df}e"),
        ("/a/~b?q=%C3%A4", "http://h/a/./c/../%7eb?q=\u{e4}&fbclid=1"),
    ] {
        kitchen.fetch(&format!("GET {path}"), ANSWER);
        kitchen.hit(&format!("GET {path}"));
        assert_eq!(purge(url), Some(1), "{url}");
        kitchen.fetch(&format!("GET {path}"), ANSWER);
    }
    let varied = |text: &str| format!("200 OK\nCache-Control: max-age=60\nVary: X\n\n{text}");
    kitchen.fetch("GET /v\nX: 1", &varied("1"));
    kitchen.fetch("GET /v\nX: 2", &varied("2"));
    assert_eq!(purge("http://h/v?nothing"), Some(2));
    assert_eq!(purge("http://h/w"), Some(0));
    // Whoever writes uses the address that is shown, too.
    kitchen.fetch("GET /a?q=1", ANSWER);
    kitchen.fetch("POST /a?utm_source=x&q=1", "204 No Content\nX: y");
    kitchen.fetch("GET /a?q=1", ANSWER);
}
