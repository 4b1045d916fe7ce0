//! Every way in which a request can go wrong, and what each means: one exhaustive match a question.

mod render;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

use wire::h1::Malformed;
use wire::hello::NotHello;

use crate::retry::Failure;

pub(crate) use render::quality;
pub use render::{Asker, proxy_status};
pub use tls::{NoTls, Unproven};

/// A request gone wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The client's head is not HTTP as we read it.
    Malformed(Malformed),
    /// The body of the request is not framed as it says.
    BodyMalformed(Malformed),
    /// The client did not finish its head in time.
    HeadTimeout,
    /// The body is larger than its route allows.
    BodyTooLarge,
    /// The client paused for too long within the body.
    BodyIdle,
    /// The client sent its body slower than the least rate.
    BodyTooSlow,
    /// The client closed before it had its answer.
    ClientGone,
    /// The client took its answer too slowly.
    ClientStalled,
    /// What a client began is not TLS as we read it, where the server name is needed.
    HelloMalformed(NotHello),
    /// Nobody is there for the server name that the client asks for.
    UnrecognizedName,
    /// Nothing moved in either direction for too long.
    ConnectionIdle,
    /// The deadline that the client set cannot be read.
    DeadlineMalformed,
    /// The time that the client set is over.
    DeadlineExceeded,
    /// The time that a request may take in all is over.
    TotalTimeout,
    /// `CONNECT`: this is no tunnel (RFC 9110, 9.3.6).
    Connect,
    /// The request has come by here before: our name is in `Via`.
    Loop,
    /// No route matches.
    NoRoute,
    /// Routes match, but for the method.
    MethodNotAllowed,
    /// What must not be done twice came in early data, which anybody could have sent again (RFC 8470).
    TooEarly,
    /// The client's certificate is not what the route asks for.
    Unproven(Unproven),
    /// There is no such file.
    FileNotFound,
    /// The client wants no other answer than a stored one, and none is.
    OnlyIfCached,
    /// The file is there and cannot be read.
    FileUnreadable,
    /// As many client connections are open as the configuration allows.
    TooManyConnections,
    /// We are shutting down.
    Draining,
    /// There is more work than can be done in time.
    Overloaded,
    /// The service has no endpoint that may be used.
    NoEndpoint,
    /// The instances of the service are still starting.
    Starting,
    /// Every endpoint of the service has as many requests as the configuration allows.
    UpstreamBusy,
    /// No socket could be had: descriptors or local ports are used up.
    SocketsExhausted,
    /// The name of the endpoint has no address.
    DnsFailed,
    /// The name of the endpoint was not resolved in time.
    DnsTimeout,
    /// The endpoint refused the connection.
    ConnectRefused,
    /// The endpoint did not answer the connection attempt in time.
    ConnectTimeout,
    /// There is no way to the endpoint.
    Unreachable,
    /// The connection attempt failed in another way.
    ConnectFailed,
    /// There is no TLS connection to the endpoint.
    NoTls(NoTls),
    /// The endpoint did not take the request in time.
    SendTimeout,
    /// The endpoint closed while the request was being sent.
    SendFailed,
    /// The endpoint did not begin its answer in time.
    FirstByteTimeout,
    /// The endpoint closed before it began its answer.
    UpstreamClosed,
    /// The endpoint refused the stream, or said goodbye before it: it did not look at the request
    /// (RFC 9113, 8.7).
    StreamRefused,
    /// The answer is not HTTP as we read it.
    UpstreamMalformed(Malformed),
    /// The endpoint switched protocols without being asked to.
    UpgradeFailed,
    /// The endpoint paused for too long within its answer.
    BetweenBytesTimeout,
    /// The answer broke off.
    UpstreamTruncated,
    /// A mistake in Doorward itself.
    Bug,
}

/// Where in its life the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stage {
    Accept,
    Head,
    Route,
    Body,
    Files,
    Endpoint,
    Connect,
    Send,
    Wait,
    Receive,
    Deliver,
}

