//! Doorward itself has too much to do when its own loop comes late.

use super::Priority;

/// From how late on nothing sheddable is taken, nothing normal, and nothing at all. A loop that turns
/// in time is late by a millisecond; at a tenth of a second every request waits that long several
/// times.
const LATE_MS: [f32; 3] = [1_000.0, 300.0, 100.0];

/// What sheds goes on shedding until the lag is half of what began it, so that it does not flutter.
const RELEASE: f32 = 0.5;

/// How much a turn counts.
const WEIGHT: f32 = 0.3;

/// How late one worker's loop is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopLag {
    late_ms: f32,
    /// How late the last turn alone was.
    last_ms: f32,
    /// From which class on it sheds: 3 is none.
    shed: [bool; 3],
}

impl LoopLag {
    /// A turn that was to take so long took so long.
    pub fn turned(&mut self, planned_ns: u64, took_ns: u64) {
        let turn_ms = took_ns.saturating_sub(planned_ns) as f32 / 1e6;
        // One late turn is a machine that paused; two are work that does not end.
        let late_ms = turn_ms.min(self.last_ms);
        self.last_ms = turn_ms;
        self.late_ms += (late_ms - self.late_ms) * WEIGHT;
        for (shed, from_ms) in self.shed.iter_mut().zip(LATE_MS) {
            *shed = self.late_ms >= if *shed { from_ms * RELEASE } else { from_ms };
        }
    }

    /// Whether a request of this priority is taken.
    #[must_use]
    #[inline]
    pub fn admits(&self, priority: Priority) -> bool {
        !self.shed[priority as usize]
    }

    /// How late it is.
    #[must_use]
    pub fn late_ms(&self) -> f32 {
        self.late_ms
    }
}
