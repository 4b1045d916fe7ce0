//! Tasks that are used again: for streams, which come and go too fast for a new task each.
//!
//! A task holds the whole state of a request's way through the house, some kilobytes. To make one,
//! move it to the heap and throw it away again cost more than all else that a small request does
//! here.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How many tasks wait for work at most, on each worker: less than a megabyte. More are started when
/// more is to do, and end behind it.
const IDLE_MAX: usize = 256;

/// The tasks of one worker that do jobs of one kind.
pub(crate) struct Tasks<J> {
    idle: RefCell<Vec<Rc<Seat<J>>>>,
}

/// Where one task waits.
struct Seat<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Waker>,
}

impl<J> Default for Tasks<J> {
    fn default() -> Self {
        Self { idle: RefCell::default() }
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
            });
            while let Some(job) = tasks.next(&seat).await {
                work(job).await;
            }
        });
    }

    /// The next job at `seat`; `None` if enough others wait for one.
    async fn next(&self, seat: &Rc<Seat<J>>) -> Option<J> {
        let mut waits = false;
        poll_fn(|cx| {
            if let Some(job) = seat.job.take() {
                return Poll::Ready(Some(job));
            }
            // What the last job waited for may still wake this task.
            if !waits {
                let mut idle = self.idle.borrow_mut();
                if idle.len() >= IDLE_MAX {
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

    #[tokio::test]
    async fn every_job_is_done_and_tasks_are_used_again() {
        let local = tokio::task::LocalSet::new();
        let (tasks, done) = (Rc::new(Tasks::default()), Rc::new(Cell::new(0)));
        let started = Rc::new(Cell::new(0));
        local
            .run_until(async {
                for round in 1..=10 {
                    for job in 0..300_u32 {
                        let (done, started) = (Rc::clone(&done), Rc::clone(&started));
                        started.set(started.get() + usize::from(tasks.idle.borrow().is_empty()));
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
                    while done.get() < round * 300 {
                        tokio::task::yield_now().await;
                    }
                }
            })
            .await;
        assert_eq!(tasks.idle.borrow().len(), IDLE_MAX);
        assert!(started.get() < 10 * 300 - 9 * IDLE_MAX + 10, "{}", started.get());
        let seats = tasks.idle.borrow();
        let once =
            |seat: &Rc<Seat<u32>>| seats.iter().filter(|other| Rc::ptr_eq(seat, other)).count();
        assert!(seats.iter().all(|seat| once(seat) == 1 && Rc::strong_count(seat) == 2));
    }
}
