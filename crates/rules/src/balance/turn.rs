//! One endpoint after the other, with those passed over that refused a moment ago.

/// The endpoint to try among `count`, and why; `None` if there is none left.
///
/// `turn` grows by one with each request, `tried` counts the endpoints that failed this request
/// already, and `resting` says which refused a connection a moment ago: these are passed over
/// unless all of them rest.
pub fn pick(
    count: usize,
    turn: usize,
    tried: usize,
    resting: impl Fn(usize) -> bool,
) -> Option<(usize, &'static str)> {
    if tried >= count {
        return None;
    }
    let in_turn = |offset: usize| turn.wrapping_add(offset) % count;
    if let Some(at) = (0..count).map(in_turn).find(|&at| !resting(at)) {
        let why = if at == in_turn(0) { "next in turn" } else { "those before it are passed over" };
        return Some((at, why));
    }
    Some((in_turn(tried), "all are passed over"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_take_turns_and_resting_ones_are_passed_over() {
        let picks = |turn, tried, resting: &[usize]| {
            pick(3, turn, tried, |at| resting.contains(&at)).map(|(at, _)| at)
        };
        assert_eq!([0, 1, 2, 3].map(|turn| picks(turn, 0, &[])), [0, 1, 2, 0].map(Some));
        assert_eq!(picks(0, 0, &[0]), Some(1));
        assert_eq!(picks(0, 2, &[0, 1]), Some(2));
        assert_eq!([0, 1, 2].map(|tried| picks(1, tried, &[0, 1, 2])), [1, 2, 0].map(Some));
        assert_eq!(picks(0, 3, &[]), None);
        assert_eq!(pick(0, 0, 0, |_| false), None);
    }
}
