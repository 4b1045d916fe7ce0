//! One request after the other.

use super::{Kitchen, body, status};
use crate::wire::field;

#[test]
fn what_is_fresh_is_given_again() {
    let kitchen = Kitchen::new("{}");
    let answer = "200 OK\nCache-Control: max-age=60\nX-Made: 1\nSurrogate-Key: a b\n\nhello";
    let (_, first) = kitchen.fetch("GET /a", answer);
    assert_eq!(status(&first), "fwd=uri-miss; stored; ttl=60");
    assert!(field(&first, "age").is_none() && field(&first, "surrogate-key").is_none(), "{first}");
    let second = kitchen.hit("GET /a");
    assert!(status(&second).starts_with("hit; ttl="), "{second}");
    assert_eq!((body(&second), field(&second, "x-made")), ("hello", Some("1")));
    assert_eq!(field(&second, "content-length"), Some("5"));
    assert!(field(&second, "age").is_some() && field(&second, "date").is_some(), "{second}");
    let head = kitchen.hit("HEAD /a");
    assert_eq!((body(&head), field(&head, "content-length")), ("", Some("5")));
    kitchen.fetch("GET /a?b", "200 OK\n\nother");
}

#[test]
fn what_the_service_says_is_obeyed() {
    let kitchen = Kitchen::new("{}");
    for (path, fields, told) in [
        ("/1", "Cache-Control: no-store", "fwd=uri-miss; detail=no-store"),
        ("/2", "Cache-Control: private, max-age=60", "fwd=uri-miss; detail=private"),
        ("/3", "Cache-Control: max-age=60\nVary: *", "fwd=uri-miss; detail=vary-star"),
        ("/4", "Cache-Control: max-age=60\nSet-Cookie: a=b", "fwd=uri-miss; detail=set-cookie"),
        ("/5", "X: y", "fwd=uri-miss; detail=no-lifetime"),
        ("/6", "Cache-Control: max-age=60\nAge: 90", "fwd=uri-miss; detail=expired"),
        (
            "/7",
            "CDN-Cache-Control: no-store\nCache-Control: max-age=60",
            "fwd=uri-miss; detail=no-store",
        ),
    ] {
        let request = format!("GET {path}");
        let (_, first) = kitchen.fetch(&request, &format!("200 OK\n{fields}\n\nhello"));
        assert_eq!((status(&first), body(&first)), (told, "hello"), "{fields}");
        // The next one knows that waiting would be in vain, and is answered all the same.
        let (_, second) = kitchen.fetch(&request, &format!("200 OK\n{fields}\n\nagain"));
        assert_eq!((status(&second), body(&second)), (told, "again"), "{fields}");
    }
    let public = "200 OK\nCache-Control: max-age=60, public\nSet-Cookie: a=b\n\nx";
    kitchen.fetch("GET /8", public);
    assert!(status(&kitchen.hit("GET /8")).starts_with("hit"));
}

#[test]
fn what_becomes_cacheable_is_cached_soon() {
    let kitchen = Kitchen::new("{}");
    kitchen.fetch("GET /a", "200 OK\nCache-Control: no-store\n\n1");
    // It is not kept, for the client is answered directly; but it is seen that it could have been.
    kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=60\n\n2");
    kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=60\n\n3");
    assert_eq!(body(&kitchen.hit("GET /a")), "3");
}

