//! The head of a request, from a field section (RFC 9114, 4.3).

use super::qpack::Section;
use crate::framed::Pseudo;
use crate::h1::{HeadLimits, Malformed};
use crate::head::{RequestHead, Version};

/// Reads `section` into `head`. `text` is memory to work in.
///
/// # Errors
/// Pseudo-header fields that are missing, unknown, there twice or behind others (RFC 9114, 4.3), and
/// whatever the reader of HTTP/1.1 would say.
pub fn read_request(
    section: &Section,
    head: &mut RequestHead,
    text: &mut Vec<u8>,
    limits: &HeadLimits,
) -> Result<(), Malformed> {
    let mut pseudo = Pseudo::default();
    let mut count = 0;
    let mut seen = [false; 5];
    for (name, value) in section.iter().take_while(|(name, _)| name.starts_with(b":")) {
        let at = match name {
            b":method" => 0,
            b":scheme" => 1,
            b":authority" => 2,
            b":path" => 3,
            b":protocol" => 4,
            _ => return Err(Malformed::RequestLine),
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(Malformed::RequestLine);
        }
        match at {
            0 => pseudo.method = value,
            1 => pseudo.scheme = value,
            2 => pseudo.authority = value,
            3 => pseudo.path = value,
            _ => pseudo.protocol = Some(value),
        }
        count += 1;
    }
    if pseudo.method == b"CONNECT" && pseudo.protocol.is_none() {
        // RFC 9114, 4.4: without scheme and path. It is refused behind this.
        if seen[1] || seen[3] {
            return Err(Malformed::RequestLine);
        }
        pseudo.scheme = b"https";
    } else if !seen[1] {
        // RFC 9114, 4.3.1: all other requests "MUST include" one.
        return Err(Malformed::RequestLine);
    }
    // A pseudo-header field behind others is no name there.
    head.assemble(Version::Http3, &pseudo, section.iter().skip(count), text, limits)
}

#[cfg(test)]
mod tests {
    use super::super::qpack::{begin_section, write_line};
    use super::*;

    fn read(lines: &[(&str, &str)]) -> Result<String, Malformed> {
        let mut block = Vec::new();
        begin_section(&mut block);
        for (name, value) in lines {
            write_line(name.as_bytes(), value.as_bytes(), &mut block);
        }
        let mut section = Section::default();
        section.read(&block, 10_000).expect("just written");
        let (mut head, mut text) = (RequestHead::default(), Vec::new());
        read_request(&section, &mut head, &mut text, &HeadLimits::default())?;
        assert_eq!(head.version, Version::Http3);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields =
            head.fields.iter().map(|(name, value)| format!(" {}={}", text(name), text(value)));
        let fields: String = fields.collect();
        Ok(format!("{} {}{fields}", head.method_text(), text(head.asked_path())))
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x")];

    fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        GET.into_iter().chain(more.iter().copied()).collect()
    }

    #[test]
    fn heads_are_what_their_fields_say() {
        assert_eq!(read(&GET), Ok("GET /x host=a.test".to_owned()));
        let cookies = with(&[("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2")]);
        assert_eq!(read(&cookies), Ok("GET /x host=a.test accept=*/* cookie=a=1; b=2".to_owned()));
        let socket = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", "/ws"),
        ];
        assert_eq!(
            read(&socket),
            Ok("GET /ws host=a.test connection=upgrade upgrade=websocket".to_owned())
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for lines in [
            vec![],
            GET[1..].to_vec(),
            GET[..3].to_vec(),
            vec![GET[0], GET[2], GET[3]],
            vec![GET[0], GET[1], GET[3]],
            with(&[(":path", "/")]),
            with(&[(":status", "200")]),
            with(&[(":unknown", "1")]),
            with(&[("a", "b"), (":authority", "b.test")]),
            with(&[("connection", "close")]),
            with(&[("transfer-encoding", "chunked")]),
            with(&[("te", "gzip")]),
            with(&[("host", "b.test")]),
            with(&[("a", " b")]),
            with(&[("a", "b\nc")]),
            with(&[("", "b")]),
            vec![
                (":method", "CONNECT"),
                (":scheme", "https"),
                (":authority", "a:1"),
                (":path", "/"),
            ],
        ] {
            assert!(read(&lines).is_err(), "{lines:?}");
        }
    }
}
