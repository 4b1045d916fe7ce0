//! What is wrong with how endpoints are chosen and left alone.

use expect_test::expect;

use super::check;

#[test]
fn what_is_wrong_with_a_policy_is_said() {
    check(
        "endpoints = ['h:1']\nbalance = { by = 'hash' }",
        expect![[r#"
        doorward.toml:6:18: `by = "hash"` does not say by what
           6 | balance = { by = 'hash' }
             |                  ^^^^^^ add `hash = "header:x-user"`, "cookie:NAME", "path" or "client"
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbalance = { hash = 'path' }",
        expect![[r#"
        doorward.toml:6:20: `hash` means nothing without `by = "hash"`
           6 | balance = { hash = 'path' }
             |                    ^^^^^^ write `by = "hash"`, or remove it
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbalance = { by = 'hash', hash = 'header:' }",
        expect![[r#"
        doorward.toml:6:33: `header:` is nothing to hash by
           6 | balance = { by = 'hash', hash = 'header:' }
             |                                 ^^^^^^^^^ write "header:NAME", "cookie:NAME", "path" or "client"
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbalance = { by = 'luck', slow-start = '2d', requests = 0 }",
        expect![[r#"
            doorward.toml:6:18: `luck` is not one of "fastest", "least-request", "round-robin", "hash"
               6 | balance = { by = 'luck', slow-start = '2d', requests = 0 }
                 |                  ^^^^^^
        "#]],
    );
    check(
        "endpoints = ['h:1']\neject = { failures = 0, latency = 1, pause = '1s', pause-max = '500ms' }",
        expect![[r#"
            doorward.toml:6:22: `failures = 0` is too small
               6 | eject = { failures = 0, latency = 1, pause = '1s', pause-max = '500ms' }
                 |                      ^ write at least 1
            doorward.toml:6:35: `latency = 1` is too small
               6 | eject = { failures = 0, latency = 1, pause = '1s', pause-max = '500ms' }
                 |                                   ^ write at least 2
        "#]],
    );
    check(
        "endpoints = ['h:1']\neject = { pause = '30m' }",
        expect![[r#"
        doorward.toml:6:19: `pause = "30m"` is more than `pause-max`
           6 | eject = { pause = '30m' }
             |                   ^^^^^ `pause-max` is "5m" if it is left out
    "#]],
    );
    check(
        "endpoints = ['h:1']\neject = { pause-max = '100ms' }",
        expect![[r#"
        doorward.toml:6:23: `pause-max = "100ms"` is less than `pause`
           6 | eject = { pause-max = '100ms' }
             |                       ^^^^^^^ `pause` is "5s" if it is left out
    "#]],
    );
    check(
        "endpoints = ['h:1']\neject = { pause = '1s', pause-max = '500ms' }",
        expect![[r#"
        doorward.toml:6:37: `pause-max = "500ms"` is less than `pause`
           6 | eject = { pause = '1s', pause-max = '500ms' }
             |                                     ^^^^^^^
             = that is at doorward.toml:6:19
    "#]],
    );
}

#[test]
fn what_is_wrong_with_what_is_asked_at_once_is_said() {
    check(
        "endpoints = ['h:1']\noverload = { first = 0, tolerance = 1.0, target = '1us' }",
        expect![[r#"
            doorward.toml:6:22: `first = 0` is too small
               6 | overload = { first = 0, tolerance = 1.0, target = '1us' }
                 |                      ^ write at least 1
            doorward.toml:6:37: `tolerance = 1` is too small
               6 | overload = { first = 0, tolerance = 1.0, target = '1us' }
                 |                                     ^^^ write at least 1.1
            doorward.toml:6:51: `target = "1us"` is too small
               6 | overload = { first = 0, tolerance = 1.0, target = '1us' }
                 |                                                   ^^^^^ write at least "1ms"
        "#]],
    );
    check(
        "endpoints = ['h:1']\noverload = { interval = '20ms', target = '30ms' }",
        expect![[r#"
            doorward.toml:6:42: `target = "30ms"` is more than `interval`
               6 | overload = { interval = '20ms', target = '30ms' }
                 |                                          ^^^^^^ `interval` is "20ms"
        "#]],
    );
    check(
        "endpoints = ['h:1']\nlimits = { requests = 0, pending = 1000000, connections = 0 }",
        expect![[r#"
            doorward.toml:6:23: `requests = 0` is too small
               6 | limits = { requests = 0, pending = 1000000, connections = 0 }
                 |                       ^ write at least 1
            doorward.toml:6:36: `pending = 1000000` is too large
               6 | limits = { requests = 0, pending = 1000000, connections = 0 }
                 |                                    ^^^^^^^ write at most 100000
            doorward.toml:6:59: `connections = 0` is too small
               6 | limits = { requests = 0, pending = 1000000, connections = 0 }
                 |                                                           ^ write at least 1
        "#]],
    );
    check(
        "endpoints = ['h:1']\nlimits = { pending = 10 }",
        expect![[r#"
        doorward.toml:6:22: nobody waits where there is no limit
           6 | limits = { pending = 10 }
             |                      ^^ add `requests`, or `overload = {}` to the service, or remove `pending`
    "#]],
    );
}

/// What is asked at once of a service with `keys`.
fn overload(keys: &str) -> Option<crate::overload::Policy> {
    let config =
        format!("[[route]]\npath = '/'\nservice = 'a'\n[service.a]\nendpoints = ['h:1']\n{keys}");
    let (report, rules) = crate::harness::compile(&config);
    rules.unwrap_or_else(|| panic!("{report}")).services()[0].policy.overload
}

#[test]
fn a_service_gets_what_comes_until_more_is_said() {
    use crate::overload::{LimitPolicy, Policy, QueuePolicy};
    let whole = Policy::default();
    assert_eq!(overload(""), None);
    assert_eq!(overload("limits = {}"), None);
    assert_eq!(overload("overload = {}"), Some(whole));
    assert_eq!(
        overload("overload = { tolerance = 2 }\nlimits = { requests = 50, pending = 0 }"),
        Some(Policy {
            limit: LimitPolicy { tolerance: 2.0, most: 50, ..whole.limit },
            queue: QueuePolicy { most: 0, ..whole.queue },
        })
    );
    let fixed = LimitPolicy { first: 50, least: 1, most: 50, tolerance: f32::INFINITY };
    assert_eq!(
        overload("limits = { requests = 50 }"),
        Some(Policy { limit: fixed, queue: whole.queue })
    );
}

#[test]
fn what_is_wrong_with_a_breaker_is_said() {
    check(
        "endpoints = ['h:1']\nbreaker = { failures = '0%', slow-after = '2h', pause = '1ms', probes = 0 }",
        expect![[r#"
            doorward.toml:6:24: `failures = "0%"` is too small
               6 | breaker = { failures = '0%', slow-after = '2h', pause = '1ms', probes = 0 }
                 |                        ^^^^ write at least "1%"
            doorward.toml:6:43: `slow-after = "2h"` is too large
               6 | breaker = { failures = '0%', slow-after = '2h', pause = '1ms', probes = 0 }
                 |                                           ^^^^ write at most "1h"
            doorward.toml:6:57: `pause = "1ms"` is too small
               6 | breaker = { failures = '0%', slow-after = '2h', pause = '1ms', probes = 0 }
                 |                                                         ^^^^^ write at least "100ms"
            doorward.toml:6:73: `probes = 0` is too small
               6 | breaker = { failures = '0%', slow-after = '2h', pause = '1ms', probes = 0 }
                 |                                                                         ^ write at least 1
        "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { pause = '2m' }",
        expect![[r#"
            doorward.toml:6:21: `pause = "2m"` is more than `pause-max`
               6 | breaker = { pause = '2m' }
                 |                     ^^^^ `pause-max` is "1m" if it is left out
        "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = ['old'] }",
        expect![[r#"
        doorward.toml:6:25: expected "stale", "service:NAME" or a table with an answer, found the string "old"
           6 | breaker = { fallback = ['old'] }
             |                         ^^^^^
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = [{ body = 'a' }, 'stale'] }",
        expect![[r#"
        doorward.toml:6:41: nothing is reached behind a fixed answer
           6 | breaker = { fallback = [{ body = 'a' }, 'stale'] }
             |                                         ^^^^^^^ put the answer last
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = [{ body = 'a', file = 'b' }] }",
        expect![[r#"
            doorward.toml:6:46: a body is either here or in a file
               6 | breaker = { fallback = [{ body = 'a', file = 'b' }] }
                 |                                              ^^^ remove one of them
        "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = [{ file = '' }] }",
        expect![[r#"
        doorward.toml:6:34: the name of the file is empty
           6 | breaker = { fallback = [{ file = '' }] }
             |                                  ^^
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = [{ status = 99 }] }",
        expect![[r#"
        doorward.toml:6:36: `status = 99` is too small
           6 | breaker = { fallback = [{ status = 99 }] }
             |                                    ^^ write at least 200
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = ['service:b'] }",
        expect![[r#"
        doorward.toml:6:25: there is no service `b`
           6 | breaker = { fallback = ['service:b'] }
             |                         ^^^^^^^^^^^ did you mean `a`?
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = ['service:a'] }",
        expect![[r#"
        doorward.toml:6:25: `a` cannot stand in for itself
           6 | breaker = { fallback = ['service:a'] }
             |                         ^^^^^^^^^^^ a request would go in a circle while all of them are down
    "#]],
    );
    check(
        "endpoints = ['h:1']\nbreaker = { fallback = ['service:b'] }\n\
         [service.b]\nendpoints = ['h:2']\nbreaker = { fallback = ['service:a'] }",
        expect![[r#"
            doorward.toml:6:25: `a` cannot stand in for itself
               6 | breaker = { fallback = ['service:b'] }
                 |                         ^^^^^^^^^^^ a request would go in a circle while all of them are down
            doorward.toml:9:25: `b` cannot stand in for itself
               9 | breaker = { fallback = ['service:a'] }
                 |                         ^^^^^^^^^^^ a request would go in a circle while all of them are down
        "#]],
    );
}
