//! Services are tested as text: what is written, and what is said about it.

mod listed;
mod policy;
mod wrong;

use expect_test::{Expect, expect};

use crate::harness::compile;

/// Compiles a service with `keys`.
#[track_caller]
fn check(keys: &str, expect: Expect) {
    let config = format!("[[route]]\npath = '/'\nservice = 'a'\n[service.a]\n{keys}\n");
    let (report, rules) = compile(&config);
    let mut text = report.to_string();
    if let Some(rules) = rules {
        text += &format!("{:#?}\n", rules.services()[0]);
    }
    expect.assert_eq(&text);
}

#[test]
fn a_service_that_runs_already() {
    check(
        "endpoints = ['127.0.0.1:7001', '[::1]:7001', 'Backend.example:80', 'unix:/run/a.sock', 'srv:_http._tcp.A.example.', 'file:more.txt']\n\
         host = 'endpoint'\nfirst-byte = '5s'\nhealth = { path = '/healthz', every = '1s' }",
        expect![[r#"
            Service {
                name: "a",
                source: Endpoints(
                    [
                        Ranked {
                            endpoint: Address(
                                127.0.0.1:7001,
                            ),
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                        Ranked {
                            endpoint: Address(
                                [::1]:7001,
                            ),
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                        Ranked {
                            endpoint: Name {
                                host: "backend.example",
                                port: 80,
                            },
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                        Ranked {
                            endpoint: Unix(
                                "/run/a.sock",
                            ),
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                        Ranked {
                            endpoint: Srv(
                                "_http._tcp.a.example",
                            ),
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                        Ranked {
                            endpoint: File(
                                "more.txt",
                            ),
                            rank: Rank {
                                weight: 1,
                                tier: 0,
                                zone: None,
                            },
                        },
                    ],
                ),
                scaling: None,
                protocol: Http1,
                tls: None,
                timeouts: Timeouts {
                    connect: 2s,
                    send: 30s,
                    first_byte: 5s,
                    between_bytes: 60s,
                    total: None,
                },
                deadline: None,
                pool: Pool {
                    idle: 60s,
                    idle_connections: 1024,
                },
                host: Endpoint,
                health: Some(
                    Health {
                        ask: Get(
                            Get {
                                path: "/healthz",
                                statuses: [
                                    (
                                        200,
                                        299,
                                    ),
                                ],
                                body: None,
                            },
                        ),
                        every: 1s,
                        jitter: Share {
                            millionths: 100000,
                        },
                        timeout: 1s,
                        unhealthy_after: 3,
                        healthy_after: 2,
                    },
                ),
                sticky: None,
                policy: Policy {
                    balance: Policy {
                        algorithm: Fastest,
                        running_max: 4294967295,
                        slow_start_ns: 10000000000,
                        panic: 0.3,
                    },
                    hash: None,
                    requests_max: None,
                    passive: Some(
                        Passive {
                            failures_in_a_row: 5,
                            error_share: 0.2,
                            latency_factor: 5.0,
                            base_ms: 5000,
                            most_ms: 300000,
                            share_max: 0.5,
                        },
                    ),
                    retry: Policy {
                        attempts_max: 5,
                        on_connect: true,
                        on_reset: true,
                        on_timeout: true,
                        on_status: [
                            502,
                            503,
                            504,
                        ],
                        base_ms: 10,
                        most_ms: 250,
                        per_try_ms: None,
                        idempotency_key: None,
                        replay_bytes_max: 65536,
                        budget: BudgetPolicy {
                            share: 0.2,
                            floor_per_s: 10.0,
                        },
                        hedge: None,
                        hold_ms: None,
                    },
                    overload: None,
                    connections_max: None,
                    breaker: None,
                },
            }
        "#]],
    );
}

#[test]
fn a_service_that_is_started() {
    check(
        "run = 'newsroom articles --port {port} --name \"a b\"'\nbuild = 'make'\n\
         instances = { min = 2, max = 4 }\nenvironment = { A = 'b' }\ndirectory = 'x'\n\
         stop-grace = '1s'\nhost = 'example.com'",
        expect![[r#"
            Service {
                name: "a",
                source: Run(
                    Run {
                        command: [
                            "newsroom",
                            "articles",
                            "--port",
                            "{port}",
                            "--name",
                            "a b",
                        ],
                        build: Some(
                            [
                                "make",
                            ],
                        ),
                        scale: Policy {
                            min: 2,
                            max: 4,
                            target: Concurrency(
                                16.0,
                            ),
                            down_after_ms: 300000,
                            idle_ms: 300000,
                        },
                        environment: [
                            (
                                "A",
                                "b",
                            ),
                        ],
                        directory: Some(
                            "x",
                        ),
                        stop_grace: 1s,
                    },
                ),
                scaling: None,
                protocol: Http1,
                tls: None,
                timeouts: Timeouts {
                    connect: 2s,
                    send: 30s,
                    first_byte: 60s,
                    between_bytes: 60s,
                    total: None,
                },
                deadline: None,
                pool: Pool {
                    idle: 60s,
                    idle_connections: 1024,
                },
                host: Literal(
                    "example.com",
                ),
                health: None,
                sticky: None,
                policy: Policy {
                    balance: Policy {
                        algorithm: Fastest,
                        running_max: 4294967295,
                        slow_start_ns: 10000000000,
                        panic: 0.3,
                    },
                    hash: None,
                    requests_max: None,
                    passive: Some(
                        Passive {
                            failures_in_a_row: 5,
                            error_share: 0.2,
                            latency_factor: 5.0,
                            base_ms: 5000,
                            most_ms: 300000,
                            share_max: 0.5,
                        },
                    ),
                    retry: Policy {
                        attempts_max: 5,
                        on_connect: true,
                        on_reset: true,
                        on_timeout: true,
                        on_status: [
                            502,
                            503,
                            504,
                        ],
                        base_ms: 10,
                        most_ms: 250,
                        per_try_ms: None,
                        idempotency_key: None,
                        replay_bytes_max: 65536,
                        budget: BudgetPolicy {
                            share: 0.2,
                            floor_per_s: 10.0,
                        },
                        hedge: None,
                        hold_ms: None,
                    },
                    overload: None,
                    connections_max: None,
                    breaker: None,
                },
            }
        "#]],
    );
}
