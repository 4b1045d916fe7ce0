//! Consistent hashing: which endpoints a key belongs to, in order of preference.

use super::Member;

/// Points on the ring for an endpoint of mean weight. With 128 the share of one strays by about a
/// tenth; ten endpoints take 15 KB.
const POINTS: f32 = 128.0;

/// The most points of one endpoint, however heavy: bounds memory, not fairness that anybody needs.
const POINTS_MAX: f32 = 4096.0;

/// A circle of hashes with points that belong to endpoints (Karger and others, 1997). The same on
/// every worker and node, since it depends on nothing but the endpoints' addresses and weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    /// Sorted; each with the place of its member.
    points: Vec<(u64, u32)>,
    members: usize,
}

impl Ring {
    pub(super) fn build(members: &[Member]) -> Self {
        let all: f32 = members.iter().map(|member| member.weight).sum();
        let mean = if all > 0.0 { all / members.len() as f32 } else { 1.0 };
        let mut points = Vec::new();
        for (at, member) in members.iter().enumerate() {
            let count = (POINTS * member.weight / mean).round().clamp(1.0, POINTS_MAX) as u64;
            let point = |n: u64| mix(member.hash ^ mix(n.wrapping_add(1)));
            points.extend((0..count).map(|n| (point(n), at as u32)));
        }
        points.sort_unstable();
        Self { points, members: members.len() }
    }

    /// The places of all members, nearest to `key` first, each once.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let start = self.points.partition_point(|(hash, _)| *hash < key);
        let around = self.points[start..].iter().chain(&self.points[..start]);
        let mut seen = Seen::default();
        around.map(|(_, at)| *at).filter(move |at| seen.insert(*at)).take(self.members)
    }
}

/// Which of a few members came already, without memory for each.
#[derive(Debug, Default)]
struct Seen {
    /// The first 256, as bits; the others are rare enough to come twice.
    bits: [u64; 4],
}

impl Seen {
    fn insert(&mut self, at: u32) -> bool {
        let Some(word) = self.bits.get_mut(at as usize / 64) else { return true };
        let bit = 1 << (at % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// The hash of `bytes`, the same on every node and in every version of this program.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// Hashes a key that comes in parts. FNV-1a with a finisher: no defence against keys that are made
/// to collide. Who makes them gets one endpoint to be busy, and the bound on its load sends the rest
/// elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    state: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Hasher {
    /// Takes the next bytes.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = (self.state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash of all.
    #[must_use]
    pub const fn finish(self) -> u64 {
        mix(self.state)
    }
}

/// Spreads the bits (the finisher of `SplitMix64`).
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
