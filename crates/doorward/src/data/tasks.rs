//! Tasks that are used again: for streams, which come and go too fast for a new task each.
//!
//! A task holds the whole state of a request's way through the house, some kilobytes. To make one,
//! move it to the heap and throw it away again cost more than all else that a small request does
//! here.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::kept::Kept;

/// How many tasks wait for work at most, on each worker: as many as ten connections of a hundred
/// streams have at once. More are started when more is to do, and end behind it.
const IDLE_MAX: usize = 1024;

/// The tasks of one worker that do jobs of one kind.
pub(crate) struct Tasks<J> {
    idle: RefCell<Kept<Rc<Seat<J>>>>,
}

/// Where one task waits.
struct Seat<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Waker>,
    /// It is not wanted any more.
    over: Cell<bool>,
}

impl<J> Default for Tasks<J> {
    fn default() -> Self {
        Self { idle: RefCell::new(Kept::new(IDLE_MAX)) }
    }
}

impl<J: 'static> Tasks<J> {
    /// Does `job` soon, by an idle task if there is one.
    pub(crate) fn start(self: &Rc<Self>, job: J, work: impl AsyncFn(J) + 'static) {
        if let Some(seat) = self.idle.borrow_mut().pop() {
            seat.job.set(Some(job));
            seat.waker.borrow().wake_by_ref();
            return;
        }
        let tasks = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let seat = Rc::new(Seat {
                job: Cell::new(Some(job)),
                waker: RefCell::new(Waker::noop().clone()),
                over: Cell::new(false),
            });
            while let Some(job) = tasks.next(&seat).await {
                work(job).await;
            }
        });
    }

    /// Ends half of the tasks that nobody wanted since the last call.
    pub(crate) fn end_unused(&self) {
        for seat in self.idle.borrow_mut().unused() {
            seat.over.set(true);
            seat.waker.borrow().wake_by_ref();
        }
    }

    /// Whether no task waits for work.
    pub(crate) fn none_idle(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// The next job at `seat`; `None` if enough others wait for one.
    async fn next(&self, seat: &Rc<Seat<J>>) -> Option<J> {
        let mut waits = false;
        poll_fn(|cx| {
            if let Some(job) = seat.job.take() {
                return Poll::Ready(Some(job));
            }
            if seat.over.get() {
                return Poll::Ready(None);
            }
            // What the last job waited for may still wake this task.
            if !waits {
                let mut idle = self.idle.borrow_mut();
                if idle.is_full() {
                    return Poll::Ready(None);
                }
                idle.push(Rc::clone(seat));
                waits = true;
            }
            seat.waker.borrow_mut().clone_from(cx.waker());
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// More than may wait.
    const MANY: u32 = 1100;

    #[tokio::test]
    async fn every_job_is_done_and_tasks_are_used_again() {
        let local = tokio::task::LocalSet::new();
        let (tasks, done) = (Rc::new(Tasks::default()), Rc::new(Cell::new(0)));
        let started = Rc::new(Cell::new(0));
        local
            .run_until(async {
                for round in 1..=10 {
                    for job in 0..MANY {
                        let (done, started) = (Rc::clone(&done), Rc::clone(&started));
                        started.set(started.get() + u32::from(tasks.idle.borrow().is_empty()));
                        tasks.start(job, async move |job: u32| {
                            for _ in 0..job % 3 {
                                tokio::task::yield_now().await;
                            }
                            // Wakes the task once more, behind its job.
                            let wake = |cx: &mut std::task::Context<'_>| {
                                cx.waker().wake_by_ref();
                                Poll::Ready(())
                            };
                            poll_fn(wake).await;
                            done.set(done.get() + 1);
                        });
                    }
                    while done.get() < round * MANY {
                        tokio::task::yield_now().await;
                    }
                }
            })
            .await;
        // Each task waits at one seat, once.
        let seats: Vec<_> = std::iter::from_fn(|| tasks.idle.borrow_mut().pop()).collect();
        assert_eq!(seats.len(), IDLE_MAX);
        let once =
            |seat: &Rc<Seat<u32>>| seats.iter().filter(|other| Rc::ptr_eq(seat, other)).count();
        assert!(seats.iter().all(|seat| once(seat) == 1 && Rc::strong_count(seat) == 2));
        let idle_max = u32::try_from(IDLE_MAX).expect("it is small");
        assert!(started.get() < 10 * MANY - 9 * idle_max + 10, "{}", started.get());
    }

    #[tokio::test]
    async fn tasks_that_nobody_wants_end() {
        let local = tokio::task::LocalSet::new();
        let (tasks, done) = (Rc::new(Tasks::default()), Rc::new(Cell::new(0)));
        let wait = async |count: u32| {
            while done.get() < count {
                tokio::task::yield_now().await;
            }
        };
        local
            .run_until(async {
                let start = || {
                    let done = Rc::clone(&done);
                    tasks.start((), async move |()| done.set(done.get() + 1));
                };
                (0..16).for_each(|_| start());
                wait(16).await;
                let ended = tasks.idle.borrow_mut().pop().expect("one waits");
                tasks.idle.borrow_mut().push(Rc::clone(&ended));
                // Twice: at the first look they were in use a moment ago.
                while !tasks.none_idle() {
                    tasks.end_unused();
                }
                while Rc::strong_count(&ended) > 1 {
                    tokio::task::yield_now().await;
                }
                start();
                wait(17).await;
            })
            .await;
    }
}
