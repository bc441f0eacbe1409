//! LDK's log: everything from debug on to a file, information and worse to standard error.

use super::watch::Watch;
use ldk_node::logger::{LogLevel, LogRecord, LogWriter};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

thread_local! {
    /// What LDK last complained about on this thread. Its calls answer one word; the reason stands
    /// in the log only, written by the calling thread.
    static COMPLAINT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Forgets earlier complaints of this thread.
pub(super) fn forget_complaint() {
    COMPLAINT.with_borrow_mut(|c| *c = None);
}

/// Takes the last complaint of this thread.
pub(super) fn take_complaint() -> Option<String> {
    COMPLAINT.with_borrow_mut(Option::take)
}

/// The log of one node.
pub(super) struct Log {
    file: Mutex<File>,
    from: LogLevel,
    started: Instant,
    watch: Option<Watch>,
}

impl Log {
    /// Appends to the file at `path`; `watch` sees every line, whatever goes to the file.
    pub(super) fn open(path: &Path, from: LogLevel, watch: Option<Watch>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
            from,
            started: Instant::now(),
            watch,
        })
    }
}

impl LogWriter for Log {
    fn log<'a>(&self, record: LogRecord<'a>) {
        if let Some(watch) = &self.watch {
            watch.look(&record);
        }
        if record.level < self.from {
            return;
        }
        let line = format!(
            "{:10.6} {:5} {}:{} {}\n",
            self.started.elapsed().as_secs_f64(),
            record.level.to_string(),
            record.module_path,
            record.line,
            record.args
        );
        // A regtest chain has no fee estimates, and ldk-node calls that an error ten times a poll.
        let noise = record.level == LogLevel::Error
            && line.contains("Failed to retrieve fee rate estimates");
        if record.level == LogLevel::Error && !noise {
            COMPLAINT.with_borrow_mut(|c| *c = Some(record.args.to_string()));
        }
        // A full disk or a closed standard error costs the line, not the node.
        let _ = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
        if record.level >= LogLevel::Info && !noise {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}
