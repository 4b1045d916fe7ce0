//! The static table of QPACK (RFC 9204, appendix A).

/// Names and values that are known by their place.
pub(super) const TABLE: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

const LENGTH_MAX: usize = 32;

/// The places in the table, names of one length behind each other.
const BY_LENGTH: [u8; 99] = by_length();

/// Where in [`BY_LENGTH`] the names of each length begin.
const BEGINS: [u8; LENGTH_MAX + 2] = begins();

const fn by_length() -> [u8; 99] {
    let mut places = [0; 99];
    let (mut count, mut length) = (0, 0);
    while length <= LENGTH_MAX {
        let mut at = 0;
        while at < TABLE.len() {
            if TABLE[at].0.len() == length {
                places[count] = at as u8;
                count += 1;
            }
            at += 1;
        }
        length += 1;
    }
    places
}

const fn begins() -> [u8; LENGTH_MAX + 2] {
    let mut begins = [0; LENGTH_MAX + 2];
    let mut length = 0;
    while length <= LENGTH_MAX {
        let (mut at, mut count) = (0, 0);
        while at < TABLE.len() {
            if TABLE[at].0.len() == length {
                count += 1;
            }
            at += 1;
        }
        begins[length + 1] = begins[length] + count;
        length += 1;
    }
    begins
}

/// What the table knows of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Line(u8),
    Name(u8),
    Nothing,
}

/// Looks up `name`, which is in lower case, and `value`.
pub(super) fn find(name: &[u8], value: &[u8]) -> Found {
    let Some(&[begin, end]) = BEGINS.get(name.len()..).and_then(|rest| rest.first_chunk()) else {
        return Found::Nothing;
    };
    let mut found = Found::Nothing;
    for &place in &BY_LENGTH[usize::from(begin)..usize::from(end)] {
        let (known, usual) = TABLE[usize::from(place)];
        if known.as_bytes() == name {
            if usual.as_bytes() == value {
                return Found::Line(place);
            }
            if found == Found::Nothing {
                found = Found::Name(place);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_at_its_place() {
        for (at, (name, value)) in TABLE.into_iter().enumerate() {
            assert_eq!(find(name.as_bytes(), value.as_bytes()), Found::Line(at as u8));
        }
        assert_eq!(find(b"content-type", b"x/y"), Found::Name(44));
        assert_eq!(find(b"x-unknown", b""), Found::Nothing);
        assert_eq!(find(&[b'x'; 200], b""), Found::Nothing);
    }
}
