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
        "endpoints = ['h:1']\neject = { pause = '1s', pause-max = '500ms' }",
        expect![[r#"
        doorward.toml:6:37: `pause-max = "500ms"` is less than `pause`
           6 | eject = { pause = '1s', pause-max = '500ms' }
             |                                     ^^^^^^^
             = that is at doorward.toml:6:19
    "#]],
    );
}
