//! What follows from the answers of an endpoint to one check after the other.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rules::service::Health;

/// How an endpoint stands, as far as it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Standing {
    /// Nobody asks it.
    Unasked,
    /// It has neither passed nor failed often enough yet.
    Unproven,
    /// It passed as often in a row as it had to.
    Well,
    /// It failed so often in a row.
    Unwell,
}

impl Standing {
    pub(crate) fn of(number: u8) -> Self {
        [Self::Unasked, Self::Unproven, Self::Well, Self::Unwell]
            .into_iter()
            .find(|standing| *standing as u8 == number)
            .expect("only standings are stored")
    }
}

/// How an endpoint stands, and the answers in a row that may change it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) standing: Standing,
    /// Good answers in a row, or bad ones if it is negative.
    streak: i64,
}

impl Proof {
    pub(super) fn new(standing: Standing) -> Self {
        Self { standing, streak: 0 }
    }

    /// Notes an answer; true if the endpoint stands differently now.
    pub(super) fn hear(&mut self, passed: bool, health: &Health) -> bool {
        self.streak = if passed { self.streak.max(0) + 1 } else { self.streak.min(0) - 1 };
        let stands = match passed {
            true if self.streak >= i64::from(health.healthy_after) => Standing::Well,
            false if -self.streak >= i64::from(health.unhealthy_after) => Standing::Unwell,
            _ => self.standing,
        };
        std::mem::replace(&mut self.standing, stands) != stands
    }

    /// Whether the next check is to come soon: it is on its way to being well for the first time.
    pub(super) fn is_hopeful(&self) -> bool {
        self.standing == Standing::Unproven && self.streak > 0
    }
}

/// What is known about an endpoint from checks: control writes it, workers look.
#[derive(Debug)]
pub(crate) struct Findings {
    standing: AtomicU8,
    passed: AtomicU64,
    failed: AtomicU64,
    /// Why the last check failed, if it did.
    why: Mutex<Option<String>>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            standing: AtomicU8::new(Standing::Unasked as u8),
            passed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            why: Mutex::new(None),
        }
    }
}

impl Findings {
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(self.standing.load(Ordering::Relaxed))
    }

    /// Checks that passed and that failed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    pub(crate) fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    /// Notes the answer to a check, behind which the endpoint stands so.
    pub(super) fn note(&self, answer: Result<(), String>, standing: Standing) {
        let count = if answer.is_ok() { &self.passed } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = answer.err();
        self.stand(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::health::Checked;

    #[test]
    fn it_takes_answers_in_a_row_to_rise_and_to_fall() {
        let mut health = Checked::connections(rules::service::Protocol::Http1).health;
        (health.healthy_after, health.unhealthy_after) = (2, 3);
        let mut proof = Proof::new(Standing::Unproven);
        let mut hear = |answers: &str| {
            let mark = |standing| match standing {
                Standing::Unasked => '-',
                Standing::Unproven => '?',
                Standing::Well => 'w',
                Standing::Unwell => 'u',
            };
            let told = answers.chars().map(|answer| {
                let changed = proof.hear(answer == '+', &health);
                format!("{}{}", mark(proof.standing), if changed { "!" } else { "" })
            });
            told.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hear("+-+-++"), "? ? ? ? ? w!");
        assert_eq!(hear("--+---"), "w w w w w u!");
        assert_eq!(hear("-+-++-"), "u u u u w! w");
    }
}
