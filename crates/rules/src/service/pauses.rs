//! Pauses that double each time, up to the longest.

use config::{At, Period, Place, Report};

/// Whether `pause` is no longer than `pause_max`; reported if it is, at what was written of the two.
pub(super) fn in_order(pause: &At<Period>, pause_max: &At<Period>, report: &mut Report) -> bool {
    if **pause <= **pause_max {
        return true;
    }
    // A default stands nowhere, so it is told.
    if pause_max.place() == Place::NONE {
        report
            .error(pause, format!("`pause = \"{}\"` is more than `pause-max`", **pause))
            .help(format!("`pause-max` is \"{}\" if it is left out", **pause_max));
        return false;
    }
    let text = format!("`pause-max = \"{}\"` is less than `pause`", **pause_max);
    let problem = report.error(pause_max, text);
    if pause.place() == Place::NONE {
        problem.help(format!("`pause` is \"{}\" if it is left out", **pause));
    } else {
        problem.other(pause, "that is at");
    }
    false
}
