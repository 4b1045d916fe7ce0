//! Files, as clients get them.

use std::fs;
use std::os::unix::fs::symlink;

use super::plain;
use crate::door::{Door, End, Folder};
use crate::wire::{field, text};

/// A door that serves a directory, beside which lies what must not be served.
fn serving(keys: &str) -> Door {
    let folder = Folder::new();
    folder.write("secret", "secret");
    folder.write("public/index.html", "<p>index");
    folder.write("public/a.txt", "0123456789");
    folder.write("public/a.txt.gz", "gzipped");
    folder.write("public/empty.css", "");
    folder.write("public/sub/index.html", "<p>sub");
    folder.write("public/sub/b c.json", "{}");
    folder.write("public/bare/x.svg", "<svg>");
    folder.write("public/.hidden", "secret");
    folder.write("public/.git/config", "secret");
    folder.write("public/.well-known/a", "known");
    folder.write("public/large.bin", vec![b'x'; 3_000_000]);
    folder.write("publicity/secret", "secret");
    let public = folder.path().join("public");
    symlink("a.txt", public.join("link.txt")).expect("a link");
    symlink("../secret", public.join("leak")).expect("a link");
    symlink("..", public.join("up")).expect("a link");
    symlink("/etc", public.join("etc")).expect("a link");
    symlink("loop", public.join("loop")).expect("a link");
    let config = format!(
        "[[route]]\npath = \"/*\"\nfiles = {{ root = \"public\", {keys} }}\n\
         response-headers = {{ set = {{ X-Filter = \"seen\" }} }}\n\
         [[route]]\npath = \"/static/*\"\nfiles = {{ root = \"public\" }}\n\
         rewrite = {{ strip-prefix = \"/static\" }}\n"
    );
    Door::start_in(folder, &config)
}

/// The status and the body that `GET target` gets.
#[track_caller]
fn get(door: &Door, target: &str, fields: &str) -> (String, String) {
    let response = door.ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    (head.to_owned() + "\r\n\r\n", body.to_owned())
}

