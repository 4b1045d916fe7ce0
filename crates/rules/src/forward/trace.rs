//! `traceparent` (W3C Trace Context): a valid one goes on unchanged, because this hop makes no span
//! of its own; without one, a trace begins here.

use wire::{Known, RequestHead};

use crate::Cx;
use crate::cx::write_hex;

/// Drops what is no valid trace, and `tracestate` with it (W3C Trace Context, 3.3.1.2 and 4.3).
pub(super) fn receive(head: &mut RequestHead) {
    if !head.fields.has(Known::Traceparent) {
        return;
    }
    let mut all = head.fields.all(Known::Traceparent);
    let valid = all.next().is_some_and(is_valid) && all.next().is_none();
    drop(all);
    if !valid {
        head.fields.remove(Known::Traceparent);
        head.fields.remove_named("tracestate");
    }
}

/// Begins a trace if there is none.
pub(super) fn append(head: &RequestHead, cx: &Cx, out: &mut Vec<u8>) {
    if head.fields.has(Known::Traceparent) {
        return;
    }
    // The trace id is the request id, if that was made here too, so one search finds both. The
    // parent id is other bits of the same draw. Neither may be zero.
    let random = cx.random;
    let parent = (random as u64 ^ (random >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = *b"traceparent: 00-00000000000000000000000000000000-0000000000000000-01\r\n";
    match cx.request_id.made_text() {
        Some(id) if random != 0 => text[16..48].copy_from_slice(id),
        _ => write_hex(&random.max(1).to_be_bytes(), &mut text[16..48]),
    }
    write_hex(&parent.max(1).to_be_bytes(), &mut text[49..65]);
    // Sampled: with `00` the services' samplers would follow us and drop every trace.
    out.extend_from_slice(&text);
}

/// `version-traceid-parentid-flags`; a later version may go on behind that (2.2 and 4.1).
fn is_valid(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let Some((head, rest)) = value.split_at_checked(55) else {
        return false;
    };
    let [version, trace, parent, flags] = [&head[..2], &head[3..35], &head[36..52], &head[53..]];
    let dashes = [head[2], head[35], head[52]] == [b'-'; 3];
    let ends = rest.is_empty() || version != b"00" && rest[0] == b'-';
    let zero = |part: &[u8]| part.iter().all(|&byte| byte == b'0');
    dashes
        && ends
        && version != b"ff"
        && [version, trace, parent, flags].into_iter().all(hex)
        && !zero(trace)
        && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_traces_are_told_from_others() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_valid(good.as_bytes()));
        assert!(is_valid(good.replacen("00", "cc", 1).as_bytes()));
        assert!(is_valid(format!("{}-more", good.replacen("00", "01", 1)).as_bytes()));
        for bad in [
            String::new(),
            format!("{good}-more"),
            format!("{good}x"),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            good.replace('-', "_"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace("4b", "g0"),
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