impl Stage {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Head => "head",
            Self::Route => "route",
            Self::Body => "body",
            Self::Files => "files",
            Self::Endpoint => "endpoint",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
        }
    }
}

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Side {
    Client,
    Upstream,
    Ours,
}

impl Side {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Ours => "ours",
        }
    }
}

impl Fault {
    /// Where in its life the request was.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::TooManyConnections | Self::Draining | Self::Overloaded => Stage::Accept,
            Self::Malformed(_)
            | Self::HelloMalformed(_)
            | Self::DeadlineMalformed
            | Self::HeadTimeout
            | Self::Connect
            | Self::Loop
            | Self::TooEarly => Stage::Head,
            Self::NoRoute | Self::MethodNotAllowed | Self::Unproven(_) | Self::UnrecognizedName => {
                Stage::Route
            }
            Self::BodyMalformed(_) | Self::BodyTooLarge | Self::BodyIdle | Self::BodyTooSlow => {
                Stage::Body
            }
            Self::FileNotFound | Self::FileUnreadable => Stage::Files,
            Self::OnlyIfCached => Stage::Endpoint,
            Self::NoEndpoint | Self::Starting | Self::UpstreamBusy => Stage::Endpoint,
            Self::SocketsExhausted
            | Self::DnsFailed
            | Self::DnsTimeout
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::ConnectFailed
            | Self::NoTls(_) => Stage::Connect,
            Self::SendTimeout | Self::SendFailed => Stage::Send,
            Self::FirstByteTimeout | Self::UpstreamClosed | Self::StreamRefused => Stage::Wait,
            Self::UpstreamMalformed(_)
            | Self::UpgradeFailed
            | Self::BetweenBytesTimeout
            | Self::UpstreamTruncated => Stage::Receive,
            Self::ClientGone
            | Self::ClientStalled
            | Self::ConnectionIdle
            | Self::DeadlineExceeded
            | Self::TotalTimeout
            | Self::Bug => Stage::Deliver,
        }
    }

    /// Whose doing it was.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Malformed(_)
            | Self::BodyMalformed(_)
            | Self::HeadTimeout
            | Self::BodyTooLarge
            | Self::BodyIdle
            | Self::BodyTooSlow
            | Self::ClientGone
            | Self::ClientStalled
            | Self::HelloMalformed(_)
            | Self::UnrecognizedName
            | Self::DeadlineMalformed
            | Self::Connect
            | Self::Loop
            | Self::TooEarly
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::Unproven(_)
            | Self::FileNotFound => Side::Client,
            Self::FileUnreadable
            | Self::ConnectionIdle
            | Self::TooManyConnections
            | Self::OnlyIfCached
            | Self::Draining
            | Self::Overloaded
            | Self::UpstreamBusy
            | Self::SocketsExhausted
            | Self::Bug => Side::Ours,
            Self::NoEndpoint
            | Self::Starting
            | Self::DnsFailed
            | Self::DnsTimeout
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::ConnectFailed
            | Self::NoTls(_)
            | Self::SendTimeout
            | Self::SendFailed
            | Self::FirstByteTimeout
            | Self::UpstreamClosed
            | Self::StreamRefused
            | Self::UpstreamMalformed(_)
            | Self::UpgradeFailed
            | Self::BetweenBytesTimeout
            | Self::DeadlineExceeded
            | Self::TotalTimeout
            | Self::UpstreamTruncated => Side::Upstream,
        }
    }

    /// What it means for sending the request again, if that can help at all; `is_stale` if it happened
    /// on a connection that had served a request before, and not one byte of an answer came.
    #[must_use]
    pub const fn failure(self, is_stale: bool) -> Option<Failure> {
        match self {
            // It may be said behind the handshake, and to say it again would not help.
            Self::NoTls(NoTls::ClientCertificate) => None,
            Self::DnsFailed
            | Self::DnsTimeout
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::ConnectFailed
            | Self::NoTls(_)
            | Self::StreamRefused => Some(Failure::Unseen),
            // The endpoint may have closed it while it was idle (RFC 9112, 9.3.1).
            Self::SendFailed | Self::UpstreamClosed if is_stale => Some(Failure::Stale),
            Self::SendFailed | Self::UpstreamClosed | Self::UpstreamTruncated => {
                Some(Failure::Reset)
            }
            Self::SendTimeout | Self::FirstByteTimeout => Some(Failure::Timeout),
            // It is the client's or our own doing, the same anywhere, or too late.
            Self::Malformed(_)
            | Self::BodyMalformed(_)
            | Self::HeadTimeout
            | Self::BodyTooLarge
            | Self::BodyIdle
            | Self::BodyTooSlow
            | Self::ClientGone
            | Self::ClientStalled
            | Self::HelloMalformed(_)
            | Self::UnrecognizedName
            | Self::ConnectionIdle
            | Self::DeadlineMalformed
            | Self::DeadlineExceeded
            | Self::TotalTimeout
            | Self::Connect
            | Self::Loop
            | Self::TooEarly
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::Unproven(_)
            | Self::FileNotFound
            | Self::OnlyIfCached
            | Self::FileUnreadable
            | Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded
            | Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamBusy
            | Self::SocketsExhausted
            | Self::UpstreamMalformed(_)
            | Self::UpgradeFailed
            | Self::BetweenBytesTimeout
            | Self::Bug => None,
        }
    }

    /// The status that tells the client so. 499 is never sent: nobody is there to read it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(malformed) | Self::BodyMalformed(malformed) => malformed.status(),
            Self::HeadTimeout | Self::BodyIdle | Self::BodyTooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::HelloMalformed(_) | Self::DeadlineMalformed => 400,
            Self::UnrecognizedName => 421,
            Self::Unproven(unproven) => unproven.status(),
            Self::ClientGone | Self::ClientStalled => 499,
            Self::Connect => 501,
            Self::TooEarly => 425,
            Self::NoRoute | Self::FileNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::FileUnreadable | Self::Bug => 500,
            Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded
            | Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamBusy
            | Self::SocketsExhausted => 503,
            Self::Loop
            | Self::DnsFailed
            | Self::ConnectRefused
            | Self::Unreachable
            | Self::ConnectFailed
            | Self::NoTls(_)
            | Self::SendFailed
            | Self::UpstreamClosed
            | Self::StreamRefused
            | Self::UpstreamMalformed(_)
            | Self::UpgradeFailed
            | Self::UpstreamTruncated => 502,
            Self::DnsTimeout
            | Self::ConnectTimeout
            | Self::SendTimeout
            | Self::FirstByteTimeout
            | Self::BetweenBytesTimeout
            | Self::ConnectionIdle
            | Self::DeadlineExceeded
            | Self::TotalTimeout
            | Self::OnlyIfCached => 504,
        }
    }

    /// Its name in logs, in metrics and in the `type` of the problem document (RFC 9457, 3.1.1).
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BodyMalformed(_) => "body-malformed",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyIdle => "body-idle",
            Self::BodyTooSlow => "body-too-slow",
            Self::ClientGone => "client-gone",
            Self::ClientStalled => "client-stalled",
            Self::HelloMalformed(_) => "hello-malformed",
            Self::UnrecognizedName => "unrecognized-name",
            Self::ConnectionIdle => "connection-idle",
            Self::DeadlineMalformed => "deadline-malformed",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::TotalTimeout => "total-timeout",
            Self::Connect => "connect",
            Self::Loop => "loop",
            Self::TooEarly => "too-early",
            Self::NoRoute => "no-route",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Unproven(unproven) => unproven.slug(),
            Self::FileNotFound => "file-not-found",
            Self::OnlyIfCached => "only-if-cached",
            Self::FileUnreadable => "file-unreadable",
            Self::TooManyConnections => "too-many-connections",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::NoEndpoint => "no-endpoint",
            Self::Starting => "starting",
            Self::UpstreamBusy => "upstream-busy",
            Self::SocketsExhausted => "sockets-exhausted",
            Self::DnsFailed => "dns-failed",
            Self::DnsTimeout => "dns-timeout",
            Self::ConnectRefused => "connect-refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Unreachable => "unreachable",
            Self::ConnectFailed => "connect-failed",
            Self::NoTls(no_tls) => no_tls.slug(),
            Self::SendTimeout => "send-timeout",
            Self::SendFailed => "send-failed",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::UpstreamClosed => "upstream-closed",
            Self::StreamRefused => "stream-refused",
            Self::UpstreamMalformed(_) => "upstream-malformed",
            Self::UpgradeFailed => "upgrade-failed",
            Self::BetweenBytesTimeout => "between-bytes-timeout",
            Self::UpstreamTruncated => "upstream-truncated",
            Self::Bug => "bug",
        }
    }

    /// What the client is told. It names no service, no address and no limit.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Malformed(_) => "The request is not valid HTTP",
            Self::BodyMalformed(_) => "The body of the request is not valid HTTP",
            Self::HeadTimeout => "The request did not arrive in time",
            Self::BodyTooLarge => "The body of the request is too large",
            Self::BodyIdle | Self::BodyTooSlow => "The body of the request did not arrive in time",
            Self::ClientGone => "The client closed the connection",
            Self::ClientStalled => "The client did not take the response",
            Self::HelloMalformed(_) => "The connection does not begin as it has to",
            Self::UnrecognizedName => "There is no server of this name here",
            Self::ConnectionIdle => "Nothing was said for too long",
            Self::DeadlineMalformed => "The deadline of the request cannot be read",
            Self::DeadlineExceeded => "The deadline of the request is over",
            Self::Connect => "This server opens no tunnels",
            Self::Loop => "The request went in a circle",
            Self::TooEarly => "The request came too early: it is to be sent again",
            Self::NoRoute | Self::FileNotFound => "There is nothing here",
            Self::OnlyIfCached => "There is no stored answer",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::Unproven(unproven) => unproven.title(),
            Self::FileUnreadable | Self::Bug => "Something went wrong on our side",
            Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded
            | Self::UpstreamBusy
            | Self::SocketsExhausted => "The server is too busy at the moment",
            Self::NoEndpoint | Self::Starting => "The service is not available at the moment",
            Self::DnsFailed
            | Self::DnsTimeout
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::ConnectFailed
            | Self::NoTls(_) => "The service could not be reached",
            Self::SendTimeout
            | Self::FirstByteTimeout
            | Self::BetweenBytesTimeout
            | Self::TotalTimeout => "The service did not answer in time",
            Self::SendFailed
            | Self::UpstreamClosed
            | Self::StreamRefused
            | Self::UpstreamTruncated => "The service broke off",
            Self::UpstreamMalformed(_) | Self::UpgradeFailed => {
                "The service gave an invalid answer"
            }
        }
    }

    /// Why, as a clause for log and trail; never shown to the client.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(malformed)
            | Self::BodyMalformed(malformed)
            | Self::UpstreamMalformed(malformed) => malformed.reason(),
            Self::HeadTimeout => "the client did not finish its head in time",
            Self::BodyTooLarge => "the body is larger than allowed",
            Self::BodyIdle => "the client paused for too long within the body",
            Self::BodyTooSlow => "the client sent its body too slowly",
            Self::ClientGone => "the client closed before it had its answer",
            Self::ClientStalled => "the client took its answer too slowly",
            Self::HelloMalformed(not_hello) => not_hello.reason(),
            Self::UnrecognizedName => "no entry is for the server that the client names",
            Self::ConnectionIdle => "nothing moved in either direction for too long",
            Self::DeadlineMalformed => "the client's deadline is no time",
            Self::DeadlineExceeded => "the time that the client set is over",
            Self::TotalTimeout => "the time that a request may take in all is over",
            Self::Connect => "`CONNECT` is not offered",
            Self::Loop => "our own name is in `Via`",
            Self::TooEarly => "it came in early data, and its method is not safe",
            Self::NoRoute => "no route matches",
            Self::MethodNotAllowed => "the routes that match have other methods",
            Self::Unproven(unproven) => unproven.reason(),
            Self::FileNotFound => "there is no such file",
            Self::OnlyIfCached => "the client wants a stored answer only, and there is none",
            Self::FileUnreadable => "the file cannot be read",
            Self::TooManyConnections => "as many connections are open as allowed",
            Self::Draining => "shutting down",
            Self::Overloaded => "more work than can be done in time",
            Self::NoEndpoint => "the service has no usable endpoint",
            Self::Starting => "the instances of the service are still starting",
            Self::UpstreamBusy => "every endpoint has as many requests as allowed",
            Self::SocketsExhausted => "no socket could be had",
            Self::DnsFailed => "the name of the endpoint has no address",
            Self::DnsTimeout => "the name of the endpoint was not resolved in time",
            Self::ConnectRefused => "the endpoint refused the connection",
            Self::ConnectTimeout => "the endpoint did not accept in time",
            Self::Unreachable => "there is no way to the endpoint",
            Self::ConnectFailed => "the connection attempt failed",
            Self::NoTls(no_tls) => no_tls.reason(),
            Self::SendTimeout => "the endpoint did not take the request in time",
            Self::SendFailed => "the endpoint closed while the request was being sent",
            Self::FirstByteTimeout => "the endpoint did not begin its answer in time",
            Self::UpstreamClosed => "the endpoint closed before it began its answer",
            Self::StreamRefused => "the endpoint refused the stream without looking at it",
            Self::UpgradeFailed => "the endpoint switched protocols without being asked",
            Self::BetweenBytesTimeout => "the endpoint paused for too long within its answer",
            Self::UpstreamTruncated => "the answer broke off",
            Self::Bug => "a mistake in Doorward",
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209, 2.3), where there is one.
    #[must_use]
    pub const fn proxy_error(self) -> Option<&'static str> {
        Some(match self {
            Self::Malformed(_)
            | Self::BodyMalformed(_)
            | Self::HeadTimeout
            | Self::BodyTooLarge
            | Self::BodyIdle
            | Self::BodyTooSlow
            | Self::DeadlineMalformed
            | Self::Connect
            | Self::TooEarly => "http_request_error",
            Self::MethodNotAllowed | Self::Unproven(_) => "http_request_denied",
            Self::NoRoute | Self::UnrecognizedName => "destination_not_found",
            Self::HelloMalformed(_) => "tls_protocol_error",
            Self::ClientGone
            | Self::ClientStalled
            | Self::FileNotFound
            | Self::FileUnreadable
            | Self::OnlyIfCached => {
                return None;
            }
            Self::Loop => "proxy_loop_detected",
            Self::NoEndpoint | Self::Starting => "destination_unavailable",
            Self::TooManyConnections | Self::UpstreamBusy => "connection_limit_reached",
            Self::Draining | Self::Overloaded | Self::SocketsExhausted => "proxy_internal_response",
            Self::Bug => "proxy_internal_error",
            Self::DnsFailed => "dns_error",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Unreachable => "destination_ip_unroutable",
            Self::ConnectFailed | Self::SendFailed | Self::UpstreamClosed | Self::StreamRefused => {
                "connection_terminated"
            }
            Self::NoTls(no_tls) => no_tls.proxy_error(),
            Self::SendTimeout => "connection_write_timeout",
            Self::FirstByteTimeout
            | Self::BetweenBytesTimeout
            | Self::ConnectionIdle
            | Self::DeadlineExceeded
            | Self::TotalTimeout => "connection_read_timeout",
            Self::UpstreamMalformed(Malformed::HeadTooLarge | Malformed::TooManyFields) => {
                "http_response_header_section_size"
            }
            Self::UpstreamMalformed(Malformed::TrailerTooLarge) => {
                "http_response_trailer_section_size"
            }
            Self::UpstreamMalformed(
                Malformed::UnknownTransferCoding | Malformed::TransferEncoding,
            ) => "http_response_transfer_coding",
            Self::UpstreamMalformed(Malformed::Truncated) | Self::UpstreamTruncated => {
                "http_response_incomplete"
            }
            Self::UpstreamMalformed(_) => "http_protocol_error",
            Self::UpgradeFailed => "http_upgrade_failed",
        })
    }
}
