//! The PROXY protocol header, versions 1 and 2 (`proxy-protocol.txt` of HAProxy).
//!
//! A proxy before us sends it as the first bytes of a connection, to say who the client is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How long the header is, in bytes.
    pub bytes: usize,
    /// The client; `None` for `LOCAL` and `UNKNOWN`, where the connection itself is meant.
    pub source: Option<SocketAddr>,
}

/// The bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProxyProtocol;

/// Version 1, 2.1: "a 108-byte buffer is always enough", 107 without the terminating zero.
const V1_BYTES_MAX: usize = 107;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The most bytes behind the fixed part of version 2: addresses and some extensions. The protocol
/// allows 65,535; real senders stay below this, and it has to fit in one read buffer.
const V2_TAIL_BYTES_MAX: usize = 4096;

/// Reads the header at the start of `bytes`; `None` if it is not whole yet.
///
/// # Errors
/// Anything that is not a whole, valid header: whoever sends that is not the proxy we trust.
pub fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotProxyProtocol> {
    let signature = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..signature] == V2_SIGNATURE[..signature] {
        return if bytes.len() < 16 { Ok(None) } else { read_v2(bytes) };
    }
    let prefix = bytes.len().min(6);
    if bytes[..prefix] != b"PROXY "[..prefix] {
        return Err(NotProxyProtocol);
    }
    match memchr::memchr(b'\n', &bytes[..bytes.len().min(V1_BYTES_MAX)]) {
        Some(end) => read_v1(&bytes[..=end]).map(Some),
        None if bytes.len() < V1_BYTES_MAX => Ok(None),
        None => Err(NotProxyProtocol),
    }
}

fn read_v1(line: &[u8]) -> Result<ProxyHeader, NotProxyProtocol> {
    let text = std::str::from_utf8(line).map_err(|_| NotProxyProtocol)?;
    let words: Vec<&str> = text.strip_suffix("\r\n").ok_or(NotProxyProtocol)?.split(' ').collect();
    let source = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        [
            "PROXY",
            family @ ("TCP4" | "TCP6"),
            source,
            destination,
            source_port,
            destination_port,
        ] => {
            let address = |text: &str| -> Result<IpAddr, NotProxyProtocol> {
                let parsed: IpAddr = text.parse().map_err(|_| NotProxyProtocol)?;
                if parsed.is_ipv4() == (family == "TCP4") {
                    Ok(parsed)
                } else {
                    Err(NotProxyProtocol)
                }
            };
            let port = |text: &str| -> Result<u16, NotProxyProtocol> {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| plain).ok_or(NotProxyProtocol)
            };
            address(destination)?;
            port(destination_port)?;
            Some(SocketAddr::new(address(source)?, port(source_port)?))
        }
        _ => return Err(NotProxyProtocol),
    };
    Ok(ProxyHeader { bytes: line.len(), source })
}

fn read_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotProxyProtocol> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 15);
    let (family, transport) = (bytes[13] >> 4, bytes[13] & 15);
    let tail_bytes = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if version != 2 || command > 1 || tail_bytes > V2_TAIL_BYTES_MAX {
        return Err(NotProxyProtocol);
    }
    let Some(tail) = bytes.get(16..16 + tail_bytes) else {
        return Ok(None);
    };
    let port = |at: usize| u16::from_be_bytes([tail[at], tail[at + 1]]);
    let source = match (command, family, transport) {
        // LOCAL: a health check of the proxy itself.
        (0, ..) => None,
        (1, 1, 1) if tail.len() >= 12 => {
            let address: [u8; 4] = tail[..4].try_into().map_err(|_| NotProxyProtocol)?;
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port(8)))
        }
        (1, 2, 1) if tail.len() >= 36 => {
            let address: [u8; 16] = tail[..16].try_into().map_err(|_| NotProxyProtocol)?;
            Some(SocketAddr::new(Ipv6Addr::from(address).into(), port(32)))
        }
        (1, 0 | 3, _) => None,
        _ => return Err(NotProxyProtocol),
    };
    Ok(Some(ProxyHeader { bytes: 16 + tail_bytes, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(tail.len()).expect("short").to_be_bytes());
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn headers_are_read_at_every_split() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x1f, 0x90, 0, 80];
        let mut v6 = [0; 36];
        (v6[15], v6[33]) = (1, 99);
        for (header, source) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n".to_vec(), Some("192.0.2.1:8080")),
            (b"PROXY TCP6 ::1 ::2 99 80\r\n".to_vec(), Some("[::1]:99")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &v4), Some("192.0.2.1:8080")),
            (v2(1, 0x21, &v6), Some("[::1]:99")),
            (v2(0, 0, &[]), None),
        ] {
            let source = source.map(|text| text.parse().expect("an address"));
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1\r\n");
            for split in 0..header.len() {
                assert_eq!(read(&bytes[..split]), Ok(None), "{header:?} at {split}");
            }
            assert_eq!(read(&bytes), Ok(Some(ProxyHeader { bytes: header.len(), source })));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 8080\r\n",
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 70000 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\n",
            b"PROXY  TCP4\r\n",
            &v2(2, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 11]),
            &[b'P'; 3],
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        ] {
            assert_eq!(read(bad), Err(NotProxyProtocol), "{bad:?}");
        }
    }
}
