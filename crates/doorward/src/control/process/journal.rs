//! What services print and what happens to them, on its way to whoever shows it.
//!
//! A bounded queue: a service that floods loses lines, which are counted, and is never blocked by
//! a slow reader. Each service has a share of its own, so a flood costs no other service a line.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

/// Bytes that one service may have waiting, whatever it prints.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// What an entry costs beside its text.
const ENTRY_BYTES: usize = 96;

/// One thing said by or about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) service: Arc<str>,
    /// `None` if it concerns the service as a whole, or its build.
    pub(crate) instance: Option<u32>,
    pub(crate) said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It printed a line.
    Line { stream: Stream, text: String },
    /// Something happened to it.
    Event { level: Level, text: String },
    /// So many lines were not kept, because nobody took them in time.
    Lost { lines: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// Where entries go in; clones share one journal.
#[derive(Clone, Debug)]
pub(crate) struct Sink(Arc<Journal>);

/// Where entries come out, in order. When it is dropped, entries are no longer kept.
#[derive(Debug)]
pub(crate) struct Entries(Arc<Journal>);

#[derive(Debug, Default)]
struct Journal {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    shares: HashMap<Arc<str>, Share>,
    nobody_reads: bool,
}

#[derive(Debug, Default)]
struct Share {
    waiting_bytes: usize,
    lost_lines: u64,
}

/// Both ends of a new journal.
pub(crate) fn journal() -> (Sink, Entries) {
    let journal = Arc::new(Journal::default());
    (Sink(Arc::clone(&journal)), Entries(journal))
}

impl Journal {
    /// Nothing panics while it holds the lock, so a poisoned queue is still whole.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    pub(super) fn line(
        &self,
        service: &Arc<str>,
        instance: Option<u32>,
        stream: Stream,
        text: String,
    ) {
        self.push(service, instance, Said::Line { stream, text });
    }

    pub(super) fn event(
        &self,
        service: &Arc<str>,
        instance: Option<u32>,
        level: Level,
        text: String,
    ) {
        self.push(service, instance, Said::Event { level, text });
    }

    fn push(&self, service: &Arc<str>, instance: Option<u32>, said: Said) {
        let entry = Entry { service: Arc::clone(service), instance, said };
        let mut queue = self.0.queue();
        if queue.nobody_reads {
            return;
        }
        let bytes = entry.bytes();
        let share = queue.shares.entry(Arc::clone(service)).or_default();
        let is_line = matches!(entry.said, Said::Line { .. });
        // Once lines are lost, half must be free again: else line and loss would alternate.
        let limit = WAITING_BYTES_MAX >> u32::from(share.lost_lines > 0);
        // Events are few (back-off sees to that) and matter most: they are always kept.
        if is_line && share.waiting_bytes + bytes > limit {
            share.lost_lines += 1;
            return;
        }
        share.waiting_bytes += bytes;
        let lost = is_line.then(|| std::mem::take(&mut share.lost_lines));
        if let Some(lines) = lost.filter(|lines| *lines > 0) {
            queue.entries.push_back(Entry {
                service: Arc::clone(service),
                instance: None,
                said: Said::Lost { lines },
            });
        }
        queue.entries.push_back(entry);
        drop(queue);
        self.0.filled.notify_one();
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match &self.said {
                Said::Line { text, .. } | Said::Event { text, .. } => text.len(),
                Said::Lost { .. } => 0,
            }
    }
}

impl Entries {
    /// The next entry. Waits for ever if there is none: the owner decides when to stop.
    pub(crate) async fn next(&mut self) -> Entry {
        loop {
            if let Some(entry) = self.take() {
                return entry;
            }
            self.0.filled.notified().await;
        }
    }

    /// The next entry, if there is one now.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let mut queue = self.0.queue();
        let entry = queue.entries.pop_front()?;
        let share = queue.shares.get_mut(&entry.service);
        let Some(share) = share.filter(|_| !matches!(entry.said, Said::Lost { .. })) else {
            return Some(entry);
        };
        share.waiting_bytes = share.waiting_bytes.saturating_sub(entry.bytes());
        if share.waiting_bytes == 0 {
            // Everything kept before the loss has been shown, and no line came after it.
            let lines = share.lost_lines;
            queue.shares.remove(&entry.service);
            if lines > 0 {
                queue.entries.push_front(Entry {
                    service: Arc::clone(&entry.service),
                    instance: None,
                    said: Said::Lost { lines },
                });
            }
        }
        Some(entry)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.nobody_reads = true;
        queue.entries.clear();
        queue.shares.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_counted_and_costs_no_other_service_a_line() {
        let (sink, mut entries) = journal();
        let (loud, calm): (Arc<str>, Arc<str>) = ("loud".into(), "calm".into());
        for number in 0..10_000 {
            sink.line(&loud, Some(1), Stream::Stdout, format!("{number:0900}"));
        }
        sink.line(&calm, Some(1), Stream::Stdout, "still here".to_owned());
        sink.event(&loud, Some(1), Level::Error, "exited".to_owned());
        let all: Vec<Entry> = std::iter::from_fn(|| entries.take()).collect();
        let kept = all
            .iter()
            .filter(|entry| matches!(&entry.said, Said::Line { .. }) && entry.service == loud)
            .count();
        assert!((200..300).contains(&kept), "{kept}");
        let rest: Vec<_> = all[kept..].iter().map(|entry| &entry.said).collect();
        let [Said::Line { text, .. }, Said::Event { .. }, Said::Lost { lines }] = rest[..] else {
            panic!("{rest:?}");
        };
        assert_eq!(text, "still here");
        assert_eq!(*lines as usize, 10_000 - kept);
        sink.line(&loud, Some(1), Stream::Stdout, "again".to_owned());
        assert!(entries.take().is_some() && entries.take().is_none());
    }

    #[test]
    fn a_reader_that_never_catches_up_is_told_of_the_loss_in_its_place() {
        let (sink, mut entries) = journal();
        let loud = Arc::from("loud");
        let mut said = Vec::new();
        for number in 0..20_000_u64 {
            sink.line(&loud, Some(1), Stream::Stdout, format!("{number:0900}"));
            if number % 4 == 0 {
                said.extend(entries.take().map(|entry| entry.said));
            }
        }
        said.extend(std::iter::from_fn(|| entries.take()).map(|entry| entry.said));
        let mut next = 0;
        for said in said {
            match said {
                Said::Line { text, .. } => {
                    assert_eq!(text.parse::<u64>().expect("a number"), next);
                    next += 1;
                }
                Said::Lost { lines } => next += lines,
                Said::Event { .. } => panic!("no event was said"),
            }
        }
        assert_eq!(next, 20_000);
    }

    #[test]
    fn nothing_is_kept_when_nobody_reads() {
        let (sink, entries) = journal();
        drop(entries);
        let service = Arc::from("a");
        sink.line(&service, None, Stream::Stderr, "unheard".to_owned());
        assert!(sink.0.queue().entries.is_empty() && sink.0.queue().shares.is_empty());
    }
}
