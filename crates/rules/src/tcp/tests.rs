//! Entries as text, and which one takes a connection.

use config::Report;
use expect_test::{Expect, expect};

use super::{Beginning, Tcp, TcpText};
use crate::ServiceId;

/// Compiles entries, one `<listen> <sni or -> <service>` a line.
fn build(text: &str) -> (Report, Tcp) {
    let mut report = Report::new();
    let source: String = text
        .lines()
        .map(|line| {
            let [listen, sni, service] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("bad line: {line}")
            };
            let sni = if sni == "-" { String::new() } else { format!("sni = \"{sni}\"\n") };
            format!("[[tcp]]\nlisten = \"{listen}\"\n{sni}service = \"{service}\"\n")
        })
        .collect();
    let value = report.parse("doorward.toml", &source);
    let tables = value.as_table().and_then(|table| table.find("tcp"));
    let tables = tables.and_then(|entry| entry.value.as_array()).unwrap_or_default();
    let mut texts = Vec::new();
    for table in tables {
        let keys = table.as_table().expect("a table");
        let word = |key: &str| {
            let entry = keys.find(key)?;
            let text = entry.value.as_str().expect("a string").to_owned();
            Some(config::At::new(text, entry.value.place()))
        };
        texts.push(TcpText {
            place: table.place(),
            listen: word("listen").expect("an address").parse().expect("an address"),
            sni: word("sni"),
            service: word("service").expect("a name"),
            proxy_protocol: false,
            idle: None,
            connections_max: None,
        });
    }
    let names = ["one", "two", "three", "four"];
    let tcp = Tcp::build(&texts, &mut report, |name, _, _| {
        let at = names.iter().position(|known| *known == name.as_str());
        at.and_then(|at| u32::try_from(at).ok()).map(ServiceId)
    });
    (report, tcp)
}

#[track_caller]
fn finds(entries: &str, connections: &[(&str, Beginning<'_>)], expected: Expect) {
    let (report, tcp) = build(entries);
    assert!(report.is_clean(), "{report}");
    let mut out = String::new();
    for (listen, beginning) in connections {
        let listen = listen.parse().expect("an address");
        let found = match tcp.find(listen, *beginning) {
            Ok((id, why)) => format!("{:?}: {why}", tcp.entry(id).sni),
            Err(fault) => format!("{}: {}", fault.slug(), fault.reason()),
        };
        out += &format!("{beginning:?} => {found}\n");
    }
    expected.assert_eq(&out);
}

#[test]
fn the_most_specific_entry_takes_a_connection() {
    let named = |name| ("127.0.0.1:1", Beginning::Tls(Some(name)));
    finds(
        "127.0.0.1:1 - one\n127.0.0.1:1 *.example.com two\n127.0.0.1:1 *.b.example.com three\n\
         127.0.0.1:1 A.example.com four",
        &[
            named("a.example.com"),
            named("b.example.com"),
            named("c.example.com"),
            named("a.b.example.com"),
            named("a.b.c.example.com"),
            named("example.com"),
            ("127.0.0.1:1", Beginning::Tls(None)),
            ("127.0.0.1:1", Beginning::Plain),
        ],
        expect![[r#"
            Tls(Some("a.example.com")) => Some("a.example.com"): the entry has this very name
            Tls(Some("b.example.com")) => Some("*.example.com"): the entry has the longest wildcard for the name
            Tls(Some("c.example.com")) => Some("*.example.com"): the entry has the longest wildcard for the name
            Tls(Some("a.b.example.com")) => Some("*.b.example.com"): the entry has the longest wildcard for the name
            Tls(Some("a.b.c.example.com")) => Some("*.example.com"): the entry has the longest wildcard for the name
            Tls(Some("example.com")) => None: no entry has the name
            Tls(None) => None: the client names no server
            Plain => None: the entry takes every connection
        "#]],
    );
}

#[test]
fn without_a_fallback_no_other_connection_is_taken() {
    finds(
        "127.0.0.1:1 a.example.com one\n127.0.0.1:2 b.example.com two",
        &[
            ("127.0.0.1:1", Beginning::Tls(Some("a.example.com"))),
            ("127.0.0.1:1", Beginning::Tls(Some("b.example.com"))),
            ("127.0.0.1:1", Beginning::Tls(None)),
            ("127.0.0.1:1", Beginning::Plain),
            ("127.0.0.1:3", Beginning::Tls(Some("a.example.com"))),
        ],
        expect![[r#"
            Tls(Some("a.example.com")) => Some("a.example.com"): the entry has this very name
            Tls(Some("b.example.com")) => unrecognized-name: no entry is for the server that the client names
            Tls(None) => unrecognized-name: no entry is for the server that the client names
            Plain => unrecognized-name: no entry is for the server that the client names
            Tls(Some("a.example.com")) => unrecognized-name: no entry is for the server that the client names
        "#]],
    );
}

#[test]
fn only_listeners_that_have_names_look_for_one() {
    let (_, tcp) = build("127.0.0.1:1 - one\n127.0.0.1:2 *.example.com two\n127.0.0.1:2 - one");
    let wants = |listen: &str| tcp.wants_name(listen.parse().expect("an address"));
    assert_eq!([wants("127.0.0.1:1"), wants("127.0.0.1:2")], [false, true]);
}

#[test]
fn what_two_entries_would_take_is_a_problem() {
    let (report, _) = build(
        "127.0.0.1:1 - one\n127.0.0.1:1 - two\n127.0.0.1:1 a.example one\n127.0.0.1:1 A.example two\n\
         127.0.0.1:1 10.0.0.1 one\n127.0.0.1:1 a..example one\n127.0.0.1:1 * one",
    );
    expect![[r#"
        doorward.toml:4:1: `127.0.0.1:1` has an entry without `sni` already
           4 | [[tcp]]
             | ^^^^^^^ give one of them an `sni`
             = the first one is at doorward.toml:1:1
        doorward.toml:13:7: `127.0.0.1:1` has an entry for `A.example` already
          13 | sni = "A.example"
             |       ^^^^^^^^^^^
             = the first one is at doorward.toml:9:7
        doorward.toml:17:7: `10.0.0.1` is not a server name
          17 | sni = "10.0.0.1"
             |       ^^^^^^^^^^ write a host name such as "db.example.com", or "*.example.com"
        doorward.toml:21:7: `a..example` is not a server name
          21 | sni = "a..example"
             |       ^^^^^^^^^^^^ write a host name such as "db.example.com", or "*.example.com"
        doorward.toml:25:7: `*` is not a server name
          25 | sni = "*"
             |       ^^^ write a host name such as "db.example.com", or "*.example.com"
    "#]]
    .assert_eq(&report.to_string());
}
