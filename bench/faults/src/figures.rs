//! What came of a day, as JSON.

use std::fmt::Write;

use crate::client::{End, Outcome, Priority};
use crate::script::Scenario;

pub fn json(scenario: &Scenario, outcomes: &[Outcome], killed: usize) -> String {
    let mut good: Vec<u64> =
        outcomes.iter().filter(|one| one.end == End::Good).map(|one| one.latency_us).collect();
    good.sort_unstable();
    let percentile = |share: f64| {
        let at = (good.len() as f64 * share) as usize;
        good.get(at.min(good.len().saturating_sub(1))).map_or(0.0, |us| *us as f64 / 1000.0)
    };
    // A request that failed has waited for ever: to fail quickly must not look like being fast.
    let of_all = |share: f64| {
        let at = (outcomes.len() as f64 * share) as usize;
        good.get(at).map_or("null".to_owned(), |us| format!("{:.2}", *us as f64 / 1000.0))
    };
    let count = |end: End| outcomes.iter().filter(|one| one.end == end).count();
    let per_s = good.len() as f64 * 1000.0 / scenario.counted_ms as f64;
    let mut out = format!(
        "{{\"scenario\":\"{}\",\"requests\":{},\"good\":{},\"refused\":{},\"failed\":{},\
         \"good_per_s\":{per_s:.1},\"capacity\":{:.1},\"killed\":{killed},\
         \"p50_ms\":{:.2},\"p99_ms\":{:.2},\"p999_ms\":{:.2},\"p99_of_all_ms\":{}",
        scenario.name,
        outcomes.len(),
        good.len(),
        count(End::Refused),
        count(End::Failed),
        scenario.capacity(),
        percentile(0.5),
        percentile(0.99),
        percentile(0.999),
        of_all(0.99),
    );
    for priority in Priority::ALL {
        let all = outcomes.iter().filter(|one| one.priority == priority).count();
        let served = outcomes.iter().filter(|one| one.priority == priority && one.end == End::Good);
        let share = served.count() as f64 / all.max(1) as f64;
        let _ = write!(out, ",\"{}\":{share:.5}", priority.name());
    }
    out + "}"
}
