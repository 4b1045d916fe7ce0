//! What is drawn for a request, from the random bits that it was given when it came.

use config::Share;

use crate::Cx;

/// What is drawn for. Each draw of a request knows nothing of its others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Delay = 1,
    Abort,
    Mirror,
}

/// Whether the request is in `share`; off by less than 2^-44.
pub(crate) fn is_drawn(cx: &Cx, draw: Draw, share: Share) -> bool {
    is_hit(cx.random as u64, draw, share)
}

fn is_hit(random: u64, draw: Draw, share: Share) -> bool {
    let drawn = mix(random ^ mix(draw as u64));
    let millionth = (u128::from(drawn) * 1_000_000) >> 64;
    millionth < u128::from(share.as_millionths())
}

/// The output function of `SplitMix64`: each bit of a draw depends on all of the request's.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_hit_as_their_share_says() {
        for percent in [0, 1, 30, 100] {
            let share = Share::from_percent(percent);
            let mut hits = [0_u32; 3];
            for request in 0..100_000_u64 {
                let random = mix(request);
                let [delay, abort] =
                    [Draw::Delay, Draw::Abort].map(|draw| is_hit(random, draw, share));
                hits[0] += u32::from(delay);
                hits[1] += u32::from(abort);
                hits[2] += u32::from(delay && abort);
            }
            let near = |hits: u32, expected: u32| hits.abs_diff(expected) < 500;
            assert!(near(hits[0], percent * 1000) && near(hits[1], percent * 1000), "{hits:?}");
            // The draws know nothing of each other.
            assert!(near(hits[2], percent * percent * 10), "{hits:?}");
        }
    }
}
