//! The URL that somebody wrote, as stored responses have theirs.

/// `text` as the URL of a stored response: scheme and host in small letters, no default port, no fragment,
/// a path. `None` if it is not one of HTTP with a host.
#[must_use]
pub fn url(text: &str) -> Option<Vec<u8>> {
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
    if authority.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("{scheme}://{authority}{slash}{path}").into_bytes())
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
            ("http:///a", None),
            ("ftp://h/", None),
            ("/a", None),
            ("http://h/a b", None),
        ] {
            assert_eq!(url(written), read.map(|read| read.as_bytes().to_vec()), "{written}");
        }
    }
}
