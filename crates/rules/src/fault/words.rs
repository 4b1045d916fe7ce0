//! What a fault is called, and what clients and logs are told of it.

use wire::h1::Malformed;

use super::Fault;

impl Fault {
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
            Self::Injected(_) => "injected",
            Self::InjectedReset => "injected-reset",
            Self::FileNotFound => "file-not-found",
            Self::OnlyIfCached => "only-if-cached",
            Self::FileUnreadable => "file-unreadable",
            Self::TooManyConnections => "too-many-connections",
            Self::Draining => "draining",
            Self::Overloaded { .. } => "overloaded",
            Self::NoEndpoint => "no-endpoint",
            Self::Starting => "starting",
            Self::UpstreamBusy => "upstream-busy",
            Self::UpstreamOverloaded { .. } => "upstream-overloaded",
            Self::BreakerOpen { .. } => "breaker-open",
            Self::UpstreamConnections => "upstream-connections",
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
            Self::Injected(_) | Self::InjectedReset => "The request was failed on purpose",
            Self::FileUnreadable | Self::Bug => "Something went wrong on our side",
            Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded { .. }
            | Self::UpstreamBusy
            | Self::UpstreamOverloaded { .. }
            | Self::UpstreamConnections
            | Self::SocketsExhausted => "The server is too busy at the moment",
            Self::NoEndpoint | Self::Starting | Self::BreakerOpen { .. } => {
                "The service is not available at the moment"
            }
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
            Self::Injected(_) | Self::InjectedReset => "it was failed on purpose",
            Self::FileNotFound => "there is no such file",
            Self::OnlyIfCached => "the client wants a stored answer only, and there is none",
            Self::FileUnreadable => "the file cannot be read",
            Self::TooManyConnections => "as many connections are open as allowed",
            Self::Draining => "shutting down",
            Self::Overloaded { .. } => "more work than can be done in time",
            Self::NoEndpoint => "the service has no usable endpoint",
            Self::Starting => "the instances of the service are still starting",
            Self::UpstreamBusy => "every endpoint has as many requests as allowed",
            Self::UpstreamOverloaded { .. } => {
                "the service is asked for more than it can do in time"
            }
            Self::BreakerOpen { .. } => "the breaker before the service is open",
            Self::UpstreamConnections => "the endpoint has as many connections as allowed",
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
            Self::Injected(_)
            | Self::InjectedReset
            | Self::Draining
            | Self::Overloaded { .. }
            | Self::SocketsExhausted => "proxy_internal_response",
            Self::NoEndpoint | Self::Starting | Self::BreakerOpen { .. } => {
                "destination_unavailable"
            }
            Self::TooManyConnections
            | Self::UpstreamBusy
            | Self::UpstreamOverloaded { .. }
            | Self::UpstreamConnections => "connection_limit_reached",
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
