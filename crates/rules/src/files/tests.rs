//! Files are tested as text: what is asked, what is there, and what is answered.

use std::time::{Duration, UNIX_EPOCH};

use expect_test::{Expect, expect};

use super::{Found, Part};
use crate::harness::{compile, cx, head};
use crate::{Rules, Verdict};

fn rules(keys: &str) -> Rules {
    let config = format!("[[route]]\npath = '/*'\nfiles = {{ root = 'public', {keys} }}\n");
    let (report, rules) = compile(&config);
    rules.unwrap_or_else(|| panic!("{report}"))
}

/// Answers `requests` from a directory in which there are `files` (`name` or `name/`), each of 1000
/// bytes, last written on 2026-01-02 03:04:05.
#[track_caller]
fn check(keys: &str, files: &[&str], requests: &str, expect: Expect) {
    let rules = rules(keys);
    let mut out = String::new();
    for line in requests.lines().map(str::trim) {
        out += &format!("{line}\n{}", answer(&rules, files, line));
    }
    expect.assert_eq(&out);
}

fn answer(rules: &Rules, there: &[&str], line: &str) -> String {
    let (mut head, mut cx) = (head(line), cx());
    let verdict = rules.decide(&mut head, &mut cx);
    let (files, candidates) = match verdict {
        Verdict::Files { files, candidates, .. } => (files, candidates),
        Verdict::Fault { fault, allow, .. } => {
            return format!("  {} {}\n", fault.status(), allow.unwrap_or_default());
        }
        other => panic!("{other:?}"),
    };
    for candidate in &candidates {
        let found = if there.contains(&&*candidate.path) {
            let modified = Some(UNIX_EPOCH + Duration::new(1_767_323_045, 500));
            Found::File { bytes: 1000, modified }
        } else if there.contains(&&*format!("{}/", candidate.path)) {
            Found::Directory
        } else {
            Found::Nothing
        };
        let Some(answer) = files.answer(candidate, found, &head, &mut cx) else {
            continue;
        };
        let mut text = format!("  {} {}\n", answer.status, candidate.path);
        for (name, value) in &answer.fields {
            text += &format!("    {name}: {}\n", String::from_utf8_lossy(value));
        }
        let bytes = answer.bytes.map_or("none".to_owned(), |bytes| bytes.to_string());
        text += &format!("    => {bytes}");
        for part in &answer.parts {
            match part {
                Part::Bytes(bytes) => text += &format!(" {:?}", String::from_utf8_lossy(bytes)),
                Part::File(range) => text += &format!(" {range:?}"),
            }
        }
        if let (Some(bytes), false) = (answer.bytes, answer.parts.is_empty()) {
            assert_eq!(bytes, answer.parts.iter().map(Part::bytes).sum::<u64>());
        }
        return text + "\n";
    }
    "  404 tried all\n".to_owned()
}

