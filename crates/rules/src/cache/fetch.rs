//! What a fetch asks for all who wait for it, and what its answer comes to.

use wire::{Known, RequestHead, ResponseHead};

use super::config::Cache;
use super::freshness::Times;
use super::reuse::Wishes;
use super::stored::Stored;
use super::storing::Asked;
use super::why::Why;
use super::{forget_conditions, wants_range};

/// What the answer to a fetch comes to.
#[derive(Debug)]
pub enum Brought {
    /// What is stored is still so; this takes its place.
    Updated(Box<Stored>),
    /// The service fails, and what is stale may stand in.
    Failing,
    /// It says that something is still so which is not what is stored, or that it is not for all; or it is
    /// not the rest of the part that is stored. What is stored may not be used any more, and the answer
    /// gives nothing in its place.
    Unfit,
    /// It may be stored, so it is for all whose request it is for.
    Shared(Box<Stored>, Why),
    /// It is for the client alone that asked.
    Own(Why),
}

/// Makes a client's request that of all who wait for its answer: it asks whether `stale` is still so, or
/// for the bytes that `part` does not have, or for what the client wants without its conditions.
pub fn prepare(request: &mut RequestHead, stale: Option<&Stored>, part: Option<&Stored>) {
    if let Some(stale) = stale.filter(|stale| stale.can_be_validated()) {
        stale.ask_whether_valid(request);
    } else if let Some((range, tag)) = part.and_then(Stored::rest) {
        forget_conditions(request);
        request.fields.push("Range", range.as_bytes());
        request.fields.push("If-Range", tag);
    } else if wants_range(request) {
        request.fields.remove(Known::IfNoneMatch);
        request.fields.remove(Known::IfModifiedSince);
    } else {
        forget_conditions(request);
    }
}

impl Cache {
    /// What `response` comes to, which answers a request that asked whether `stale` is still so, or for
    /// what `part` does not have.
    #[must_use]
    pub fn learn(
        &self,
        asked: &Asked<'_>,
        response: &ResponseHead,
        times: Times,
        (stale, part): (Option<&Stored>, Option<&Stored>),
    ) -> Brought {
        if let Some(stale) = stale {
            if response.status == 304 && stale.can_be_validated() {
                let updated = self.update(stale, response, times, asked.generation);
                let Some(mut updated) = updated else { return Brought::Unfit };
                if stale.public && !updated.public {
                    // It is each client's own from now on.
                    updated.key = asked.key.into();
                }
                return Brought::Updated(Box::new(updated));
            }
            if stale.stands_in(&Wishes::default(), response.status, times.received_ms) {
                return Brought::Failing;
            }
        }
        let stored = self.store(asked, response, times);
        if let Some(part) = part
            && matches!(response.status, 206 | 416)
        {
            // The client wants the whole, and knows nothing of parts.
            return match stored {
                Ok((stored, why)) if stored.completes(part) => {
                    Brought::Shared(Box::new(stored), why)
                }
                _ => Brought::Unfit,
            };
        }
        match stored {
            Ok((stored, why)) => Brought::Shared(Box::new(stored), why),
            Err(why) => Brought::Own(why),
        }
    }
}

impl Stored {
    /// Whether `part` and this behind it are the whole.
    fn completes(&self, part: &Self) -> bool {
        self.joins(part).is_some_and(|join| {
            let whole_bytes = part.part.map_or(0, |part| part.whole_bytes);
            join.other_first && join.skip == 0 && part.body_bytes + self.body_bytes == whole_bytes
        })
    }
}
