//! How far a request may still go: `Max-Forwards`, and the end of circles.

use wire::{Known, Method, RequestHead};

/// How often a request may pass a Doorward. Chains have an edge and an inner one, rarely a third;
/// beyond this it goes in a circle.
const PASSES_MAX: usize = 8;

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// It may.
    GoOn,
    /// It was to come this far, and no further: it is for us to answer.
    Last,
    /// It goes in a circle.
    Circle,
}

/// Counts this hop, in `Max-Forwards` too.
pub fn count(head: &mut RequestHead) -> Hops {
    if !head.fields.has_any(Known::Via.bit() | Known::MaxForwards.bit()) {
        return Hops::GoOn;
    }
    let passes = head
        .fields
        .all(Known::Via)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .filter(|entry| entry.trim_ascii().ends_with(b" doorward"))
        .count();
    if passes >= PASSES_MAX {
        return Hops::Circle;
    }
    // RFC 9110, 7.6.2: for `TRACE` and `OPTIONS`; "MAY ignore" it for other methods.
    if head.method != Method::Options {
        return Hops::GoOn;
    }
    let left = head.fields.get(Known::MaxForwards).and_then(|value| {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        // What no integer holds is as good as no limit.
        std::str::from_utf8(value).ok().filter(|_| digits)?.parse::<u64>().ok()
    });
    match left {
        Some(0) => Hops::Last,
        Some(left) => {
            head.fields.set(Known::MaxForwards.name(), (left - 1).to_string().as_bytes());
            Hops::GoOn
        }
        None => Hops::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new(method, "a", "/").expect("a request");
        for (name, value) in fields {
            head.fields.push(name, value.as_bytes());
        }
        head
    }

    #[test]
    fn max_forwards_is_counted_down_and_ends_here_at_zero() {
        let mut one = head("OPTIONS", &[("Max-Forwards", "10")]);
        assert_eq!(count(&mut one), Hops::GoOn);
        assert_eq!(one.fields.get(Known::MaxForwards), Some(&b"9"[..]));
        assert_eq!(count(&mut head("OPTIONS", &[("Max-Forwards", "0")])), Hops::Last);
        assert_eq!(count(&mut head("GET", &[("Max-Forwards", "0")])), Hops::GoOn);
        assert_eq!(count(&mut head("OPTIONS", &[("Max-Forwards", "-1")])), Hops::GoOn);
    }

    #[test]
    fn a_circle_is_ended_and_a_chain_is_not() {
        let via = ("Via", "1.1 doorward, 1.0 other, 1.1 doorward");
        assert_eq!(count(&mut head("GET", &[via; 3])), Hops::GoOn);
        assert_eq!(count(&mut head("GET", &[via; 4])), Hops::Circle);
    }
}