#[test]
fn names_are_plain_or_refused() {
    check(
        "",
        &["a.txt", "a b", "b\u{e4}", ".well-known/x", ".env", "d/.git/x", "..", "C:"],
        "GET h /a.txt
         GET h //a.txt
         GET h /%61%2Etxt
         GET h /a%20b
         GET h /b%C3%A4
         GET h /b%E4
         GET h /.well-known/x
         GET h /.env
         GET h /%2eenv
         GET h /d/.git/x
         GET h /a%0A.txt
         GET h /d%2Fa.txt
         GET h /d%5Ca.txt
         GET h /%2541.txt
         POST h /a.txt
         HEAD h /a.txt",
        expect![[r#"
            GET h /a.txt
              200 a.txt
                content-type: text/plain; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h //a.txt
              200 a.txt
                content-type: text/plain; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /%61%2Etxt
              200 a.txt
                content-type: text/plain; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /a%20b
              200 a b
                content-type: application/octet-stream
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /b%C3%A4
              200 bä
                content-type: application/octet-stream
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /b%E4
              404 
            GET h /.well-known/x
              200 .well-known/x
                content-type: application/octet-stream
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /.env
              404 
            GET h /%2eenv
              404 
            GET h /d/.git/x
              404 
            GET h /a%0A.txt
              404 
            GET h /d%2Fa.txt
              404 
            GET h /d%5Ca.txt
              404 
            GET h /%2541.txt
              404 tried all
            POST h /a.txt
              405 GET, HEAD
            HEAD h /a.txt
              200 a.txt
                content-type: text/plain; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000
        "#]],
    );
}

#[test]
fn directories_have_a_slash_and_an_index() {
    check(
        "fallback = 'app.html'",
        &["d/", "d/index.html", "a:b/", "app.html"],
        "GET h /d
         GET h /d/
         GET h /d?x=//y
         GET h //evil.example
         GET h /a:b
         GET h /no/such/page
         GET h /no/such.js
         GET h /no/such.js Accept: text/html",
        expect![[r#"
            GET h /d
              308 d
                location: ./d/
                => 0
            GET h /d/
              200 d/index.html
                content-type: text/html; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /d?x=//y
              308 d
                location: ./d/?x=//y
                => 0
            GET h //evil.example
              404 tried all
            GET h /a:b
              308 a:b
                location: ./a:b/
                => 0
            GET h /no/such/page
              200 app.html
                content-type: text/html; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /no/such.js
              404 tried all
            GET h /no/such.js Accept: text/html
              200 app.html
                content-type: text/html; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
        "#]],
    );
    check(
        "index = ''",
        &["d/", "d/index.html"],
        "GET h /d/\nGET h /",
        expect![[r#"
            GET h /d/
              404 
            GET h /
              404 
        "#]],
    );
}

#[test]
fn the_best_coding_that_is_there_is_sent() {
    check(
        "precompressed = ['br', 'zstd', 'gzip'], cache-control = 'public, max-age=60'",
        &["a.js", "a.js.gz", "a.js.br", "b.js"],
        "GET h /a.js Accept-Encoding: gzip, br, zstd
         GET h /a.js Accept-Encoding: gzip;q=1.0, br;q=0.5
         GET h /a.js Accept-Encoding: br;q=0, *
         GET h /a.js Accept-Encoding: identity
         GET h /a.js
         GET h /b.js Accept-Encoding: br
         GET h /a.js.gz",
        expect![[r#"
            GET h /a.js Accept-Encoding: gzip, br, zstd
              200 a.js.br
                content-type: text/javascript; charset=utf-8
                content-encoding: br
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4-br"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /a.js Accept-Encoding: gzip;q=1.0, br;q=0.5
              200 a.js.gz
                content-type: text/javascript; charset=utf-8
                content-encoding: gzip
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4-gzip"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /a.js Accept-Encoding: br;q=0, *
              200 a.js.gz
                content-type: text/javascript; charset=utf-8
                content-encoding: gzip
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4-gzip"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /a.js Accept-Encoding: identity
              200 a.js
                content-type: text/javascript; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /a.js
              200 a.js
                content-type: text/javascript; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /b.js Accept-Encoding: br
              200 b.js
                content-type: text/javascript; charset=utf-8
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
            GET h /a.js.gz
              200 a.js.gz
                content-type: application/gzip
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                cache-control: public, max-age=60
                vary: Accept-Encoding
                => 1000 0..1000
        "#]],
    );
}

#[test]
fn ranges_are_cut_out() {
    check(
        "",
        &["v.mp4"],
        "GET h /v.mp4 Range: bytes=0-99
         GET h /v.mp4 Range: bytes=-1
         GET h /v.mp4 Range: bytes=1000-
         GET h /v.mp4 Range: bytes=0-0,10-19
         HEAD h /v.mp4 Range: bytes=0-99
         GET h /v.mp4 Range: bytes=0-99; If-Range: Fri, 02 Jan 2026 03:04:05 GMT
         GET h /v.mp4 Range: bytes=0-99; If-Range: Fri, 02 Jan 2026 03:04:06 GMT
         GET h /v.mp4 Range: bytes=0-99; If-Range: \"x\"",
        expect![[r#"
            GET h /v.mp4 Range: bytes=0-99
              206 v.mp4
                content-type: video/mp4
                content-range: bytes 0-99/1000
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 100 0..100
            GET h /v.mp4 Range: bytes=-1
              206 v.mp4
                content-type: video/mp4
                content-range: bytes 999-999/1000
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1 999..1000
            GET h /v.mp4 Range: bytes=1000-
              416 v.mp4
                content-range: bytes */1000
                => 0
            GET h /v.mp4 Range: bytes=0-0,10-19
              206 v.mp4
                content-type: multipart/byteranges; boundary=80000000000000000000000000000000
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 245 "\r\n--80000000000000000000000000000000\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-0/1000\r\n\r\n" 0..1 "\r\n--80000000000000000000000000000000\r\nContent-Type: video/mp4\r\nContent-Range: bytes 10-19/1000\r\n\r\n" 10..20 "\r\n--80000000000000000000000000000000--\r\n"
            HEAD h /v.mp4 Range: bytes=0-99
              200 v.mp4
                content-type: video/mp4
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000
            GET h /v.mp4 Range: bytes=0-99; If-Range: Fri, 02 Jan 2026 03:04:05 GMT
              206 v.mp4
                content-type: video/mp4
                content-range: bytes 0-99/1000
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 100 0..100
            GET h /v.mp4 Range: bytes=0-99; If-Range: Fri, 02 Jan 2026 03:04:06 GMT
              200 v.mp4
                content-type: video/mp4
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
            GET h /v.mp4 Range: bytes=0-99; If-Range: "x"
              200 v.mp4
                content-type: video/mp4
                accept-ranges: bytes
                etag: "3e8-1886caf21c9633f4"
                last-modified: Fri, 02 Jan 2026 03:04:05 GMT
                => 1000 0..1000
        "#]],
    );
}

#[test]
fn conditions_are_judged_in_order() {
    let tag = {
        let found = answer(&rules(""), &["a"], "GET h /a");
        let line = found.lines().find(|line| line.contains("etag")).expect("a tag");
        line.split_once(": ").expect("name: value").1.to_owned()
    };
    let (old, same, new) = (
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "Sat, 03 Jan 2026 00:00:00 GMT",
    );
    for (fields, expect) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: W/{tag}"), 304),
        (format!("If-None-Match: \"a,b\", {tag}"), 304),
        ("If-None-Match: *".to_owned(), 304),
        ("If-None-Match: \"x\"".to_owned(), 200),
        ("If-None-Match: nonsense".to_owned(), 200),
        (format!("If-None-Match: \"x\"; If-Modified-Since: {same}"), 200),
        (format!("If-Modified-Since: {same}"), 304),
        (format!("If-Modified-Since: {new}"), 304),
        (format!("If-Modified-Since: {old}"), 200),
        ("If-Modified-Since: yesterday".to_owned(), 200),
        (format!("If-Match: {tag}"), 200),
        (format!("If-Match: W/{tag}"), 412),
        ("If-Match: *".to_owned(), 200),
        ("If-Match: \"x\"".to_owned(), 412),
        (format!("If-Match: {tag}; If-Unmodified-Since: {old}"), 200),
        (format!("If-Unmodified-Since: {same}"), 200),
        (format!("If-Unmodified-Since: {old}"), 412),
        (format!("If-Match: \"x\"; If-None-Match: {tag}"), 412),
        (format!("If-None-Match: {tag}; Range: bytes=0-1"), 304),
        (format!("If-Match: {tag}; Range: bytes=0-1"), 206),
        (format!("If-Range: {tag}; Range: bytes=0-1"), 206),
        (format!("If-Range: W/{tag}; Range: bytes=0-1"), 200),
        ("If-Match: \"x\"; Range: bytes=5000-".to_owned(), 412),
    ] {
        let line = format!("GET h /a {fields}");
        let found = answer(&rules(""), &["a"], &line);
        assert!(found.trim_start().starts_with(&expect.to_string()), "{line}\n{found}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (report, _) = compile(
        "[[route]]\npath = '/a'\nfiles = { root = '' }\n\
         [[route]]\npath = '/b'\nfiles = { root = 'x', index = '../x', fallback = '/x' }\n\
         [[route]]\npath = '/c'\nfiles = { root = 'x', precompressed = ['deflate'] }\n",
    );
    expect![[r#"
        doorward.toml:3:18: `root` is empty
           3 | files = { root = '' }
             |                  ^^ write "." for this directory
        doorward.toml:6:31: `../x` is not a file below `root`
           6 | files = { root = 'x', index = '../x', fallback = '/x' }
             |                               ^^^^^^ write its path relative to `root`: "index.html"
        doorward.toml:6:50: `/x` is not a file below `root`
           6 | files = { root = 'x', index = '../x', fallback = '/x' }
             |                                                  ^^^^ write its path relative to `root`: "index.html"
        doorward.toml:9:40: `deflate` is not one of "zstd", "br", "gzip"
           9 | files = { root = 'x', precompressed = ['deflate'] }
             |                                        ^^^^^^^^^
    "#]].assert_eq(&report.to_string());
}
