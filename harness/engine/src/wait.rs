//! Waiting: always for a named condition, with a deadline, and with the last state seen when it
//! runs out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set when the run is to stop (a signal, `--fail-fast`). Shared by every thread of a run.
#[derive(Clone, Debug, Default)]
pub struct Stop(std::sync::Arc<AtomicBool>);

impl Stop {
    /// Asks everything to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why waiting ended without the condition.
#[derive(Debug, thiserror::Error)]
pub enum WaitError<E> {
    /// The deadline ran out.
    #[error("{what} did not come within {:.1} s; last seen: {last}", deadline.as_secs_f32())]
    Deadline {
        /// The condition's name.
        what: String,
        /// How long was waited.
        deadline: Duration,
        /// The last state seen.
        last: String,
    },
    /// The run was stopped.
    #[error("the run was stopped while waiting for {0}")]
    Stopped(String),
    /// Looking failed.
    #[error(transparent)]
    Probe(E),
}

/// Looks until `probe` answers `Ok(Ok(value))`; `Ok(Err(state))` means not yet.
///
/// Looks again after 2 ms, then ever less often up to 50 ms, so that a fast condition costs
/// little and a slow one does not keep a core busy.
///
/// # Errors
/// [`WaitError`].
pub fn until<T, E>(
    what: &str,
    deadline: Duration,
    stop: &Stop,
    mut probe: impl FnMut() -> Result<Result<T, String>, E>,
) -> Result<T, WaitError<E>> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(2);
    loop {
        let last = match probe().map_err(WaitError::Probe)? {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if stop.is_set() {
            return Err(WaitError::Stopped(what.to_owned()));
        }
        let now = Instant::now();
        if now >= end {
            return Err(WaitError::Deadline {
                what: what.to_owned(),
                deadline,
                last,
            });
        }
        // The only sleep of the engine: between two looks at a named condition.
        std::thread::sleep(pause.min(end - now));
        pause = (pause * 3 / 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_condition_ends_the_wait() {
        let mut looks = 0;
        let got = until(
            "three looks",
            Duration::from_secs(5),
            &Stop::default(),
            || {
                looks += 1;
                Ok::<_, Infallible>(if looks == 3 {
                    Ok(looks)
                } else {
                    Err(format!("{looks} looks"))
                })
            },
        );
        assert_eq!(got.unwrap(), 3);
    }

    #[test]
    fn a_deadline_tells_the_last_state() {
        let error = until(
            "channel usable",
            Duration::from_millis(5),
            &Stop::default(),
            || Ok::<Result<(), _>, Infallible>(Err("1 of 2 usable".into())),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("channel usable did not come within"),
            "{error}"
        );
        assert!(error.ends_with("last seen: 1 of 2 usable"), "{error}");
    }

    #[test]
    fn a_stopped_run_ends_the_wait() {
        let stop = Stop::default();
        stop.set();
        let error = until("x", Duration::from_secs(60), &stop, || {
            Ok::<Result<(), _>, Infallible>(Err(String::new()))
        })
        .unwrap_err();
        assert!(matches!(error, WaitError::Stopped(_)));
    }
}
