//! Answers in, answers out.

use std::fmt::Write;

use config::Report;
use expect_test::{Expect, expect};

use super::*;
use crate::harness::{compile, cx, head};

fn compress() -> Compress {
    let config = CompressConfig::default();
    let mut report = Report::new();
    let mut scope = Scope { report: &mut report, params: &[], params_used: false };
    Compress::build(&config.into(), &mut scope).expect("defaults are right")
}

/// Each line of `answers` is `status fields... <- fields of the request`; fields are parted by `; `.
#[track_caller]
fn check(answers: &str, expect: Expect) {
    let filter = compress();
    let mut out = String::new();
    for line in answers.lines().map(str::trim) {
        let (answer, asked) = line.split_once(" <- ").expect("an answer and its request");
        let (mut request, mut cx) = (head(&format!("GET h / {asked}")), cx());
        let _ = filter.on_request(&mut request, &mut cx);
        let (status, fields) = answer.split_once(' ').unwrap_or((answer, ""));
        let mut response = ResponseHead::new(status.parse().expect("a status"));
        for field in fields.split("; ").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(": ").expect("name: value");
            response.fields.push(name, value.as_bytes());
        }
        let why = filter.on_response(&mut response, &request, &mut cx);
        let _ = writeln!(out, "{line}\n  {why}, {:?}", cx.encode.map(|e| (e.coding, e.live)));
        for (name, value) in response.fields.iter() {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            let _ = writeln!(out, "  {name}: {value}");
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn what_gains_is_compressed_and_says_so() {
    check(
        "200 Content-Type: text/html; Content-Length: 5000; ETag: \"a\"; Accept-Ranges: bytes <- Accept-Encoding: gzip, br
         200 Content-Type: application/vnd.api+json;charset=utf-8; Vary: Origin <- Accept-Encoding: gzip
         200 Content-Type: text/event-stream; Vary: accept-encoding <- Accept-Encoding: zstd
         404 Content-Type: TEXT/Plain; ETag: W/\"a\" <- Accept-Encoding: *
         200 Content-Type: text/html; Content-Length: 5000 <- Accept: */*
         304 ETag: \"a\" <- Accept-Encoding: gzip",
        expect![[r#"
            200 Content-Type: text/html; Content-Length: 5000; ETag: "a"; Accept-Ranges: bytes <- Accept-Encoding: gzip, br
              it is compressed, Some((Br, false))
              Content-Type: text/html
              Vary: Accept-Encoding
              Content-Encoding: br
              ETag: W/"a"
            200 Content-Type: application/vnd.api+json;charset=utf-8; Vary: Origin <- Accept-Encoding: gzip
              it is compressed, Some((Gzip, true))
              Content-Type: application/vnd.api+json;charset=utf-8
              Vary: Origin
              Vary: Accept-Encoding
              Content-Encoding: gzip
            200 Content-Type: text/event-stream; Vary: accept-encoding <- Accept-Encoding: zstd
              it is compressed, Some((Zstd, true))
              Content-Type: text/event-stream
              Vary: accept-encoding
              Content-Encoding: zstd
            404 Content-Type: TEXT/Plain; ETag: W/"a" <- Accept-Encoding: *
              it is compressed, Some((Zstd, true))
              Content-Type: TEXT/Plain
              ETag: W/"a"
              Vary: Accept-Encoding
              Content-Encoding: zstd
            200 Content-Type: text/html; Content-Length: 5000 <- Accept: */*
              the client takes no coding, None
              Content-Type: text/html
              Content-Length: 5000
              Vary: Accept-Encoding
            304 ETag: "a" <- Accept-Encoding: gzip
              nothing was changed, None
              Vary: Accept-Encoding
              ETag: W/"a"
        "#]],
    );
}

#[test]
fn what_does_not_gain_or_must_not_change_stays_as_it_is() {
    check(
        "200 Content-Type: text/html; Content-Length: 1023 <- Accept-Encoding: gzip
         200 Content-Type: image/png; Content-Length: 5000 <- Accept-Encoding: gzip
         200 Content-Length: 5000 <- Accept-Encoding: gzip
         200 Content-Type: text/html; Content-Encoding: br <- Accept-Encoding: gzip
         200 Content-Type: text/html; Cache-Control: public, No-Transform <- Accept-Encoding: gzip
         200 Content-Type: text/html <- Accept-Encoding: gzip; Cache-Control: no-transform
         200 Content-Type: text/html; Repr-Digest: sha-256=:a: <- Accept-Encoding: gzip
         206 Content-Type: text/html; Content-Range: bytes 0-1/9 <- Accept-Encoding: gzip
         204 Content-Type: text/html <- Accept-Encoding: gzip
         304 ETag: \"a\" <- Accept: */*",
        expect![[r#"
            200 Content-Type: text/html; Content-Length: 1023 <- Accept-Encoding: gzip
              it is small, None
              Content-Type: text/html
              Content-Length: 1023
            200 Content-Type: image/png; Content-Length: 5000 <- Accept-Encoding: gzip
              its type gains nothing, None
              Content-Type: image/png
              Content-Length: 5000
            200 Content-Length: 5000 <- Accept-Encoding: gzip
              its type gains nothing, None
              Content-Length: 5000
            200 Content-Type: text/html; Content-Encoding: br <- Accept-Encoding: gzip
              the service has encoded it, None
              Content-Type: text/html
              Content-Encoding: br
            200 Content-Type: text/html; Cache-Control: public, No-Transform <- Accept-Encoding: gzip
              `no-transform` forbids it, None
              Content-Type: text/html
              Cache-Control: public, No-Transform
            200 Content-Type: text/html <- Accept-Encoding: gzip; Cache-Control: no-transform
              `no-transform` forbids it, None
              Content-Type: text/html
            200 Content-Type: text/html; Repr-Digest: sha-256=:a: <- Accept-Encoding: gzip
              a digest speaks of the bytes as they are, None
              Content-Type: text/html
              Repr-Digest: sha-256=:a:
            206 Content-Type: text/html; Content-Range: bytes 0-1/9 <- Accept-Encoding: gzip
              it is a part of something, None
              Content-Type: text/html
              Content-Range: bytes 0-1/9
              Vary: Accept-Encoding
            204 Content-Type: text/html <- Accept-Encoding: gzip
              there is no body, None
              Content-Type: text/html
            304 ETag: "a" <- Accept: */*
              nothing was changed, None
              ETag: "a"
              Vary: Accept-Encoding
        "#]],
    );
}

#[test]
fn what_is_wrong_is_said() {
    let text = "[[route]]\npath = '/'\nservice = 'a'\ncompress = { codings = [], min = '1KiB' }\n\
                [[route]]\npath = '/b'\nservice = 'a'\n\
                compress = { types = ['html', 'a/*/*', 'text/html; q=1'] }\n\
                [service.a]\nendpoints = ['127.0.0.1:1']\n";
    let (report, _) = compile(text);
    expect![[r#"
        doorward.toml:4:24: no coding is offered
           4 | compress = { codings = [], min = '1KiB' }
             |                        ^^ name `"zstd"`, `"br"` or `"gzip"`, or remove `compress`
        doorward.toml:8:23: `html` is no media type
           8 | compress = { types = ['html', 'a/*/*', 'text/html; q=1'] }
             |                       ^^^^^^ write one as `text/html`, `text/*` or `*+json`, without parameters
        doorward.toml:8:31: `a/*/*` is no media type
           8 | compress = { types = ['html', 'a/*/*', 'text/html; q=1'] }
             |                               ^^^^^^^ write one as `text/html`, `text/*` or `*+json`, without parameters
        doorward.toml:8:40: `text/html; q=1` is no media type
           8 | compress = { types = ['html', 'a/*/*', 'text/html; q=1'] }
             |                                        ^^^^^^^^^^^^^^^^ write one as `text/html`, `text/*` or `*+json`, without parameters
    "#]].assert_eq(&report.to_string());
}