#[test]
fn files_are_found_by_their_path() {
    let door = serving("");
    for (target, status, media, body) in [
        ("/", 200, "text/html; charset=utf-8", "<p>index"),
        ("/index.html", 200, "text/html; charset=utf-8", "<p>index"),
        ("/a.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/a.txt?query", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/%61.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/sub/../a.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("//a.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/empty.css", 200, "text/css; charset=utf-8", ""),
        ("/sub/", 200, "text/html; charset=utf-8", "<p>sub"),
        ("/sub/b%20c.json", 200, "application/json", "{}"),
        ("/bare/x.svg", 200, "image/svg+xml", "<svg>"),
        ("/.well-known/a", 200, "application/octet-stream", "known"),
        ("/link.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/static/a.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/static/", 200, "text/html; charset=utf-8", "<p>index"),
        // Its relative links do not work: nothing knows any more that the slash is not the client's.
        ("/static", 200, "text/html; charset=utf-8", "<p>index"),
        ("/static/sub/", 200, "text/html; charset=utf-8", "<p>sub"),
    ] {
        let (head, got) = get(&door, target, "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        assert_eq!(field(&head, "content-type"), Some(media), "{target}");
        assert_eq!(got, body, "{target}");
        if !target.starts_with("/static") {
            assert_eq!(field(&head, "x-filter"), Some("seen"), "{target}");
        }
    }
    let (head, _) = get(&door, "/sub?a=b", "");
    assert!(head.starts_with("HTTP/1.1 308 "), "{head}");
    assert_eq!(field(&head, "location"), Some("./sub/?a=b"));
}

#[test]
fn nothing_else_is_found() {
    let door = serving("");
    for (target, status) in [
        ("/none", 404),
        ("/A.TXT", 404),
        ("/a.txt/", 404),
        ("/a.txt/b", 404),
        ("/bare/", 404),
        ("/.hidden", 404),
        ("/%2ehidden", 404),
        ("/.git/config", 404),
        ("/sub/.well-known/a", 404),
        ("/leak", 404),
        ("/up/secret", 404),
        ("/up/", 404),
        ("/up", 404),
        ("/up/public/a.txt", 200),
        ("/etc/passwd", 404),
        ("/loop", 404),
        ("/../secret", 404),
        ("/../publicity/secret", 404),
        ("/%2e%2e/secret", 404),
        ("/static/../../secret", 404),
        ("/static/%2e%2e/%2e%2e/secret", 404),
        ("/..%2fsecret", 400),
        ("/..%5csecret", 400),
        ("/%2e%2e%2fsecret", 400),
        ("/sub%2f..%2f..%2fsecret", 400),
        ("/..;/secret", 400),
        ("/sub%2fb%20c.json", 404),
        ("/sub%5cb", 404),
        ("/a.txt%00.html", 400),
        ("/%ff", 404),
        ("/%0a", 404),
        ("/C:%5csecret", 404),
    ] {
        let (head, body) = get(&door, target, "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        assert!(!body.contains("secret") && !body.contains("root:"), "{target}: {body}");
    }
}

#[test]
fn what_is_no_file_is_not_opened() {
    let door = serving("");
    let fifo = door.folder.path().join("public/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe can be made");
    let socket = door.folder.path().join("public/socket");
    let _socket = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
    for target in ["/pipe", "/socket"] {
        let (head, _) = get(&door, target, "");
        assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {head}");
    }
}

#[test]
fn a_head_gets_a_head() {
    let door = serving("");
    let mut client = door.connect();
    for (target, length) in [("/a.txt", "10"), ("/large.bin", "3000000"), ("/empty.css", "0")] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(field(&head, "content-length"), Some(length));
    }
    client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.read_response().ends_with("\r\n\r\n0123456789"));
}

#[test]
fn conditions_are_kept() {
    let door = serving("cache-control = \"max-age=60\"");
    let (head, _) = get(&door, "/a.txt", "");
    assert_eq!(field(&head, "cache-control"), Some("max-age=60"));
    let etag = field(&head, "etag").expect("an entity tag").to_owned();
    let modified = field(&head, "last-modified").expect("a date").to_owned();
    let before = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{}\r\n", etag.trim_start_matches("W/")), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {before}\r\n"), 200),
        ("If-Modified-Since: nonsense\r\n".to_owned(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), 200),
        (format!("If-Unmodified-Since: {modified}\r\n"), 200),
        (format!("If-Unmodified-Since: {before}\r\n"), 412),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Match: *\r\n".to_owned(), 200),
    ] {
        let (head, body) = get(&door, "/a.txt", &fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {head}");
        if status == 304 {
            assert_eq!(body, "", "{fields}");
            assert_eq!(field(&head, "etag"), Some(&*etag));
            assert_eq!(field(&head, "cache-control"), Some("max-age=60"));
        }
    }
    // A file that changes has another tag.
    door.folder.write("public/a.txt", "changed");
    let (head, body) = get(&door, "/a.txt", &format!("If-None-Match: {etag}\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "changed");
}

#[test]
fn ranges_are_parts() {
    let door = serving("");
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=0-99", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=5-2", 200, "", "0123456789"),
        ("bytes=x", 200, "", "0123456789"),
        ("lines=0-1", 200, "", "0123456789"),
        ("bytes=0-9,0-9", 200, "", "0123456789"),
    ] {
        let (head, got) = get(&door, "/a.txt", &format!("Range: {range}\r\n"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{range}: {head}");
        let expected = (!content_range.is_empty()).then_some(content_range);
        assert_eq!(field(&head, "content-range"), expected, "{range}");
        assert_eq!(got, body, "{range}");
    }
    let (head, body) = get(&door, "/a.txt", "Range: bytes=0-1,8-9\r\n");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    let kind = field(&head, "content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts");
    let kind = "Content-Type: text/plain; charset=utf-8";
    assert_eq!(
        body,
        format!(
            "\r\n--{boundary}\r\n{kind}\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\n{kind}\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
             \r\n--{boundary}--\r\n"
        )
    );
    let (head, body) = get(&door, "/a.txt", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "0123456789", "{head}");
    let (head, body) = get(&door, "/large.bin", "Range: bytes=1000000-2999998\r\n");
    assert!(head.starts_with("HTTP/1.1 206 ") && body.len() == 1_999_999, "{head}");
}

#[test]
fn a_coding_that_lies_beside_the_file_is_sent() {
    let door = serving("precompressed = [\"gzip\"]");
    for (accept, coding, body) in [
        ("", None, "0123456789"),
        ("Accept-Encoding: gzip, br\r\n", Some("gzip"), "gzipped"),
        ("Accept-Encoding: gzip;q=0\r\n", None, "0123456789"),
        ("Accept-Encoding: br\r\n", None, "0123456789"),
    ] {
        let (head, got) = get(&door, "/a.txt", accept);
        assert_eq!((field(&head, "content-encoding"), &*got), (coding, body), "{accept}");
        assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
        assert_eq!(field(&head, "content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn a_page_may_find_its_own_way() {
    let door = serving("fallback = \"index.html\"");
    for (target, fields, status) in [
        ("/some/page", "", 200),
        ("/some/page.html", "Accept: text/html\r\n", 200),
        ("/some/script.js", "", 404),
        ("/leak", "", 200),
    ] {
        let (head, body) = get(&door, target, fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        assert_eq!(body == "<p>index", status == 200, "{target}: {body}");
    }
}

#[test]
fn large_files_arrive_whole_and_keep_the_connection() {
    let door = serving("");
    let mut client = door.connect();
    for version in ["1.1", "1.1", "1.0"] {
        client.send(format!("GET /large.bin HTTP/{version}\r\nHost: h\r\n\r\n"));
        let head = client.read_head();
        assert_eq!(field(&head, "content-length"), Some("3000000"));
        assert!(client.read_exact(3_000_000).iter().all(|&byte| byte == b'x'));
    }
    assert_eq!(client.expect_end(), End::Closed);
    // What is not read is not kept in memory.
    let mut client = door.connect();
    client.narrow();
    client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100));
    client.read_head();
    let before = door.resident_bytes();
    client.read_exact(3_000_000);
    assert!(door.resident_bytes().saturating_sub(before) < 4_000_000);
}

#[test]
fn a_file_that_shrinks_breaks_the_answer_off() {
    let door = serving("");
    let path = door.folder.path().join("public/huge.bin");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(200_000_000).expect("a sparse file");
    let mut client = door.connect();
    client.narrow();
    client.send("GET /huge.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(field(&client.read_head(), "content-length"), Some("200000000"));
    file.set_len(10).expect("it is still there");
    let (rest, end) = client.read_to_end();
    assert!(rest.len() < 200_000_000);
    assert_eq!(end, End::Reset);
}

#[test]
fn a_body_that_nobody_reads_ends_the_connection() {
    let door = serving("");
    let mut client = door.connect();
    client.send(
        "GET /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 39\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: hh\r\n\r\n\r\n",
    );
    let (response, end) = client.read_to_end();
    let response = text(&response);
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    assert_eq!(end, End::Closed);
    assert!(plain(&response).contains("\nConnection: close\n"), "{response}");
}
