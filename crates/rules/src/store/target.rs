//! The URL that somebody wrote, as stored responses have theirs.

use crate::cache::normal_url;
use crate::percent;

/// `text` as the URL of a stored response: scheme and host in small letters, no default port, no fragment,
/// a path without dots to follow, escapes in their one form. `None` if it is not one of HTTP with a host.
#[must_use]
pub fn url(text: &str) -> Option<Vec<u8>> {
    read(text, true)
}

/// As [`url`], the beginning of some: what it ends with may go on.
#[must_use]
pub fn url_prefix(text: &str) -> Option<Vec<u8>> {
    read(text, false)
}

fn read(text: &str, whole: bool) -> Option<Vec<u8>> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let is_blank = |byte: u8| byte <= b' ' || byte == 0x7f;
    if authority.is_empty() || !authority.is_ascii() || rest.bytes().any(is_blank) {
        return None;
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut escaped = slash.as_bytes().to_vec();
    // Browsers show what is escaped in requests.
    let keep = |byte: u8| byte.is_ascii_graphic() && !b"\"<>".contains(&byte);
    path.bytes().for_each(|byte| percent::encode(byte, keep, &mut escaped));
    let origin = format!("{scheme}://{authority}");
    Some(normal_url(origin.as_bytes(), &escaped, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_as_stored_responses_have_them() {
        for (written, read) in [
            ("http://Example.COM", Some("http://example.com/")),
            ("HTTP://h:80/a?b=1#c", Some("http://h/a?b=1")),
            ("https://h:443", Some("https://h/")),
            ("https://h:80/", Some("https://h:80/")),
            ("http://[::1]:8080/x", Some("http://[::1]:8080/x")),
            ("http://h?q", Some("http://h/?q")),
            ("http://h/a/./b/%2e%2e/%7ec?x=%c3%A4", Some("http://h/a/~c?x=%C3%A4")),
            ("http://h/stra\u{df}e?q=\u{e4}", Some("http://h/stra%C3%9Fe?q=%C3%A4")),
            ("http://h/%2541", Some("http://h/%2541")),
            ("http://m\u{fc}ller/", None),
            ("http:///a", None),
            ("ftp://h/", None),
            ("/a", None),
            ("http://h/a b", None),
        ] {
            let url = url(written).map(|url| String::from_utf8_lossy(&url).into_owned());
            assert_eq!(url.as_deref(), read, "{written}");
        }
        assert_eq!(url_prefix("http://h/a/.").as_deref(), Some(&b"http://h/a/."[..]));
    }
}
