//! What one client may ask of the front door.

use config::{At, Period, Report, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares the limits, each with its default and its bounds: the struct, its `Default` and its check.
macro_rules! limits {
    ($($(#[$about:meta])* $name:ident ($key:literal): $Type:ident
        = $default:literal, from $least:literal to $most:literal;)*) => {
        /// What one client may ask of the front door. Who asks for more is told so, and the reason is in
        /// the access log.
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub(crate) struct Limits {
            $(
                $(#[$about])*
                #[schemars(extend("x-least" = $least, "x-most" = $most))]
                pub(crate) $name: At<$Type>,
            )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: limit::<$Type>($default).into()),* }
            }
        }

        impl Limits {
            pub(super) fn check(&self, report: &mut Report) {
                $(report.within($key, &self.$name, limit($least)..=limit($most));)*
            }
        }
    };
}

/// A limit as it stands in the list below.
fn limit<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the list of limits is right: a test reads it")
}

limits! {
    /// Bytes of a request's head: request line and fields, with their line ends. A client that sends
    /// more gets `431 Request Header Fields Too Large`.
    header_bytes ("header-bytes"): Size = "32KiB", from "1KiB" to "60KiB";
    /// Fields of a request. A client that sends more gets `431 Request Header Fields Too Large`.
    headers ("headers"): u16 = "100", from "8" to "256";
    /// Bytes of the request line, without its line end. A client that sends more gets
    /// `414 URI Too Long`.
    request_line ("request-line"): Size = "8KiB", from "256B" to "60KiB";
    /// Bytes of a request's body. A client that announces or sends more gets
    /// `413 Content Too Large`. A route may set its own.
    body ("body"): Size = "2GiB", from "0B" to "1048576TiB";
    /// The time for the whole head of a request, from its first byte; it is also the time that a new
    /// connection may take to begin. Then the client gets `408 Request Timeout`, or, if nothing came,
    /// the connection is closed. It is what stops a client that sends a byte now and then.
    header_time ("header-time"): Period = "10s", from "100ms" to "10m";
    /// The time for the handshake of TLS. Then the connection is closed.
    handshake_time ("handshake-time"): Period = "10s", from "100ms" to "10m";
    /// Handshakes of TLS that may be under way at once, over all workers. One more cuts off the one that
    /// has been under way for the longest: clients that mean it are done sooner.
    handshakes ("handshakes"): u32 = "4096", from "16" to "1000000";
    /// The time in which the next bytes of a body must come, and in which a client must take the next
    /// bytes of a response. Then the client gets `408 Request Timeout`, or the connection is closed.
    body_idle ("body-idle"): Period = "30s", from "100ms" to "1h";
    /// Bytes a second that a body must have on the whole, after a grace of some seconds: a client that
    /// is never idle and never done gets `408 Request Timeout`, too. Time in which the service does
    /// not read does not count. `"0B"` is no limit.
    body_rate ("body-rate"): Size = "240B", from "0B" to "1MiB";
    /// How long a connection is kept for another request. Then it is closed.
    keep_alive_idle ("keep-alive-idle"): Period = "75s", from "0s" to "1h";
    /// Requests on one connection; the last response says `Connection: close`. The default only
    /// bounds what one connection can be charged with.
    requests_per_connection ("requests-per-connection"): u64 = "10000000", from "1" to "1000000000000";
    /// Requests that a client may have open at once on one connection of HTTP/2 or HTTP/3. Further ones
    /// wait at the client, which is told this number.
    streams ("streams"): u32 = "256", from "1" to "65536";
    /// Open connections, over all workers. More are answered `503 Service Unavailable` and closed, so
    /// that those that are open stay well served. Each may need two file descriptors.
    connections ("connections"): u32 = "65536", from "16" to "10000000";
    /// Open connections of one client: an IPv4 address or an IPv6 network of 64 bits. More are
    /// answered `503 Service Unavailable` and closed.
    connections_per_client ("connections-per-client"): u32 = "16384", from "1" to "10000000";
    /// Bytes of all chunk extensions of one body. They mean nothing, yet could be all that a client
    /// sends. A client that sends more gets `400 Bad Request`.
    chunk_extension_bytes ("chunk-extension-bytes"): Size = "4KiB", from "0B" to "64KiB";
    /// Bytes of the trailer section behind a chunked body. A client that sends more gets
    /// `431 Request Header Fields Too Large`.
    trailer_bytes ("trailer-bytes"): Size = "8KiB", from "0B" to "64KiB";
    /// How long a connection that was upgraded, such as a WebSocket, may be silent in both
    /// directions. Then it is closed.
    upgrade_idle ("upgrade-idle"): Period = "1h", from "1s" to "30d";
}

impl Limits {
    pub(super) fn check_together(&self, report: &mut Report) {
        if *self.request_line > *self.header_bytes {
            // One of the two may be a default, which stands nowhere.
            let written = [&self.request_line, &self.header_bytes];
            let at = written.into_iter().find(|limit| !limit.place().is_none());
            report
                .error(
                    at.unwrap_or(&self.request_line),
                    format!(
                        "`request-line` ({}) is more than `header-bytes` ({})",
                        *self.request_line, *self.header_bytes
                    ),
                )
                .help("the request line is part of the head");
        }
        if *self.connections_per_client > *self.connections
            && !self.connections_per_client.place().is_none()
        {
            report
                .warning(
                    &self.connections_per_client,
                    format!("never reached: `connections` is {}", *self.connections),
                )
                .help("write less, so that one client cannot take all connections");
        }
    }
}
