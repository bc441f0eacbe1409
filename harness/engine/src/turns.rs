//! Few of many at a time: who may go on, and who waits.

use crate::wait::Stop;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often somebody who waits looks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// So many may be at something at the same time.
#[derive(Debug)]
pub struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Somebody's turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    /// `most` at a time, one at least.
    pub fn new(most: usize) -> Self {
        Self {
            free: Mutex::new(most.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn; `None` once the run is stopped.
    pub fn take(&self, stop: &Stop) -> Option<Turn<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop.is_set() {
                return None;
            }
            if *free > 0 {
                *free -= 1;
                return Some(Turn(self));
            }
            let waited = self.freed.wait_timeout(free, LOOK);
            (free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn no_more_than_so_many_go_on_and_all_do_in_the_end() {
        let (turns, stop) = (Turns::new(2), Stop::default());
        let (at_it, most, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = turns.take(&stop).unwrap();
                    most.fetch_max(at_it.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    at_it.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert_eq!(done.into_inner(), 8);
    }

    #[test]
    fn a_stopped_run_ends_the_wait() {
        let (turns, stop) = (Turns::new(1), Stop::default());
        let held = turns.take(&stop).unwrap();
        std::thread::scope(|scope| {
            let (tell, told) = channel();
            let (turns, stop) = (&turns, &stop);
            scope.spawn(move || tell.send(turns.take(stop).is_some()).unwrap());
            // Nobody gives the turn back, so it can only be the stop that ends the wait.
            assert!(told.recv_timeout(LOOK).is_err());
            stop.set();
            assert!(!told.recv_timeout(Duration::from_secs(10)).unwrap());
        });
        drop(held);
        assert!(turns.take(&stop).is_none());
    }
}
