//! The life of a certificate as text: what happens, and what is planned then.

use expect_test::{Expect, expect};

use super::{Challenge, Held, History, Step, Window, advice, plan, wrong_name};

/// A number with its unit: `5s`, `2m`, `3h`, `60d`.
fn seconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    number
        * match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => panic!("no unit: {text}"),
        }
}

fn shown(mut at: u64) -> String {
    let mut text = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if at >= size {
            text += &format!("{}{unit}", at / size);
            at %= size;
        }
    }
    if at > 0 || text.is_empty() {
        text += &format!("{at}s");
    }
    text
}

/// Plays `events`, one a line, each behind when it happens, and shows what is planned after each.
#[track_caller]
fn check(chance: u32, events: &str, expect: Expect) {
    let mut history = History::default();
    let mut out = String::new();
    for event in events.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = event.split(' ').collect();
        let now = seconds(words[0]);
        match words[1..] {
            ["look"] => {}
            ["issued", life] => history.succeeded(Held {
                not_before: now,
                not_after: now + seconds(life),
                obtained: now,
                fits: true,
            }),
            ["issued", from, to] => history.succeeded(Held {
                not_before: seconds(from),
                not_after: seconds(to),
                obtained: now,
                fits: true,
            }),
            ["other-names"] => {
                history.held.as_mut().expect("one is held").fits = false;
            }
            ["failed", kind] => {
                history.failed((kind, String::new(), String::new()), None, chance, now);
            }
            ["failed", kind, retry_after] => {
                let retry_after = Some(seconds(retry_after));
                history.failed((kind, String::new(), String::new()), retry_after, chance, now);
            }
            ["window", start, end, again] => {
                let window = Window { start: seconds(start), end: seconds(end) };
                history.asked(Some(window), Some(seconds(again)), now);
            }
            ["no-window"] => history.asked(None, None, now),
            _ => panic!("not an event: {event}"),
        }
        let plan = plan(&history, chance, now);
        let step = match plan.step {
            Step::Order => "order",
            Step::AskWindow => "ask",
        };
        let at = if plan.at <= now { "now".to_owned() } else { format!("at {}", shown(plan.at)) };
        out += &format!("{event}\n    {step} {at}: {}\n", plan.reason);
    }
    expect.assert_eq(&out);
}

