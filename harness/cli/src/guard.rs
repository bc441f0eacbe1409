//! What a command that starts processes holds while it runs: its folder, the watchdog that ends
//! what outlives it, and the answer to Ctrl-C.

use crate::failure::{Failure, note};
use lnconform_engine::run::exit;
use lnconform_engine::wait::Stop;
use lnconform_regtest::reaper::{self, Reaper};
use lnconform_regtest::run::RunDir;

/// Held until the last process of the command is gone.
pub struct Guard {
    // Dropped in this order: the watchdog has to outlive the folder.
    /// Folder of the run on the temporary disk.
    pub run_dir: RunDir,
    _reaper: Reaper,
    /// Set by the first SIGINT or SIGTERM.
    pub stop: Stop,
}

impl Guard {
    /// Makes the folder of the run `id` and starts the watchdog.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn start(id: &str) -> Result<Self, Failure> {
        let run_dir = RunDir::create(id).map_err(Failure::environment)?;
        let this = std::env::current_exe().map_err(Failure::environment)?;
        let reaper = Reaper::start(&this, &run_dir)
            .map_err(|e| Failure::environment(format!("no process can be started here: {e}")))?;
        let stop = Stop::default();
        watch_signals(stop.clone())?;
        Ok(Self {
            run_dir,
            _reaper: reaper,
            stop,
        })
    }
}

/// An id for a run: eight digits at random, and the end of the process id.
pub fn draw_id() -> String {
    format!(
        "{:08x}{:04x}",
        draw() & 0xffff_ffff,
        std::process::id() & 0xffff
    )
}

/// A number from the system's own randomness: every hasher is keyed with it.
pub fn draw() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

/// Takes everything down on the first SIGINT or SIGTERM; the second ends this process at once.
fn watch_signals(stop: Stop) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|e| Failure::environment(format!("signals cannot be caught here: {e}")))?;
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            stop.set();
            std::thread::spawn(|| {
                // Where nobody listens any more, everything is to end all the same.
                note("lnconform: stopping; once more ends at once");
                let killed = reaper::stop_all();
                if !killed.is_empty() {
                    note(format!(
                        "lnconform: had to be killed: {}",
                        killed.join(", ")
                    ));
                }
            });
        }
        if signals.next().is_some() {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
    Ok(())
}