#[test]
fn what_is_stale_is_validated() {
    let kitchen = Kitchen::new("{}");
    let stale = "200 OK\nCache-Control: max-age=60\nAge: 90\nETag: \"1\"\nX-A: old\n\nhello";
    kitchen.fetch("GET /a", stale);
    let valid = "304 Not Modified\nETag: \"1\"\nX-A: new\nCache-Control: max-age=60";
    let (asked, second) = kitchen.fetch("GET /a", valid);
    assert_eq!(field(&asked, "if-none-match"), Some("\"1\""));
    assert_eq!(status(&second), "fwd=stale; fwd-status=304; stored; ttl=60");
    assert!(second.starts_with("HTTP/1.1 200 ") && body(&second) == "hello", "{second}");
    let third = kitchen.hit("GET /a");
    assert_eq!((body(&third), field(&third, "x-a")), ("hello", Some("new")));
    // The client's own condition is judged here.
    let fourth = kitchen.hit("GET /a\nIf-None-Match: \"0\", \"1\"");
    assert!(fourth.starts_with("HTTP/1.1 304 ") && field(&fourth, "etag") == Some("\"1\""));
    assert!(kitchen.hit("GET /a\nIf-None-Match: \"2\"").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_condition_of_one_client_does_not_shape_what_others_get() {
    let kitchen = Kitchen::new("{}");
    let answer = "200 OK\nCache-Control: max-age=60\nETag: \"1\"\n\nhello";
    let (asked, first) = kitchen.fetch("GET /a\nIf-None-Match: \"1\"", answer);
    assert!(field(&asked, "if-none-match").is_none(), "{asked}");
    assert!(first.starts_with("HTTP/1.1 304 "), "{first}");
    assert_eq!(body(&kitchen.hit("GET /a")), "hello");
}

#[test]
fn ranges_are_cut_from_the_whole_and_parts_are_joined() {
    let kitchen = Kitchen::new("{}");
    kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=60\nETag: \"1\"\n\n0123456789");
    for (fields, start, bytes) in [
        ("Range: bytes=2-4", "HTTP/1.1 206 ", "234"),
        ("Range: bytes=-3", "HTTP/1.1 206 ", "789"),
        ("Range: bytes=2-4\nIf-Range: \"1\"", "HTTP/1.1 206 ", "234"),
        ("Range: bytes=2-4\nIf-Range: \"2\"", "HTTP/1.1 200 ", "0123456789"),
        ("Range: bytes=20-", "HTTP/1.1 416 ", ""),
        ("Range: bytes=0-1,4-5", "HTTP/1.1 200 ", "0123456789"),
    ] {
        let response = kitchen.hit(&format!("GET /a\n{fields}"));
        assert!(response.starts_with(start) && body(&response) == bytes, "{fields}: {response}");
    }
    let part = |range: &str, bytes: &str| {
        format!(
            "206 Partial Content\nCache-Control: max-age=60\nETag: \"1\"\nContent-Range: bytes {range}/10\n\n{bytes}"
        )
    };
    kitchen.fetch("GET /b\nRange: bytes=0-4", &part("0-4", "01234"));
    let some = kitchen.hit("GET /b\nRange: bytes=1-2");
    assert_eq!((field(&some, "content-range"), body(&some)), (Some("bytes 1-2/10"), "12"));
    // The whole is the part that is here, and the rest.
    let (asked, whole) = kitchen.fetch("GET /b", &part("5-9", "56789"));
    assert_eq!(field(&asked, "range"), Some("bytes=5-"));
    assert_eq!(field(&asked, "if-range"), Some("\"1\""));
    assert!(whole.starts_with("HTTP/1.1 200 ") && body(&whole) == "0123456789", "{whole}");
    assert_eq!(body(&kitchen.hit("GET /b")), "0123456789");
    // What has not as many bytes as it says is passed on, and that is all.
    for bytes in ["0123", "012345"] {
        let (_, wrong) = kitchen.fetch("GET /d\nRange: bytes=0-4", &part("0-4", bytes));
        assert_eq!((status(&wrong), body(&wrong)), ("fwd=uri-miss; detail=partial", bytes));
    }
    kitchen.fetch("GET /c\nRange: bytes=0-4", &part("0-4", "01234"));
    let (_, more) = kitchen.fetch("GET /c\nRange: bytes=3-7", &part("3-7", "34567"));
    assert_eq!(status(&more), "fwd=partial; stored; ttl=60");
    assert_eq!(body(&kitchen.hit("GET /c\nRange: bytes=1-6")), "123456");
}

#[test]
fn variants_lie_side_by_side() {
    let kitchen = Kitchen::new("{}");
    let answer =
        |text: &str| format!("200 OK\nCache-Control: max-age=60\nVary: Accept-Language\n\n{text}");
    kitchen.fetch("GET /a\nAccept-Language: de, en;q=0.5", &answer("hallo"));
    let (_, english) = kitchen.fetch("GET /a\nAccept-Language: en", &answer("hello"));
    assert_eq!(status(&english), "fwd=vary-miss; stored; ttl=60");
    assert_eq!(body(&kitchen.hit("GET /a\nAccept-Language: en;q=0.5,DE")), "hallo");
    assert_eq!(body(&kitchen.hit("GET /a\nAccept-Language: en")), "hello");
    kitchen.fetch("GET /a", &answer("hello?"));
}

#[test]
fn a_stale_answer_is_better_than_to_wait_or_none() {
    let kitchen = Kitchen::new("{ stale-while-revalidate = \"1h\", stale-if-error = \"1h\" }");
    let stale = "200 OK\nCache-Control: max-age=60\nAge: 90\n\nold";
    kitchen.fetch("GET /a", stale);
    let mut client = kitchen.ask("GET /a");
    let given = client.read_response();
    assert!(status(&given).starts_with("hit; ttl=-"), "{given}");
    assert!(status(&given).ends_with("; detail=stale-while-revalidate"), "{given}");
    let mut service = kitchen.service.accept();
    service.read_request();
    // Whoever comes meanwhile gets the old one too, and causes nothing.
    assert_eq!(body(&kitchen.hit("GET /a")), "old");
    service.send(crate::http::crlf(&super::said("200 OK\nCache-Control: max-age=60\n\nnew")));
    while body(&kitchen.hit("GET /a")) == "old" {}

    let erring = "{ stale-if-error = \"1h\" }";
    let kitchen = Kitchen::new(erring);
    kitchen.fetch("GET /a", stale);
    let (_, given) = kitchen.fetch("GET /a", "500 Internal Server Error\n\nsorry");
    assert!(given.starts_with("HTTP/1.1 200 ") && body(&given) == "old", "{given}");
    assert!(status(&given).starts_with("fwd=stale; fwd-status=500; ttl=-"), "{given}");
    // What must not be given stale is not.
    let strict = "200 OK\nCache-Control: max-age=60, must-revalidate\nAge: 90\nETag: \"1\"\n\nold";
    kitchen.fetch("GET /b", strict);
    let (_, given) = kitchen.fetch("GET /b", "500 Internal Server Error\n\nsorry");
    assert!(given.starts_with("HTTP/1.1 500 "), "{given}");
    // Nobody is there at all.
    let Kitchen { door, service } = kitchen;
    drop(service);
    let given = door.ask("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(body(&given) == "old" && status(&given).contains("detail=stale-if-error"), "{given}");
    assert!(!given.contains("fwd-status"), "there was no answer that had one: {given}");
}

#[test]
fn clients_may_want_more_than_what_is_fresh() {
    let kitchen = Kitchen::new("{}");
    let answer = "200 OK\nCache-Control: max-age=60\nETag: \"1\"\n\nhello";
    kitchen.fetch("GET /a", answer);
    let still = "304 Not Modified\nETag: \"1\"";
    for wish in ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"] {
        let (asked, given) = kitchen.fetch(&format!("GET /a\n{wish}"), still);
        assert!(field(&asked, "if-none-match").is_some(), "{asked}");
        assert!(status(&given).starts_with("fwd=request; fwd-status=304"), "{wish}: {given}");
    }
    let (_, given) = kitchen.fetch("GET /a\nCache-Control: min-fresh=90", still);
    assert!(status(&given).starts_with("fwd=request; fwd-status=304"), "{given}");
    let (_, given) = kitchen.fetch("GET /a\nCache-Control: no-store", "200 OK\n\nother");
    assert_eq!((status(&given), body(&given)), ("fwd=request; detail=request-no-store", "other"));
    let given = kitchen.hit("GET /b\nCache-Control: only-if-cached");
    assert!(given.starts_with("HTTP/1.1 504 "), "{given}");
    assert_eq!(status(&given), "detail=only-if-cached");
    assert_eq!(body(&kitchen.hit("GET /a\nCache-Control: only-if-cached")), "hello");
}

#[test]
fn authorized_answers_are_for_all_only_if_they_say_so() {
    let kitchen = Kitchen::new("{}");
    let request = "GET /a\nAuthorization: Basic eA==";
    let (_, given) = kitchen.fetch(request, "200 OK\nCache-Control: max-age=60\n\nmine");
    assert_eq!(status(&given), "fwd=uri-miss; detail=authorization");
    kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=60\n\nyours");
    let request = "GET /b\nAuthorization: Basic eA==";
    kitchen.fetch(request, "200 OK\nCache-Control: max-age=60, public\n\nours");
    assert_eq!(body(&kitchen.hit("GET /b")), "ours");
}

#[test]
fn interim_responses_pass_and_are_not_stored() {
    let kitchen = Kitchen::new("{}");
    let mut client = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crate::http::crlf("HTTP/1.1 103 Early Hints\nLink: </a>; rel=preload\n\n"));
    let hints = client.read_head();
    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    service.send(crate::http::crlf(&super::said("200 OK\nCache-Control: max-age=60\n\nhello")));
    assert_eq!(body(&client.read_response()), "hello");
    assert!(kitchen.hit("GET /a").starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_head_of_a_head_updates_what_is_stored() {
    let kitchen = Kitchen::new("{}");
    let stale = "200 OK\nCache-Control: max-age=60\nAge: 90\nETag: \"1\"\n\nhello";
    kitchen.fetch("GET /a", stale);
    let fresh = "200 OK\nCache-Control: max-age=60\nETag: \"1\"\nContent-Length: 5";
    let (asked, _) = kitchen.fetch("HEAD /a", fresh);
    assert!(asked.starts_with("HEAD /a "), "{asked}");
    assert_eq!(body(&kitchen.hit("GET /a")), "hello");
    kitchen.fetch("GET /b", stale);
    kitchen.fetch("HEAD /b", "200 OK\nCache-Control: max-age=60\nETag: \"2\"\nContent-Length: 5");
    let (asked, _) = kitchen.fetch("GET /b", "200 OK\n\nother");
    assert!(field(&asked, "if-none-match").is_none(), "{asked}");
}

#[test]
fn what_ends_with_its_connection_is_kept_whole() {
    let kitchen = Kitchen::new("{}");
    for (path, field) in [("/a", "X: y"), ("/b", "Transfer-Encoding: identity")] {
        let mut client = kitchen.ask(&format!("GET {path}"));
        let mut service = kitchen.service.accept();
        service.read_request();
        service.send(crate::http::crlf(&format!(
            "HTTP/1.1 200 OK\nCache-Control: max-age=60\n{field}\n\nhel"
        )));
        service.send("lo");
        drop(service);
        client.read_head();
        assert_eq!(crate::http::streams::data(&mut client), b"hello");
        let again = kitchen.hit(&format!("GET {path}"));
        assert_eq!((body(&again), super::field(&again, "transfer-encoding")), ("hello", None));
    }
    // Nobody knows what this is.
    let coded = "200 OK\nCache-Control: max-age=60\nTransfer-Encoding: gzip\nX: y";
    let mut client = kitchen.ask("GET /c");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crate::http::crlf(&format!("HTTP/1.1 {coded}\n\nhello")));
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
}
