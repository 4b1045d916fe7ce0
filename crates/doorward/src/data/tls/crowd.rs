//! How many handshakes a worker has under way at once.
//!
//! One that is one too many ends the one that has been under way for the longest: a client that means
//! it is done within a round trip or two, so the oldest are those that do not. Who opens connections
//! without end and says half of what it should thus cuts off itself, and not others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

/// The handshakes of one worker, the oldest first.
#[derive(Default)]
pub(crate) struct Crowd(RefCell<VecDeque<Rc<Place>>>);

/// A handshake's place among the others.
#[derive(Default)]
struct Place {
    lost: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A handshake that is under way.
pub(crate) struct UnderWay {
    crowd: Rc<Crowd>,
    place: Rc<Place>,
}

impl Crowd {
    /// One more; if there are `max` already, the oldest loses its place.
    pub(crate) fn enter(self: &Rc<Self>, max: usize) -> UnderWay {
        let mut places = self.0.borrow_mut();
        while places.len() >= max.max(1) {
            if let Some(oldest) = places.pop_front() {
                oldest.lost.set(true);
                if let Some(waker) = oldest.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        }
        let place = Rc::new(Place::default());
        places.push_back(Rc::clone(&place));
        UnderWay { crowd: Rc::clone(self), place }
    }
}

impl UnderWay {
    /// Whether it has lost its place; if not, `cx` is woken when it does.
    pub(crate) fn is_lost(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.place.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.place.lost.get()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Most of them are among the oldest when they are done.
        let mut places = self.crowd.0.borrow_mut();
        if let Some(at) = places.iter().position(|place| Rc::ptr_eq(place, &self.place)) {
            places.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_loses_its_place_to_one_too_many() {
        let cx = &Context::from_waker(Waker::noop());
        let crowd = Rc::new(Crowd::default());
        let [first, second] = [crowd.enter(2), crowd.enter(2)];
        assert!(!first.is_lost(cx) && !second.is_lost(cx));
        drop(second);
        let third = crowd.enter(2);
        assert!(!first.is_lost(cx));
        let fourth = crowd.enter(2);
        assert!(first.is_lost(cx) && !third.is_lost(cx) && !fourth.is_lost(cx));
        drop((first, third, fourth));
        assert!(crowd.0.borrow().is_empty());
    }
}
