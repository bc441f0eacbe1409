//! Waiting for what a node does, each time for a named condition and with a deadline.

use crate::{Access, LOOK_EVERY, deadline};
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::Params;
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::json;
use std::thread;
use std::time::Instant;

/// Waits for `look` to answer something, and says what it saw last when it does not. `over` tells
/// that nobody waits any more.
///
/// # Errors
/// `timeout` with `what` and what was seen; whatever `look` fails with.
pub fn until<T, E: Into<Fail>>(
    deadline: Instant,
    what: &str,
    over: impl Fn() -> bool,
    mut look: impl FnMut() -> Result<Result<T, String>, E>,
) -> Result<T, Fail> {
    loop {
        let seen = match look().map_err(Into::into)? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline || over() {
            return Err(OpError::timeout(format!("{what} by the deadline: {seen}")).into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// `chain.sync`: waits for the param `height`. `look` answers the node's height, and why it is not
/// in step with its chain, where it is not.
///
/// # Errors
/// `invalid` for its params, `timeout` with the last height seen; whatever `look` fails with.
pub fn chain_sync<R, E: Into<Fail>>(
    params: Params<'_>,
    node: Access<'_, R>,
    over: impl Fn(&R) -> bool,
    look: impl Fn(&R) -> Result<(u64, Option<String>), E>,
) -> Outcome {
    let wanted = params.u32("height")?;
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    let what = format!("height {wanted} was not reached");
    let look = || -> Result<Result<u64, String>, E> {
        Ok(match look(&running)? {
            (height, None) if height >= u64::from(wanted) => Ok(height),
            (height, None) => Err(format!("it is {height}")),
            (height, Some(why)) => Err(format!("it is {height}: {why}")),
        })
    };
    let height = until(deadline, &what, || over(&running), look)?;
    Ok(json!({ "height": height }))
}

/// The end of `peer.disconnect`, of a node that connects again by itself to a peer with which it
/// has a channel: waits until `connected` says that `peer` is gone, and a peer who is there again
/// is no failure.
///
/// # Errors
/// Whatever `connected` fails with.
pub fn disconnected<E: Into<Fail>>(
    deadline: Instant,
    peer: &str,
    over: impl Fn() -> bool,
    mut connected: impl FnMut() -> Result<bool, E>,
) -> Outcome {
    let look = || {
        connected().map(|there| match there {
            false => Ok(()),
            true => Err("it is among the peers".to_owned()),
        })
    };
    match until(deadline, &format!("{peer} is connected"), over, look) {
        Err(Fail::Error(e)) if e.kind == ErrorKind::Timeout => Ok(json!({})),
        gone => gone.map(|()| json!({})),
    }
}

/// `payment.wait`: the first event of kind `payment-sent` or `payment-failed` that tells of
/// `payment` and comes after the event `after`.
///
/// # Errors
/// As [`Events::wait`].
pub fn payment_end(events: &Events, payment: &str, after: u32, deadline: Instant) -> Outcome {
    let what = format!("end of payment {payment}");
    Ok(events.wait(deadline, &what, |seen| {
        let ended = matches!(seen.kind, "payment-sent" | "payment-failed");
        if seen.seq <= after || !ended || seen.payment.as_deref() != Some(payment) {
            return None;
        }
        let mut result = seen.fields.clone();
        if let Some(fields) = result.as_object_mut() {
            fields.shift_remove("payment");
        }
        Some(result)
    })?)
}

/// Does `work` in a thread of its own, `name`.
///
/// # Errors
/// `internal` when there is no thread.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|e| OpError::internal(format!("no thread for {name}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Duration;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn timeout(outcome: Outcome) -> String {
        match outcome {
            Err(Fail::Error(e)) if e.kind == ErrorKind::Timeout => e.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_height_is_waited_for_and_the_last_one_is_told() {
        let node: Access<'_, u64> = &|| Ok(Arc::new(7));
        let sync = |params: Value, height: u64, why: Option<&str>| {
            let why = why.map(str::to_owned);
            chain_sync(
                Params::new(&params),
                node,
                |_| false,
                |_| Ok::<_, OpError>((height, why.clone())),
            )
        };
        let soon = json!({"height": 7, "deadline_ms": 0});
        assert_eq!(sync(soon.clone(), 8, None).unwrap(), json!({"height": 8}));
        assert_eq!(
            timeout(sync(soon.clone(), 6, None)),
            "height 7 was not reached by the deadline: it is 6"
        );
        assert_eq!(
            timeout(sync(soon, 7, Some("it has no peers"))),
            "height 7 was not reached by the deadline: it is 7: it has no peers"
        );
        assert!(matches!(
            sync(json!({}), 7, None),
            Err(Fail::Error(e)) if e.kind == ErrorKind::Invalid
        ));
    }

    #[test]
    fn waiting_looks_again_and_ends_with_the_adapter() {
        let looks = Cell::new(0);
        let found = until(
            later(),
            "x",
            || false,
            || {
                looks.set(looks.get() + 1);
                Ok::<_, OpError>(match looks.get() {
                    3 => Ok("found"),
                    _ => Err("nothing".into()),
                })
            },
        );
        assert_eq!(found.unwrap(), "found");
        let over = until(
            later(),
            "x is not there",
            || true,
            || Ok::<Result<Value, _>, OpError>(Err("nothing".into())),
        );
        assert_eq!(timeout(over), "x is not there by the deadline: nothing");
    }

    #[test]
    fn a_peer_who_is_there_again_is_no_failure_and_a_failure_is_one() {
        let ask = |deadline, answer: Result<bool, OpError>| {
            disconnected(deadline, "02", || false, move || answer.clone())
        };
        assert_eq!(ask(later(), Ok(false)).unwrap(), json!({}));
        assert_eq!(ask(Instant::now(), Ok(true)).unwrap(), json!({}));
        let e = ask(later(), Err(OpError::internal("gone")));
        assert!(matches!(e, Err(Fail::Error(e)) if e.message == "gone"));
    }

    #[test]
    fn the_end_of_a_payment_is_the_one_after_it_was_sent() {
        let events = Events::default();
        let tell = |kind, payment: &str, n: u32| {
            let fields = json!({"payment": payment, "n": n});
            events.push(kind, Some(payment.into()), (), fields);
        };
        tell("payment-sent", "a", 1);
        tell("payment-failed", "b", 2);
        tell("payment-received", "a", 3);
        tell("payment-failed", "a", 4);
        let end = |payment, after| payment_end(&events, payment, after, Instant::now());
        assert_eq!(end("a", 0).unwrap(), json!({"n": 1}));
        assert_eq!(end("a", 1).unwrap(), json!({"n": 4}));
        assert!(timeout(end("a", 4)).contains("end of payment a"));
    }

    #[test]
    fn work_is_done_in_a_thread_of_that_name() {
        let (tell, told) = std::sync::mpsc::channel();
        spawn("worker", move || {
            tell.send(thread::current().name().map(str::to_owned))
                .unwrap();
        })
        .unwrap();
        assert_eq!(told.recv().unwrap().as_deref(), Some("worker"));
    }
}
