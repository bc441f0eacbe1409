//! An adapter that is started again when it breaks, and the request that is to blame for it.

use crate::fault::{Blame, Fault, FaultKind};
use crate::host::{Adapter, Ask, Broken, Params};
use crate::launch::{Launch, Limits};
use lnconform_protocol::{Answer, Hello};
use std::collections::VecDeque;
use std::time::Duration;

/// A fault that no unanswered request bears.
#[derive(Clone, Debug)]
pub struct Late {
    /// The request it is about, which had been answered and reported already (it was answered a
    /// second time). `None` when the fault belongs to no request in particular: the process ended
    /// while nothing was outstanding, or broke once and not again when the same requests were sent
    /// one by one.
    pub index: Option<usize>,
    /// What happened.
    pub fault: Fault,
}

fn nobody() -> Fault {
    Fault {
        blame: Blame::Harness,
        ..Fault::new(FaultKind::Died, "no adapter process is left to ask")
    }
}

fn culprit(fault: &Fault) -> Option<usize> {
    fault.request.as_ref().and_then(|request| request.index)
}

/// Whether the fault is about a request that was answered before.
fn answered(fault: &Fault, unanswered: &[Ask<'_>]) -> bool {
    culprit(fault).is_some_and(|index| unanswered.iter().all(|ask| ask.index != index))
}

/// An adapter process that is started again when it died, fell silent or broke the protocol, up
/// to [`Limits::restarts`] times; after that every request fails at once.
pub struct Supervised {
    launch: Launch,
    limits: Limits,
    hello: Option<Hello>,
    live: Option<Adapter>,
    /// Processes started so far.
    lives: u64,
    /// Faults so far; one that came again while its request was looked for counts once.
    faults: u32,
    given_up: Option<Fault>,
}

impl Supervised {
    /// An adapter that is started with the first request.
    pub fn new(launch: Launch, limits: Limits) -> Self {
        Self {
            launch,
            limits,
            hello: None,
            live: None,
            lives: 0,
            faults: 0,
            given_up: None,
        }
    }

    /// What the adapter answered to the last `hello`; it is started for that if need be.
    ///
    /// # Errors
    /// The [`Fault`] for which it does not start.
    pub fn hello(&mut self) -> Result<&Hello, Fault> {
        if self.hello.is_none() {
            self.adapter()?;
        }
        self.hello.as_ref().ok_or_else(nobody)
    }

    /// How often the process was started again.
    pub fn restarts(&self) -> u64 {
        self.lives.saturating_sub(1)
    }

    /// Counts a fault; the one too many becomes the reason why nothing is sent any more.
    fn count(&mut self, fault: &Fault) {
        self.faults += 1;
        if fault.could_not_run() && self.lives <= 1 {
            // What is not there or never said hello is not tried again: it could not run.
            self.given_up = Some(Fault {
                request: None,
                ..fault.clone()
            });
        } else if self.faults > self.limits.restarts && self.given_up.is_none() {
            self.given_up = Some(Fault {
                message: format!(
                    "not sent: adapter {} broke more than {} times and is not started any more; the last time: {}",
                    self.launch.name, self.limits.restarts, fault.message
                ),
                request: None,
                ..fault.clone()
            });
        }
    }

    /// The live process, started if there is none.
    fn adapter(&mut self) -> Result<&mut Adapter, Fault> {
        while self.live.is_none() {
            if let Some(fault) = &self.given_up {
                return Err(fault.clone());
            }
            let life = self.lives;
            self.lives += 1;
            let started = Adapter::open(&self.launch, &self.limits, life, false)
                .and_then(|adapter| adapter.greet().cloned().map(|hello| (adapter, hello)));
            match started {
                Ok((adapter, hello)) => {
                    self.live = Some(adapter);
                    self.hello = Some(hello);
                }
                Err(fault) => self.count(&fault),
            }
        }
        self.live.as_mut().ok_or_else(nobody)
    }

    /// Sends one request and waits for its answer. After a fault the next call finds a new process.
    ///
    /// # Errors
    /// The process's [`Fault`], or the one for which it is not started any more.
    pub fn call<'a>(
        &mut self,
        op: &str,
        params: impl Into<Params<'a>>,
        deadline: Duration,
    ) -> Result<Answer, Fault> {
        let result = self.adapter()?.call(op, params, deadline);
        if let Err(fault) = &result {
            self.live = None;
            self.count(fault);
        }
        result
    }

    /// Sends all `requests` and calls `each` exactly once for every one, as [`Adapter::batch`]
    /// does. When the process breaks, only the request that broke it fails; the others are sent
    /// to a new process.
    ///
    /// If several were unanswered, the one to blame is looked for by sending them again one at a
    /// time: an adapter may have had answers in a buffer that was lost with it. If that goes well,
    /// the fault is among those returned, so that nothing is repeated in silence.
    #[must_use = "a fault that no request bears is shown here only"]
    pub fn batch<'a, P: Into<Params<'a>>>(
        &mut self,
        requests: impl IntoIterator<Item = (&'a str, P)>,
        window: usize,
        deadline: Duration,
        mut each: impl FnMut(usize, Result<Answer, Fault>, Duration),
    ) -> Vec<Late> {
        let mut source = requests
            .into_iter()
            .enumerate()
            .map(|(index, (op, params))| Ask {
                index,
                op,
                params: params.into(),
            })
            .fuse();
        let mut late = Vec::new();
        // Unanswered by a process that broke and not suspected.
        let mut again: VecDeque<Ask<'a>> = VecDeque::new();
        // To be sent one at a time, and the fault that one of them may have caused.
        let mut suspects: VecDeque<Ask<'a>> = VecDeque::new();
        let mut suspicion: Option<Fault> = None;
        loop {
            let adapter = match self.adapter() {
                Ok(adapter) => adapter,
                Err(mut fault) => {
                    for ask in suspects.into_iter().chain(again).chain(source) {
                        each(ask.index, Err(fault.clone()), Duration::ZERO);
                        // There may be very many of these; the first has it.
                        fault.stderr_tail.clear();
                    }
                    return late;
                }
            };
            let mut good = |index, answer, took| each(index, Ok(answer), took);
            if let Some(earlier) = suspicion.take() {
                let mut one_by_one = std::iter::from_fn(|| suspects.pop_front());
                match adapter.run(&mut one_by_one, 1, deadline, &mut good) {
                    // The fault did not come again.
                    Ok(()) => late.push(Late {
                        index: None,
                        fault: earlier,
                    }),
                    Err(Broken { fault, unanswered }) if answered(&fault, &unanswered) => {
                        // Another fault, of a request that is not under suspicion any more.
                        self.live = None;
                        self.count(&fault);
                        late.push(Late {
                            index: culprit(&fault),
                            fault,
                        });
                        for ask in unanswered.into_iter().rev() {
                            suspects.push_front(ask);
                        }
                        suspicion = Some(earlier);
                    }
                    Err(Broken { fault, unanswered }) => {
                        self.live = None;
                        match unanswered.first() {
                            Some(ask) => each(ask.index, Err(fault), Duration::ZERO),
                            None => late.push(Late { index: None, fault }),
                        }
                        again.extend(unanswered.into_iter().skip(1));
                        while let Some(ask) = suspects.pop_back() {
                            again.push_front(ask);
                        }
                    }
                }
                continue;
            }
            let mut all = std::iter::from_fn(|| again.pop_front().or_else(|| source.next()));
            let result = adapter
                .run(&mut all, window, deadline, &mut good)
                .and_then(|()| {
                    adapter.settle().map_err(|fault| Broken {
                        fault,
                        unanswered: Vec::new(),
                    })
                });
            let Err(Broken { fault, unanswered }) = result else {
                return late;
            };
            self.live = None;
            self.count(&fault);
            match unanswered.as_slice() {
                // An answered one was answered again: the unanswered are not to blame.
                _ if answered(&fault, &unanswered) => {
                    late.push(Late {
                        index: culprit(&fault),
                        fault,
                    });
                    again.extend(unanswered);
                }
                [only] => each(only.index, Err(fault), Duration::ZERO),
                [] => late.push(Late { index: None, fault }),
                _ if self.given_up.is_some() => {
                    // No process is left to look for the culprit with.
                    for ask in unanswered {
                        each(ask.index, Err(fault.clone()), Duration::ZERO);
                    }
                }
                _ => {
                    suspects = unanswered.into();
                    suspicion = Some(fault);
                }
            }
        }
    }

    /// Stops the process, if there is one.
    ///
    /// # Errors
    /// As [`Adapter::shutdown`]. A process that broke before and was not started again is no
    /// error here: its fault was reported.
    pub fn shutdown(mut self) -> Result<(), Fault> {
        match self.live.take() {
            Some(adapter) => adapter.shutdown().map(drop),
            None => Ok(()),
        }
    }
}
