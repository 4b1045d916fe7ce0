//! The PROXY protocol header, versions 1 and 2 (`proxy-protocol.txt` of HAProxy).
//!
//! A proxy before us sends it as the first bytes of a connection, to say who the client is; so do we,
//! to a service that is told so.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What a header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How long the header is, in bytes.
    pub bytes: usize,
    /// The client; `None` for `LOCAL` and `UNKNOWN`, where the connection itself is meant.
    pub source: Option<SocketAddr>,
    /// Where the client connected to; there if `source` is.
    pub destination: Option<SocketAddr>,
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
    let ends = match words[..] {
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
            let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
            Some((SocketAddr::new(address(source)?, port(source_port)?), destination))
        }
        _ => return Err(NotProxyProtocol),
    };
    Ok(ProxyHeader::new(line.len(), ends))
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
    let ends = match (command, family, transport) {
        // LOCAL: a health check of the proxy itself.
        (0, ..) => None,
        (1, 1, 1) => {
            let end = |at, port_at| end_of(*tail.get(at..)?.first_chunk::<4>()?, tail, port_at);
            Some(end(0, 8).zip(end(4, 10)).ok_or(NotProxyProtocol)?)
        }
        (1, 2, 1) => {
            let end = |at, port_at| end_of(*tail.get(at..)?.first_chunk::<16>()?, tail, port_at);
            Some(end(0, 32).zip(end(16, 34)).ok_or(NotProxyProtocol)?)
        }
        (1, 0 | 3, _) => None,
        _ => return Err(NotProxyProtocol),
    };
    Ok(Some(ProxyHeader::new(16 + tail_bytes, ends)))
}

fn end_of(ip: impl Into<IpAddr>, tail: &[u8], port_at: usize) -> Option<SocketAddr> {
    let port = tail.get(port_at..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(ip.into(), u16::from_be_bytes(*port)))
}

impl ProxyHeader {
    /// With the client and where it connected to.
    fn new(bytes: usize, ends: Option<(SocketAddr, SocketAddr)>) -> Self {
        let (source, destination) = ends.unzip();
        Self { bytes, source, destination }
    }
}

/// Appends a header of version 2 that says that `source` connected to `destination`.
pub fn encode_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    // Version 2, command PROXY.
    out.push(0x21);
    // `::ffff:192.0.2.1` is how a socket for both families shows a client of the older one.
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend_from_slice(&[0x11, 0, 12]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
        (source, destination) => {
            out.extend_from_slice(&[0x21, 0, 36]);
            out.extend_from_slice(&as_v6(source).octets());
            out.extend_from_slice(&as_v6(destination).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// One header has addresses of one family.
fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
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
        for (header, ends) in [
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n".to_vec(),
                Some(["192.0.2.1:8080", "192.0.2.2:80"]),
            ),
            (b"PROXY TCP6 ::1 ::2 99 80\r\n".to_vec(), Some(["[::1]:99", "[::2]:80"])),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &v4), Some(["192.0.2.1:8080", "192.0.2.2:80"])),
            (v2(1, 0x21, &v6), Some(["[::1]:99", "[::]:0"])),
            (v2(0, 0, &[]), None),
        ] {
            let ends = ends.map(|ends| ends.map(|text| text.parse().expect("an address")));
            let ends = ends.map(|[source, destination]| (source, destination));
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1\r\n");
            for split in 0..header.len() {
                assert_eq!(read(&bytes[..split]), Ok(None), "{header:?} at {split}");
            }
            assert_eq!(read(&bytes), Ok(Some(ProxyHeader::new(header.len(), ends))));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (source, destination, said) in [
            ("192.0.2.1:8080", "10.0.0.1:80", ["192.0.2.1:8080", "10.0.0.1:80"]),
            ("[::ffff:192.0.2.1]:8080", "10.0.0.1:80", ["192.0.2.1:8080", "10.0.0.1:80"]),
            ("[2001:db8::1]:1", "[::1]:2", ["[2001:db8::1]:1", "[::1]:2"]),
            ("[2001:db8::1]:1", "10.0.0.1:2", ["[2001:db8::1]:1", "[::ffff:10.0.0.1]:2"]),
        ] {
            let address = |text: &str| text.parse().expect("an address");
            let mut bytes = Vec::new();
            encode_v2(address(source), address(destination), &mut bytes);
            let ends = (address(said[0]), address(said[1]));
            assert_eq!(read(&bytes), Ok(Some(ProxyHeader::new(bytes.len(), Some(ends)))));
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
