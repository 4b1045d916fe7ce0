//! How clients of PostgreSQL ask for encryption before anything is encrypted: by a message of eight
//! bytes, which the server answers with one ("Message Flow", 55.2.10 and 55.2.11 of its manual).

/// What the first bytes of a connection ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing of this kind.
    Nothing,
    /// It cannot be told yet.
    Partial,
    /// For TLS: `SSLRequest`.
    Tls,
    /// For encryption by GSSAPI: `GSSENCRequest`. Who is told no asks for TLS next.
    Gss,
}

/// The message that asks for TLS.
pub const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// The answer of a server that goes on with TLS.
pub const YES: u8 = b'S';

/// The answer of one that does not.
pub const NO: u8 = b'N';

/// Looks at the start of a connection.
#[must_use]
pub fn asks(bytes: &[u8]) -> Asks {
    let start = &bytes[..bytes.len().min(TLS_REQUEST.len())];
    match start {
        [] => Asks::Partial,
        _ if start == TLS_REQUEST => Asks::Tls,
        _ if start == GSS_REQUEST => Asks::Gss,
        _ if TLS_REQUEST.starts_with(start) || GSS_REQUEST.starts_with(start) => Asks::Partial,
        _ => Asks::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_tell_it_apart() {
        for split in 0..8 {
            assert_eq!(asks(&TLS_REQUEST[..split]), Asks::Partial);
            assert_eq!(asks(&GSS_REQUEST[..split]), Asks::Partial);
        }
        assert_eq!(asks(&TLS_REQUEST), Asks::Tls);
        assert_eq!(asks(&[&TLS_REQUEST[..], b"more"].concat()), Asks::Tls);
        assert_eq!(asks(&GSS_REQUEST), Asks::Gss);
        // A start without encryption, and TLS itself.
        assert_eq!(asks(&[0, 0, 0, 40, 0, 3, 0, 0]), Asks::Nothing);
        assert_eq!(asks(&[22, 3, 1]), Asks::Nothing);
    }
}