#[test]
fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    check(
        0,
        "0s look
         1h issued 90d
         1h no-window
         59d no-window
         60d no-window
         61d issued 90d",
        expect![[r#"
            0s look
                order now: there is none yet
            1h issued 90d
                ask now: the authority may move it
            1h no-window
                ask at 7h: the authority may move it
            59d no-window
                ask at 59d6h: the authority may move it
            60d no-window
                order at 60d1h: two thirds of its life are over then
            61d issued 90d
                ask now: the authority may move it
        "#]],
    );
}

#[test]
fn chance_spreads_renewals_over_a_twentieth_of_the_life() {
    check(
        u32::MAX,
        "0s issued 90d\n0s no-window\n59d no-window\n64d no-window\n65d look",
        expect![[r#"
        0s issued 90d
            ask now: the authority may move it
        0s no-window
            ask at 6h: the authority may move it
        59d no-window
            ask at 59d6h: the authority may move it
        64d no-window
            ask at 64d6h: the authority may move it
        65d look
            order now: two thirds of its life are over then
    "#]],
    );
}

#[test]
fn the_authority_decides_within_reason() {
    check(
        1 << 31,
        "0s issued 90d
         0s window 30d 32d 6h
         0s window 10d 12d 1s
         1m look
         2d window 200d 201d 9d
         80d window 200d 201d 9d
         80d issued 90d
         80d window 1d 2d 6h
         81d look",
        expect![[r#"
            0s issued 90d
                ask now: the authority may move it
            0s window 30d 32d 6h
                ask at 6h: the authority may move it
            0s window 10d 12d 1s
                ask at 1m: the authority may move it
            1m look
                ask now: the authority may move it
            2d window 200d 201d 9d
                ask at 3d: the authority may move it
            80d window 200d 201d 9d
                order at 81d: the authority wants it renewed then
            80d issued 90d
                ask now: the authority may move it
            80d window 1d 2d 6h
                ask at 80d6h: the authority may move it
            81d look
                order now: the authority wants it renewed then
        "#]],
    );
}

#[test]
fn a_window_that_ends_before_it_starts_is_none() {
    check(
        0,
        "0s issued 90d\n0s window 9d 8d 1h\n59d no-window",
        expect![[r#"
        0s issued 90d
            ask now: the authority may move it
        0s window 9d 8d 1h
            ask at 1h: the authority may move it
        59d no-window
            ask at 59d6h: the authority may move it
    "#]],
    );
}

#[test]
fn failures_are_waited_after_longer_and_longer() {
    check(
        0,
        "0s failed connection
         1m failed connection
         4m failed connection
         13m failed connection
         40m failed connection
         2h failed connection
         7h failed connection
         20h failed connection
         32h issued 90d
         32h no-window",
        expect![[r#"
            0s failed connection
                order at 1m: the attempt before failed
            1m failed connection
                order at 4m: the attempt before failed
            4m failed connection
                order at 13m: the attempt before failed
            13m failed connection
                order at 40m: the attempt before failed
            40m failed connection
                order at 2h1m: the attempt before failed
            2h failed connection
                order at 6h3m: the attempt before failed
            7h failed connection
                order at 19h: the attempt before failed
            20h failed connection
                order at 1d8h: the attempt before failed
            32h issued 90d
                ask now: the authority may move it
            32h no-window
                ask at 1d14h: the authority may move it
        "#]],
    );
}

#[test]
fn what_failed_together_is_not_tried_together_again() {
    check(
        1 << 30,
        "0s failed dns\n10h failed dns",
        expect![[r#"
        0s failed dns
            order at 1m11s: the attempt before failed
        10h failed dns
            order at 10h3m11s: the attempt before failed
    "#]],
    );
    check(
        3 << 30,
        "0s failed dns\n10h failed dns",
        expect![[r#"
        0s failed dns
            order at 1m3s: the attempt before failed
        10h failed dns
            order at 10h3m33s: the attempt before failed
    "#]],
    );
}

#[test]
fn an_authority_is_left_alone_as_long_as_it_asks() {
    check(
        0,
        "0s failed rateLimited
         1h failed rateLimited 2h
         3h failed serverInternal 30s
         4h failed rateLimited 300d",
        expect![[r#"
            0s failed rateLimited
                order at 1h: the attempt before failed
            1h failed rateLimited 2h
                order at 3h: the attempt before failed
            3h failed serverInternal 30s
                order at 3h9m: the attempt before failed
            4h failed rateLimited 300d
                order at 7d4h: the attempt before failed
        "#]],
    );
}

#[test]
fn other_names_are_ordered_at_once_but_for_failures() {
    check(
        0,
        "0s issued 90d
         1d no-window
         1d other-names
         1d failed caa
         2d look",
        expect![[r#"
            0s issued 90d
                ask now: the authority may move it
            1d no-window
                ask at 1d6h: the authority may move it
            1d other-names
                order now: it is not the one that is wanted now
            1d failed caa
                order at 1d1m: the attempt before failed
            2d look
                order now: the attempt before failed
        "#]],
    );
}

#[test]
fn a_wrong_clock_orders_once_a_day_at_most() {
    // By our clock it has expired when it comes; then the clock goes back.
    check(
        0,
        "400d issued 0d 90d
         400d look
         401d look
         10d look
         30d failed dns
         20d look",
        expect![[r#"
            400d issued 0d 90d
                order at 401d: it has expired
            400d look
                order at 401d: it has expired
            401d look
                order now: it has expired
            10d look
                ask now: the authority may move it
            30d failed dns
                ask now: the authority may move it
            20d look
                ask now: the authority may move it
        "#]],
    );
    // A life of minutes: its third is the least.
    check(
        0,
        "0s issued 6m\n0s no-window\n4m look",
        expect![[r#"
        0s issued 6m
            ask now: the authority may move it
        0s no-window
            order at 4m: two thirds of its life are over then
        4m look
            order now: two thirds of its life are over then
    "#]],
    );
}

#[test]
fn names_that_nobody_certifies_are_told_apart() {
    let mut out = String::new();
    for name in [
        "www.example.com",
        "xn--bcher-kva.example",
        "intranet",
        "*.example.com",
        "*.*.example.com",
        "www.*.com",
        "10.0.0.1",
        "::1",
        "https://example.com",
        "example.com:443",
        "bücher.example",
        "a..b",
        "-a.example",
        "under_score.example",
        "localhost",
        "app.localhost",
        "",
    ] {
        let wrong = wrong_name(name, Challenge::Http01);
        out += &format!("{name:?}: {}\n", wrong.as_deref().unwrap_or("fine"));
    }
    expect![[r#"
        "www.example.com": fine
        "xn--bcher-kva.example": fine
        "intranet": fine
        "*.example.com": a wildcard takes `challenge = "dns-01"`, or write each name
        "*.*.example.com": `*` stands for the first label only: "*.example.com"
        "www.*.com": `*` stands for the first label only: "*.example.com"
        "10.0.0.1": an address is none: write the name that leads to it
        "::1": an address is none: write the name that leads to it
        "https://example.com": write only the name, such as "www.example.com"
        "example.com:443": write only the name, such as "www.example.com"
        "bücher.example": write it as DNS has it, in Punycode: "xn--..."
        "a..b": a name is of letters, digits and `-`, with dots between them
        "-a.example": a name is of letters, digits and `-`, with dots between them
        "under_score.example": a name is of letters, digits and `-`, with dots between them
        "localhost": it means a different machine everywhere; `doorward dev` certifies it
        "app.localhost": it means a different machine everywhere; `doorward dev` certifies it
        "": a name is of letters, digits and `-`, with dots between them
    "#]]
    .assert_eq(&out);
    assert_eq!(wrong_name("*.example.com", Challenge::Dns01), None);
}

#[test]
fn every_refusal_has_advice_of_its_own_or_is_tried_again() {
    let mut out = String::new();
    for kind in ["connection", "unauthorized", "dns", "caa", "rateLimited", "malformed", ""] {
        for challenge in [Challenge::Http01, Challenge::TlsAlpn01, Challenge::Dns01] {
            out += &format!("{kind} {}: {}\n", challenge.name(), advice(kind, challenge));
        }
    }
    expect![[r#"
        connection http-01: port 80 of this name must lead to an `http` listener here, from all of the internet
        connection tls-alpn-01: port 443 of this name must lead to an `https` listener here, from all of the internet
        connection dns-01: port 80 of this name must lead to an `http` listener here, from all of the internet
        unauthorized http-01: something else answers under this name: look at its A and AAAA records
        unauthorized tls-alpn-01: something else answers under this name: look at its A and AAAA records
        unauthorized dns-01: the record was not there: look at what `dns-hook` does, and whether it waits long enough
        dns http-01: look at the name's A and AAAA records
        dns tls-alpn-01: look at the name's A and AAAA records
        dns dns-01: look whether `dns-hook` returns before the record can be seen everywhere
        caa http-01: a CAA record of the name lets only other authorities certify it
        caa tls-alpn-01: a CAA record of the name lets only other authorities certify it
        caa dns-01: a CAA record of the name lets only other authorities certify it
        rateLimited http-01: it is tried again when the authority allows it; see its rate limits, and use its staging directory for trying out
        rateLimited tls-alpn-01: it is tried again when the authority allows it; see its rate limits, and use its staging directory for trying out
        rateLimited dns-01: it is tried again when the authority allows it; see its rate limits, and use its staging directory for trying out
        malformed http-01: it is tried again
        malformed tls-alpn-01: it is tried again
        malformed dns-01: it is tried again
         http-01: it is tried again
         tls-alpn-01: it is tried again
         dns-01: it is tried again
    "#]].assert_eq(&out);
}
