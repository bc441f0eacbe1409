//! Few of many at a time: who may go on, and who waits.

use crate::wait::Stop;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often somebody who waits looks whether the run was stopped, or somebody rests.
const LOOK: Duration = Duration::from_millis(20);

/// How long somebody may rest before the turn is lent: what is shorter is not worth the trouble.
const SHORT: Duration = Duration::from_millis(40);

/// So many may be at something at the same time. Who only waits for something, and says so, lends
/// the turn to another meanwhile.
#[derive(Debug)]
pub struct Turns {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Who has a turn, by number, and since when they rest.
    holders: BTreeMap<u64, Option<Instant>>,
    /// How many have rested and want their turn back: they go before others.
    back: usize,
    next: u64,
}

impl State {
    /// How many are at work. Somebody who has rested for long is not.
    fn busy(&self) -> usize {
        let rests = |since: &Option<Instant>| since.is_some_and(|at| at.elapsed() >= SHORT);
        self.holders.values().filter(|since| !rests(since)).count()
    }
}

/// Somebody's turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

/// Somebody who has a turn and waits; the wait is over when this is dropped, which takes until
/// there is room again for one more at work.
#[derive(Debug)]
pub struct Rest<'a> {
    turn: &'a Turn<'a>,
    stop: &'a Stop,
}

impl Turns {
    /// `most` at a time, one at least.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn; `None` once the run is stopped.
    pub fn take(&self, stop: &Stop) -> Option<Turn<'_>> {
        let mut state = self.state();
        loop {
            if stop.is_set() {
                return None;
            }
            if state.busy() + state.back < self.most {
                let number = state.next;
                state.next += 1;
                state.holders.insert(number, None);
                return Some(Turn {
                    turns: self,
                    number,
                });
            }
            state = self.look(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, LOOK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<'a> Turn<'a> {
    /// From now on its owner only waits for something.
    pub fn rest(&'a self, stop: &'a Stop) -> Rest<'a> {
        let mut state = self.turns.state();
        state.holders.insert(self.number, Some(Instant::now()));
        Rest { turn: self, stop }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let turns = self.turn.turns;
        let mut state = turns.state();
        let since = state.holders.get(&self.turn.number).copied().flatten();
        if since.is_some_and(|at| at.elapsed() >= SHORT) {
            state.back += 1;
            while state.busy() >= turns.most && !self.stop.is_set() {
                state = turns.look(state);
            }
            state.back -= 1;
        }
        state.holders.insert(self.turn.number, None);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.state().holders.remove(&self.number);
        self.turns.changed.notify_all();
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

    #[test]
    fn who_rests_for_long_lends_the_turn_and_waits_to_have_it_back() {
        let (turns, stop) = (Turns::new(1), Stop::default());
        let first = turns.take(&stop).unwrap();
        let rest = first.rest(&stop);
        let (turns, stop) = (&turns, &stop);
        std::thread::scope(|scope| {
            let (tell, told) = channel();
            let (go, gone) = channel::<()>();
            let other = tell.clone();
            scope.spawn(move || {
                let second = turns.take(stop).unwrap();
                other.send("the second works").unwrap();
                gone.recv().unwrap();
                other.send("the second ends").unwrap();
                drop(second);
            });
            assert_eq!(told.recv(), Ok("the second works"));
            scope.spawn(move || {
                drop(rest);
                tell.send("the first works").unwrap();
            });
            assert!(told.recv_timeout(LOOK).is_err());
            go.send(()).unwrap();
            assert_eq!(told.recv(), Ok("the second ends"));
            assert_eq!(told.recv(), Ok("the first works"));
        });
    }

    #[test]
    fn a_short_rest_keeps_the_turn() {
        let (turns, stop) = (Turns::new(1), Stop::default());
        let turn = turns.take(&stop).unwrap();
        drop(turn.rest(&stop));
        assert_eq!(turns.state().busy(), 1);
        drop(turn);
        assert_eq!(turns.state().busy(), 0);
    }
}
