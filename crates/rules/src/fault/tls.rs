//! How a TLS connection to an endpoint fails, and what a route may miss in a client's certificate.

/// Why there is no TLS connection to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTls {
    /// Nobody who is trusted says whose the certificate is.
    UnknownAuthority,
    /// The certificate, or one that speaks for it, was valid until some time ago.
    Expired,
    /// The certificate, or one that speaks for it, will be valid some time.
    NotYetValid,
    /// The certificate is for other names.
    WrongName,
    /// The key is none of those that are expected.
    Pin,
    /// The certificate cannot be used for this: broken, badly signed, for another purpose.
    Invalid,
    /// The endpoint does not take our certificate, or wants one.
    ClientCertificate,
    /// The endpoint ended the handshake and said so.
    Refused,
    /// The endpoint does not speak the service's protocol by TLS.
    Protocol,
    /// The handshake failed in another way: mostly, the endpoint does not speak TLS.
    Failed,
}

impl NoTls {
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "certificate-unknown-authority",
            Self::Expired => "certificate-expired",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::WrongName => "certificate-wrong-name",
            Self::Pin => "certificate-pin",
            Self::Invalid => "certificate-invalid",
            Self::ClientCertificate => "tls-client-certificate",
            Self::Refused => "tls-refused",
            Self::Protocol => "tls-protocol",
            Self::Failed => "tls-failed",
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "no trusted authority vouches for the endpoint's certificate",
            Self::Expired => "the endpoint's certificate has expired",
            Self::NotYetValid => "the endpoint's certificate is not valid yet",
            Self::WrongName => "the endpoint's certificate is for another name",
            Self::Pin => "the endpoint's key is none of `pins`",
            Self::Invalid => "the endpoint's certificate cannot be used",
            Self::ClientCertificate => "the endpoint does not take our certificate, or wants one",
            Self::Refused => "the endpoint refused the TLS handshake",
            Self::Protocol => "the endpoint does not offer the service's protocol by TLS",
            Self::Failed => "the TLS handshake with the endpoint failed",
        }
    }

    /// RFC 9209, 2.3.
    pub(super) const fn proxy_error(self) -> &'static str {
        match self {
            Self::UnknownAuthority
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongName
            | Self::Pin
            | Self::Invalid => "tls_certificate_error",
            Self::ClientCertificate | Self::Refused => "tls_alert_received",
            Self::Protocol | Self::Failed => "tls_protocol_error",
        }
    }
}

/// What a route misses in a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It has shown no certificate.
    Certificate,
    /// Its certificate is not one of those that the route is for.
    Identity,
    /// It has shown no certificate, on a connection that it opened to another host: on one to this
    /// host it might (RFC 9110, 15.5.20).
    Misdirected,
    /// Its certificate was taken when the connection was made, and would not be now: it has expired, or
    /// it was revoked.
    Withdrawn,
}

impl Unproven {
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::Certificate => "client-certificate-required",
            Self::Identity => "client-not-allowed",
            Self::Misdirected => "misdirected",
            Self::Withdrawn => "client-certificate-withdrawn",
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Certificate | Self::Identity | Self::Withdrawn => 403,
            Self::Misdirected => 421,
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Certificate => "A client certificate is required here",
            Self::Identity | Self::Withdrawn => "The client certificate is not allowed here",
            Self::Misdirected => "The request came on a connection for another host",
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Certificate => "a client certificate is required, and there is none",
            Self::Identity => "the client's identity is none of those that the route is for",
            Self::Withdrawn => "the client's certificate has expired or was revoked meanwhile",
            Self::Misdirected => {
                "the route requires a client certificate, and the connection was opened to another host"
            }
        }
    }
}
