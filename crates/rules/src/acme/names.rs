//! Which names an authority can certify.

use super::advice::Challenge;

/// The longest name, and the longest of its labels (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Advice, if no certificate can be had for `name` by `challenge`.
pub fn wrong_name(name: &str, challenge: Challenge) -> Option<String> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Some("an address is none: write the name that leads to it".to_owned());
    }
    if name.contains("://") || name.contains([':', '/']) {
        return Some("write only the name, such as \"www.example.com\"".to_owned());
    }
    if !name.is_ascii() {
        return Some("write it as DNS has it, in Punycode: \"xn--...\"".to_owned());
    }
    let plain = name.strip_prefix("*.").unwrap_or(name);
    if plain.contains('*') {
        return Some("`*` stands for the first label only: \"*.example.com\"".to_owned());
    }
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner
            && !label.starts_with('-')
            && !label.ends_with('-')
            && (1..=LABEL_BYTES_MAX).contains(&label.len())
    };
    if name.len() > NAME_BYTES_MAX || !plain.split('.').all(is_label) {
        return Some("a name is of letters, digits and `-`, with dots between them".to_owned());
    }
    if plain == "localhost" || plain.ends_with(".localhost") {
        return Some("it means a different machine everywhere; `doorward dev` certifies it".into());
    }
    if plain.len() < name.len() && challenge != Challenge::Dns01 {
        return Some("a wildcard takes `challenge = \"dns-01\"`, or write each name".to_owned());
    }
    None
}
