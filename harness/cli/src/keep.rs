//! `run --keep`: the process that runs the checks outlives the command if a cluster stays up.
//!
//! Nodes end with the process that started them, and that is to stay so. So with `--keep` the command
//! only stands in front: it starts itself again behind, passes on what is said there and every Ctrl-C,
//! and ends with the exit code that it is told. Whoever is behind then has nobody to talk to any more,
//! holds the clusters, and waits to be ended by `clean`.

use crate::failure::{Done, Failure, note};
use crate::guard::{Guard, draw};
use lnconform_engine::kept::{Kept, MOST};
use lnconform_regtest::kept;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The word by which both sides know the last line, and who is behind that it is.
const BEHIND: &str = "LNCONFORM_BEHIND";
/// Before that word; nothing that a run says has it.
const MARK: u8 = 0x1e;

/// Whether this process is the one behind.
pub fn is_behind() -> bool {
    std::env::var_os(BEHIND).is_some_and(|word| !word.is_empty())
}

/// Stands in front: starts the same command behind and ends when it does, or when it says so.
// Who is behind may be meant to outlive this process, and is not waited for then.
#[allow(clippy::zombie_processes)]
pub fn stand_in_front() -> Done {
    let word = format!("{:016x}", draw());
    let this = std::env::current_exe().map_err(Failure::environment)?;
    let mut command = Command::new(this);
    command
        .args(std::env::args_os().skip(1))
        .env(BEHIND, &word)
        // Whoever is behind reads nothing, and notices the end of this process by it.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Ctrl-C goes to one of the two, and is passed on.
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(Failure::environment)?;
    pass_signals(child.id())?;
    let out = child.stdout.take();
    let err = child.stderr.take();
    let mark = [&[MARK], word.as_bytes()].concat();
    let code = std::thread::scope(|scope| {
        let errors = scope.spawn(|| err.and_then(|from| pass(from, io::stderr(), &mark)));
        let code = out.and_then(|from| pass(from, io::stdout(), &mark));
        // A panic there is a fault of the harness and goes on to the top.
        errors
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        code
    });
    if let Some(code) = code {
        return Ok(code);
    }
    let status = child.wait().map_err(Failure::environment)?;
    let ended = || {
        Failure::harness(format!(
            "the process that ran the checks ended with {status}"
        ))
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(ended)
}

/// Passes on what is said until it ends, or the mark comes: the number behind it.
fn pass(mut from: impl Read, mut to: impl Write, mark: &[u8]) -> Option<u8> {
    let mut chunk = [0; 8192];
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        waiting.extend_from_slice(&chunk[..read]);
        let start = waiting.windows(mark.len()).position(|w| w == mark);
        // Of what might be the beginning of the mark the rest is waited for.
        let said = start.unwrap_or_else(|| match waiting.iter().rposition(|b| *b == MARK) {
            Some(at) if read > 0 && waiting.len() - at < mark.len() => at,
            _ => waiting.len(),
        });
        // Whoever reads it may have gone away.
        let _ = to.write_all(&waiting[..said]);
        let _ = to.flush();
        waiting.drain(..said);
        if start.is_some() {
            let rest = &waiting[mark.len()..];
            if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                return std::str::from_utf8(&rest[..end]).ok()?.parse().ok();
            }
        }
        if read == 0 {
            return None;
        }
    }
}

/// Passes on Ctrl-C to the process behind.
#[cfg(unix)]
fn pass_signals(pid: u32) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|e| Failure::environment(format!("signals cannot be caught here: {e}")))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            kept::ask_to_end(pid);
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn pass_signals(_pid: u32) -> Result<(), Failure> {
    Ok(())
}

/// Behind: notices when nobody stands in front any more.
pub struct Watch {
    alone: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

impl Watch {
    /// Ends the run, as Ctrl-C would, if the process in front ends before it was told to.
    pub fn start() -> Self {
        let watch = Self {
            alone: Arc::default(),
            held: Arc::default(),
        };
        let (alone, held) = (watch.alone.clone(), watch.held.clone());
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            alone.store(true, Ordering::SeqCst);
            if !held.load(Ordering::SeqCst) {
                kept::ask_to_end(std::process::id());
            }
        });
        watch
    }

    /// Says how to get at what stays up, sends the process in front away with an exit code, and holds
    /// the clusters until this process is asked to end.
    ///
    /// # Errors
    /// The page cannot be written; nothing stays up then.
    pub fn hold(&self, clusters: &Kept, guard: &Guard, code: u8) -> Result<(), Failure> {
        let file = kept::page(guard.run_dir.path());
        let page = clusters.page();
        std::fs::write(&file, &page).map_err(|e| {
            let file = file.display();
            Failure::environment(format!(
                "{file} cannot be written, and nothing is kept: {e}"
            ))
        })?;
        note("lnconform: these clusters stay up until `lnconform clean` ends them:");
        page.lines().for_each(note);
        if !clusters.has_room() {
            note(format!("lnconform: no more than {MOST} clusters are kept"));
        }
        note(format!(
            "lnconform: the same is written in {}",
            file.display()
        ));
        self.held.store(true, Ordering::SeqCst);
        if self.alone.load(Ordering::SeqCst) {
            return Ok(());
        }
        let word = std::env::var(BEHIND).unwrap_or_default();
        let mark = [&[MARK], word.as_bytes(), format!("{code}\n").as_bytes()].concat();
        // Errors first, since standard output carries the code.
        let sent = io::stderr()
            .write_all(&mark)
            .and_then(|()| io::stdout().write_all(&mark))
            .and_then(|()| io::stdout().flush());
        // With nobody there the clusters would be left without a word.
        if sent.is_err() {
            return Ok(());
        }
        while !guard.stop.is_set() {
            // The one condition that is left.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// What is said where no cluster stays up, but folders do.
pub fn leave(clusters: &Kept, guard: &Guard) {
    if clusters.is_empty() && clusters.leaves_folders() {
        guard.run_dir.keep();
        let folder = guard.run_dir.path().display();
        note(format!(
            "lnconform: of clusters that did not come up the folders stay in {folder}; `lnconform clean` removes them"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is passed on of chunks, and the code.
    fn passed(chunks: &[&[u8]]) -> (String, Option<u8>) {
        struct Chunks<'a>(std::slice::Iter<'a, &'a [u8]>);
        impl Read for Chunks<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let Some(chunk) = self.0.next() else {
                    return Ok(0);
                };
                buffer[..chunk.len()].copy_from_slice(chunk);
                Ok(chunk.len())
            }
        }
        let mut to = Vec::new();
        let code = pass(Chunks(chunks.iter()), &mut to, b"\x1eword");
        (String::from_utf8(to).unwrap(), code)
    }

    #[test]
    fn everything_before_the_mark_is_passed_on_and_nothing_of_it() {
        let code = |code| Some(code);
        assert_eq!(
            passed(&[b"a\n", b"b\n\x1eword1\n"]),
            ("a\nb\n".into(), code(1))
        );
        assert_eq!(
            passed(&[b"a\x1e", b"wo", b"rd", b"3", b"\n"]),
            ("a".into(), code(3))
        );
        assert_eq!(
            passed(&[b"a\x1ewo", b"x", b"b"]),
            ("a\x1ewoxb".into(), None)
        );
        assert_eq!(passed(&[b"a\x1ewo"]), ("a\x1ewo".into(), None));
        assert_eq!(passed(&[]), (String::new(), None));
    }
}
