//! What is wrong with a service, and what is said about it.

use expect_test::expect;

use super::check;

#[test]
fn what_is_wrong_with_a_service_is_said() {
    check(
        "",
        expect![[r#"
        doorward.toml:4:10: the service `a` is nowhere
           4 | [service.a]
             |          ^ give `endpoints = ["127.0.0.1:3000"]` or `run = "command --port {port}"`
    "#]],
    );
    check(
        "endpoints = []",
        expect![[r#"
        doorward.toml:5:13: a service without endpoints answers nothing
           5 | endpoints = []
             |             ^^ name one: "127.0.0.1:3000"
    "#]],
    );
    check(
        "endpoints = ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:1']",
        expect![[r#"
        doorward.toml:5:44: the endpoint `127.0.0.1:1` is here twice
           5 | endpoints = ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:1']
             |                                            ^^^^^^^^^^^^^ it would get twice its share of requests: remove one
             = the first one is at doorward.toml:5:14
    "#]],
    );
    check(
        "endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', \
         '1.2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']",
        expect![[r#"
            doorward.toml:5:14: `3000` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |              ^^^^^^ write host and port: "127.0.0.1:3000"
            doorward.toml:5:22: `http://h:1/x` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                      ^^^^^^^^^^^^^^ write only host and port: "h:1"
            doorward.toml:5:38: some endpoints are called by TLS and some are not
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                      ^^^^^^^^^^^ make two services of them: what is sent would be safe by chance
                 = one that is not is at doorward.toml:5:14
            doorward.toml:5:51: `::1` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                                   ^^^^^ write it in brackets, with a port: "[::1]:3000"
            doorward.toml:5:58: `h` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                                          ^^^ its port is missing: "h:3000"
            doorward.toml:5:63: `h:0` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                                               ^^^^^ `0` is not a port: write 1 to 65535
            doorward.toml:5:70: `h:x` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                                                      ^^^^^ `x` is not a port: write 1 to 65535
            doorward.toml:5:77: `:1` is not an endpoint
               5 | endpoints = ['3000', 'http://h:1/x', 'https://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv…
                 |                                                                             ^^^^ its host is missing: "127.0.0.1:1"
            doorward.toml:5:83: `1.2.3:4` is not an endpoint
               5 | …s://h', '::1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^^^^ `1.2.3` is not an IP address
            doorward.toml:5:94: `a b:1` is not an endpoint
               5 | …1', 'h', 'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^^ `a b` is not a host name
            doorward.toml:5:103: `unix:run/a` is not an endpoint
               5 | …'h:0', 'h:x', ':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^^^^^^^ write the whole path: "unix:/run/run/a"
            doorward.toml:5:117: `srv:` is not an endpoint
               5 | …':1', '1.2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^ `` is not a name: "srv:_http._tcp.example.com"
            doorward.toml:5:125: `srv:a b` is not an endpoint
               5 | ….2.3:4', 'a b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^^^^ `a b` is not a name: "srv:_http._tcp.example.com"
            doorward.toml:5:136: `file:` is not an endpoint
               5 | … b:1', 'unix:run/a', 'srv:', 'srv:a b', 'file:']
                 |                                          ^^^^^^^ its path is missing: "file:endpoints.txt"
        "#]],
    );
    check(
        "endpoints = ['h:1']\nrun = 'x {port}'",
        expect![[r#"
        doorward.toml:6:7: a service that has `endpoints` runs already
           6 | run = 'x {port}'
             |       ^^^^^^^^^^ remove one of them
             = the endpoints are at doorward.toml:5:13
    "#]],
    );
    check(
        "endpoints = ['h:1']\ninstances = 2\nstop-grace = '1s'",
        expect![[r#"
            doorward.toml:6:13: `instances` alone means nothing beside `endpoints`
               6 | instances = 2
                 |             ^ write `instances = { min = 1, max = 4 }` and `scale = { command = "..." }`, or `run`
            doorward.toml:7:14: `stop-grace` means nothing beside `endpoints`
               7 | stop-grace = '1s'
                 |              ^^^^ it is for services that Doorward starts with `run`
        "#]],
    );
    check(
        "run = 'x --port 1 && y'",
        expect![[r#"
        doorward.toml:5:7: `&&` is for a shell, and no shell runs here
           5 | run = 'x --port 1 && y'
             |       ^^^^^^^^^^^^^^^^^ write `sh -c '...'` around it
        doorward.toml:5:7: warning: the command does not say on which port to listen
           5 | run = 'x --port 1 && y'
             |       ^^^^^^^^^^^^^^^^^ pass `{port}` to it, or have it read the variable `PORT`
    "#]],
    );
    check(
        "run = \"x 'y\"\nbuild = ''",
        expect![[r#"
        doorward.toml:5:7: a quote in the command is not closed
           5 | run = "x 'y"
             |       ^^^^^^
        doorward.toml:5:7: warning: the command does not say on which port to listen
           5 | run = "x 'y"
             |       ^^^^^^ pass `{port}` to it, or have it read the variable `PORT`
        doorward.toml:6:9: the command is empty
           6 | build = ''
             |         ^^
    "#]],
    );
    check(
        "run = 'x {port}'\ninstances = 0",
        expect![[r#"
        doorward.toml:6:13: a service needs at least one instance
           6 | instances = 0
             |             ^ write at least 1
    "#]],
    );
    check(
        "run = 'x {port}'\ninstances = { min = 3, max = 2 }",
        expect![[r#"
        doorward.toml:6:13: `min = 3` is more than `max = 2`
           6 | instances = { min = 3, max = 2 }
             |             ^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "run = 'x {port}'\ninstances = { min = 3 }",
        expect![[r#"
        doorward.toml:6:13: `max` is missing
           6 | instances = { min = 3 }
             |             ^^^^^^^^^^^
    "#]],
    );
    check(
        "run = 'x {port}'\ninstances = 'two'",
        expect![[r#"
        doorward.toml:6:13: expected a whole number or { min, max }, found the string "two"
           6 | instances = 'two'
             |             ^^^^^
    "#]],
    );
    check(
        "endpoints = ['h:1']\nprotocol = 'h3'",
        expect![[r#"
        doorward.toml:6:12: `h3` is not one of "http1", "h2"
           6 | protocol = 'h3'
             |            ^^^^ did you mean "h2"?
    "#]],
    );
    check(
        "endpoints = ['h:1']\nconnect = '0s'\nsend = 5",
        expect![[r#"
        doorward.toml:7:8: `5` is not a duration: write a number and a unit, e.g. "5s"
           7 | send = 5
             |        ^
    "#]],
    );
    check(
        "endpoints = ['h:1']\nhost = 'a/b'",
        expect![[r#"
        doorward.toml:6:8: `a/b` is not a host
           6 | host = 'a/b'
             |        ^^^^^ write "preserve", "endpoint" or a host such as "example.com"
    "#]],
    );
    check(
        "endpoints = ['h:1']\nhealth = { path = 'x', every = '1ms', unhealthy-after = 0 }",
        expect![[r#"
            doorward.toml:6:19: `x` is not a path to ask for
               6 | health = { path = 'x', every = '1ms', unhealthy-after = 0 }
                 |                   ^^^ write one that begins with `/`
            doorward.toml:6:32: `every = "1ms"` is too small
               6 | health = { path = 'x', every = '1ms', unhealthy-after = 0 }
                 |                                ^^^^^ write at least "10ms"
            doorward.toml:6:57: `unhealthy-after = 0` is too small
               6 | health = { path = 'x', every = '1ms', unhealthy-after = 0 }
                 |                                                         ^ write at least 1
        "#]],
    );
    check(
        "run = 'x {port}'\nhealth = { path = '/x', grpc = 'a.B' }",
        expect![[r#"
            doorward.toml:6:32: `path` and `grpc` both say what to ask
               6 | health = { path = '/x', grpc = 'a.B' }
                 |                                ^^^^^ remove one of them
                 = the other one is at doorward.toml:6:19
        "#]],
    );
    check(
        "run = 'x {port}'\nhealth = { grpc = 'a.B' }",
        expect![[r#"
        doorward.toml:6:19: gRPC needs HTTP/2
           6 | health = { grpc = 'a.B' }
             |                   ^^^^^ write `protocol = "h2"` for the service
    "#]],
    );
    check(
        &format!(
            "run = 'x {{port}}'\nprotocol = 'h2'\nhealth = {{ grpc = '{}' }}",
            "x".repeat(4097)
        ),
        expect![[r#"
            doorward.toml:7:19: this is too long for the name of a service
               7 | health = { grpc = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
                 |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
    check(
        "endpoints = ['h:1']\nhealth = { tcp = true, status = '200', body = 'x' }",
        expect![[r#"
        doorward.toml:6:33: `status` means nothing beside `tcp`
           6 | health = { tcp = true, status = '200', body = 'x' }
             |                                 ^^^^^ it is about the answer to `path`
        doorward.toml:6:47: `body` means nothing beside `tcp`
           6 | health = { tcp = true, status = '200', body = 'x' }
             |                                               ^^^ it is about the answer to `path`
    "#]],
    );
    check(
        "endpoints = ['h:1']\nhealth = { tcp = false }",
        expect![[r#"
        doorward.toml:6:18: `tcp = false` asks nothing
           6 | health = { tcp = false }
             |                  ^^^^^ write what to ask instead
    "#]],
    );
    check(
        "endpoints = ['h:1']\nhealth = { command = '' }",
        expect![[r#"
        doorward.toml:6:22: the command is empty
           6 | health = { command = '' }
             |                      ^^
    "#]],
    );
    check(
        "endpoints = ['h:1']\nhealth = { status = '2xx' }",
        expect![[r#"
        doorward.toml:6:21: `2xx` are no statuses
           6 | health = { status = '2xx' }
             |                     ^^^^^ write such as "200" or "200-299, 401"
    "#]],
    );
    check(
        "endpoints = ['h:1']\nretry = { attempts = 0, on = ['reset', 'luck'], statuses = [200, 503], pause = '2m' }",
        expect![[r#"
            doorward.toml:6:40: `luck` is not one of "connect", "reset", "timeout"
               6 | retry = { attempts = 0, on = ['reset', 'luck'], statuses = [200, 503], pause = '2m' }
                 |                                        ^^^^^^
        "#]],
    );
    check(
        "endpoints = ['h:1']\nretry = { statuses = [200], attempts = 9, replay = '1GiB' }",
        expect![[r#"
            doorward.toml:6:23: `statuses = 200` is too small
               6 | retry = { statuses = [200], attempts = 9, replay = '1GiB' }
                 |                       ^^^ write at least 400
            doorward.toml:6:40: `attempts = 9` is too large
               6 | retry = { statuses = [200], attempts = 9, replay = '1GiB' }
                 |                                        ^ write at most 8
            doorward.toml:6:52: `replay = "1GiB"` is too large
               6 | retry = { statuses = [200], attempts = 9, replay = '1GiB' }
                 |                                                    ^^^^^^ write at most "16MiB"
        "#]],
    );
    check(
        "endpoints = ['h:1']\nretry = { pause = '1s', pause-max = '500ms' }",
        expect![[r#"
        doorward.toml:6:37: `pause-max = "500ms"` is less than `pause`
           6 | retry = { pause = '1s', pause-max = '500ms' }
             |                                     ^^^^^^^
             = that is at doorward.toml:6:19
    "#]],
    );
    check(
        "endpoints = ['h:1']\ntotal = '0s'\ndeadline = 'a b'",
        expect![[r#"
        doorward.toml:6:9: `total = "0s"` refuses every request
           6 | total = '0s'
             |         ^^^^ write the longest time that is still of use to the client
        doorward.toml:7:12: `a b` is not the name of a header
           7 | deadline = 'a b'
             |            ^^^^^ write one such as "Request-Timeout"
    "#]],
    );
    check(
        "run = 'x {port}'\nscale = { cpu = '70%' }",
        expect![[r#"
        doorward.toml:6:9: `scale` means nothing for a fixed number of instances
           6 | scale = { cpu = '70%' }
             |         ^^^^^^^^^^^^^^^ write such as `instances = { min = 1, max = 4 }`
    "#]],
    );
    check(
        "run = 'x {port}'\ninstances = { min = 0, max = 3 }\nscale = { cpu = '70%', latency = '1s' }",
        expect![[r#"
            doorward.toml:7:34: `cpu` and `latency` both say what an instance is for
               7 | scale = { cpu = '70%', latency = '1s' }
                 |                                  ^^^^ remove one of them
                 = the other one is at doorward.toml:7:17
        "#]],
    );
    check(
        "run = 'x {port}'\ninstances = { min = 0, max = 3 }\nscale = { cpu = '0%', idle = '10ms' }",
        expect![[r#"
            doorward.toml:7:17: `cpu = "0%"` is too small
               7 | scale = { cpu = '0%', idle = '10ms' }
                 |                 ^^^^ write at least "1%"
            doorward.toml:7:30: `idle = "10ms"` is too small
               7 | scale = { cpu = '0%', idle = '10ms' }
                 |                              ^^^^^^ write at least "1s"
        "#]],
    );
    check(
        "endpoint = ['h:1']",
        expect![[r#"
        doorward.toml:5:1: there is no key `endpoint` here
           5 | endpoint = ['h:1']
             | ^^^^^^^^ did you mean `endpoints`?
    "#]],
    );
}
