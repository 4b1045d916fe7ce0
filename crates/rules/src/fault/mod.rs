//! Every way in which a request can go wrong, and what each means: one exhaustive match a question.

mod render;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod words;

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
    /// It was drawn to fail on purpose, with this status.
    Injected(u16),
    /// It was drawn to break off on purpose.
    InjectedReset,
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
    /// There is more work than Doorward itself can do in time.
    Overloaded {
        /// When it may come again.
        retry_after_s: u32,
    },
    /// The service has no endpoint that may be used.
    NoEndpoint,
    /// The instances of the service are still starting.
    Starting,
    /// Every endpoint of the service has as many requests as the configuration allows.
    UpstreamBusy,
    /// The service is asked for more than it can do in time, and this is not among what goes first.
    UpstreamOverloaded {
        /// When it may come again.
        retry_after_s: u32,
    },
    /// The endpoint has as many connections as the configuration allows.
    UpstreamConnections,
    /// The breaker before the service is open: most requests failed or took too long.
    BreakerOpen {
        /// When it may come again.
        retry_after_s: u32,
    },
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
            Self::TooManyConnections | Self::Draining | Self::Overloaded { .. } => Stage::Accept,
            Self::Malformed(_)
            | Self::HelloMalformed(_)
            | Self::DeadlineMalformed
            | Self::HeadTimeout
            | Self::Connect
            | Self::Loop
            | Self::TooEarly => Stage::Head,
            Self::NoRoute
            | Self::MethodNotAllowed
            | Self::Unproven(_)
            | Self::Injected(_)
            | Self::InjectedReset
            | Self::UnrecognizedName => Stage::Route,
            Self::BodyMalformed(_) | Self::BodyTooLarge | Self::BodyIdle | Self::BodyTooSlow => {
                Stage::Body
            }
            Self::FileNotFound | Self::FileUnreadable => Stage::Files,
            Self::OnlyIfCached => Stage::Endpoint,
            Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamBusy
            | Self::UpstreamOverloaded { .. }
            | Self::UpstreamConnections
            | Self::BreakerOpen { .. } => Stage::Endpoint,
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
            | Self::Injected(_)
            | Self::InjectedReset
            | Self::ConnectionIdle
            | Self::TooManyConnections
            | Self::OnlyIfCached
            | Self::Draining
            | Self::Overloaded { .. }
            | Self::UpstreamBusy
            | Self::SocketsExhausted
            | Self::Bug => Side::Ours,
            Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamOverloaded { .. }
            | Self::BreakerOpen { .. }
            | Self::UpstreamConnections
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

    /// Whether nobody is there to take the request, which may be otherwise in a moment.
    #[must_use]
    pub const fn is_absence(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::Unreachable
                | Self::ConnectFailed
                | Self::NoEndpoint
                | Self::Starting
        )
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
            | Self::UpstreamConnections
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
            | Self::Injected(_)
            | Self::InjectedReset
            | Self::FileNotFound
            | Self::OnlyIfCached
            | Self::FileUnreadable
            | Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded { .. }
            | Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamBusy
            | Self::UpstreamOverloaded { .. }
            | Self::BreakerOpen { .. }
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
            Self::Injected(status) => status,
            Self::ClientGone | Self::ClientStalled => 499,
            Self::Connect => 501,
            Self::TooEarly => 425,
            Self::NoRoute | Self::FileNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::FileUnreadable | Self::Bug => 500,
            Self::TooManyConnections
            | Self::Draining
            | Self::Overloaded { .. }
            | Self::NoEndpoint
            | Self::Starting
            | Self::UpstreamBusy
            | Self::UpstreamOverloaded { .. }
            | Self::BreakerOpen { .. }
            | Self::UpstreamConnections
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
            | Self::InjectedReset
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
}
