//! Ports that parallel runs do not take from one another.
//!
//! Asking the system for a free port and letting go of it again is a race: whoever binds next may
//! be somebody else. Here a port is held by a lock on a file for as long as it is in use, in a
//! folder that all runs on the machine share, and it lies outside the range from which the system
//! serves outgoing connections. The lock ends with the process that holds it, however it ends.

use fs4::FileExt;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Below the ephemeral range of Linux (32768 and up) and of macOS (49152 and up).
const RANGE: Range<u16> = 20_000..30_000;

/// No port could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program listens there.
    #[error(
        "port {port} on 127.0.0.1 is in use by another program: stop it or choose another port; `{}` shows which it is",
        who(*.port)
    )]
    InUse {
        /// The port.
        port: u16,
    },
    /// Another run holds it.
    #[error(
        "port {port} on 127.0.0.1 is held by another lnconform run{}: wait for it, stop it or choose another port",
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Held {
        /// The port.
        port: u16,
        /// The process of the other run, if it left its id.
        holder: Option<u32>,
    },
    /// The system does not let us listen there.
    #[error(
        "port {port} on 127.0.0.1 cannot be used by this user ({error}): choose one above 1023"
    )]
    Refused {
        /// The port.
        port: u16,
        /// What the system said.
        error: io::Error,
    },
    /// Not enough free ports.
    #[error(
        "{wanted} free ports between {} and {} were needed and {found} found: other programs or runs hold the rest; `{}` shows them",
        RANGE.start, RANGE.end - 1, who_all()
    )]
    Exhausted {
        /// How many were asked for.
        wanted: usize,
        /// How many could be had.
        found: usize,
    },
    /// The locks cannot be kept.
    #[error(
        "the folder {} for locks on ports cannot be used ({error}): make room there or make it writable for this user",
        .path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The line that shows who listens on a port.
fn who(port: u16) -> String {
    if cfg!(target_os = "linux") {
        format!("ss -ltnp 'sport = :{port}'")
    } else {
        format!("lsof -nP -iTCP:{port} -sTCP:LISTEN")
    }
}

fn who_all() -> &'static str {
    if cfg!(target_os = "linux") {
        "ss -ltnp"
    } else {
        "lsof -nP -iTCP -sTCP:LISTEN"
    }
}

/// A port of 127.0.0.1 that no other run takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    path: PathBuf,
    // Holds the lock; closing it lets go.
    _lock: File,
}

impl Port {
    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody loses a lock of theirs.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The folder of the locks. Ports belong to the machine, so it does not follow TMPDIR.
pub(crate) fn folder() -> PathBuf {
    crate::sys::shared_tmp().join("lnconform-ports")
}

/// Reserves `n` different ports. Ports in use or held by other runs are passed over.
///
/// # Errors
/// When there are not enough, or the locks cannot be kept.
pub fn reserve(n: usize) -> Result<Vec<Port>, PortError> {
    let folder = folder();
    open_folder(&folder)?;
    // Anywhere, so that runs that start together do not try the same ports one after another.
    // Which port is taken shows in no result.
    let offset = RandomState::new().hash_one(std::process::id());
    reserve_from(&folder, offset, RANGE, n)
}

fn reserve_from(
    folder: &Path,
    offset: u64,
    range: Range<u16>,
    n: usize,
) -> Result<Vec<Port>, PortError> {
    let size = u64::try_from(range.len()).unwrap_or(u64::MAX).max(1);
    let start = u16::try_from(offset % size).unwrap_or(0);
    let mut ports = Vec::with_capacity(n);
    for number in (range.start + start..range.end).chain(range.start..range.start + start) {
        if ports.len() == n {
            break;
        }
        match take(folder, number) {
            Ok(port) => ports.push(port),
            Err(error @ PortError::Folder { .. }) => return Err(error),
            Err(_) => {}
        }
    }
    if ports.len() < n {
        return Err(PortError::Exhausted {
            wanted: n,
            found: ports.len(),
        });
    }
    Ok(ports)
}

/// Takes the one port that was asked for.
///
/// # Errors
/// When another program or another run has it, or this user may not use it; says which, and how
/// to see who has it.
pub fn claim(number: u16) -> Result<Port, PortError> {
    let folder = folder();
    open_folder(&folder)?;
    take(&folder, number)
}

fn open_folder(path: &Path) -> Result<(), PortError> {
    match std::fs::create_dir(path) {
        Ok(()) => {
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                // Other users of the machine keep their locks here too. Where that is refused
                // they are told so, and nothing else goes wrong.
                let open = std::fs::Permissions::from_mode(0o1777);
                let _ = std::fs::set_permissions(path, open);
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(PortError::Folder {
            path: path.to_owned(),
            error,
        }),
    }
}

fn take(folder: &Path, number: u16) -> Result<Port, PortError> {
    let path = folder.join(number.to_string());
    let lock = lock(&path, number)?;
    let port = Port {
        number,
        path,
        _lock: lock,
    };
    // The lock says that no run of ours has it; whether another program does, only a try shows.
    match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
        Ok(_) => Ok(port),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(PortError::InUse { port: number })
        }
        Err(error) => Err(PortError::Refused {
            port: number,
            error,
        }),
    }
}

/// Locks the file of a port, or says who has it.
fn lock(path: &Path, port: u16) -> Result<File, PortError> {
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = match opened {
            Ok(file) => file,
            // The lock of another user.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
                return Err(PortError::Held { port, holder: None });
            }
            Err(error) => {
                let path = path.parent().unwrap_or(path).to_owned();
                return Err(PortError::Folder { path, error });
            }
        };
        if FileExt::try_lock(&file).is_err() {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(PortError::Held {
                port,
                holder: text.trim().parse().ok(),
            });
        }
        // Whoever held it last removed the file after we opened it: then this lock is on nothing.
        if same_file(&file, path) {
            // For the message to others only; a full disk must not keep us from a port.
            let _ = file.set_len(0);
            let _ = file.rewind();
            let _ = write!(file, "{}", std::process::id());
            return Ok(file);
        }
    }
}

/// Whether the path still names the open file.
pub(crate) fn same_file(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match (file.metadata(), std::fs::metadata(path)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        // An open file cannot be removed there.
        let _ = file;
        path.exists()
    }
}

/// The lock files in `folder` that nobody holds, each with its port.
pub(crate) fn stale(folder: &Path) -> Vec<(PathBuf, u16)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|e| Some((e.path(), e.file_name().to_str()?.parse().ok()?)))
        .filter(|(path, _)| unheld(path).is_some())
        .collect();
    found.sort();
    found
}

/// Removes a lock file unless somebody holds it by now.
pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
    match unheld(path) {
        Some(_lock) => std::fs::remove_file(path),
        None => Ok(()),
    }
}

fn unheld(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    (FileExt::try_lock(&file).is_ok() && same_file(&file, path)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Far from [`RANGE`], so that real runs on this machine and these tests do not meet.
    const TEST: Range<u16> = 18_000..18_060;

    #[test]
    fn reserved_ports_differ_between_holders_and_return_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let first = reserve_from(folder.path(), 57, TEST, 5).unwrap();
        let second = reserve_from(folder.path(), 57, TEST, 5).unwrap();
        let all: BTreeSet<u16> = first.iter().chain(&second).map(Port::number).collect();
        assert_eq!(all.len(), 10, "{all:?}");
        assert!(all.iter().all(|p| TEST.contains(p)));
        drop((first, second));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_port_that_another_program_has_is_passed_over_or_named() {
        let folder = tempfile::tempdir().unwrap();
        // Below those that the system gives out by itself: once it is let go of, nobody gets it by chance.
        let mut ports = 18_150..18_190;
        let foreign = ports.find_map(|p| TcpListener::bind((Ipv4Addr::LOCALHOST, p)).ok());
        let foreign = foreign.unwrap();
        let port = foreign.local_addr().unwrap().port();
        let error = take(folder.path(), port).unwrap_err();
        assert!(matches!(error, PortError::InUse { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("port {port}")) && text.contains(&who(port)),
            "{text}"
        );
        let range = port..port.saturating_add(20);
        let got = reserve_from(folder.path(), 0, range, 1).unwrap();
        assert_ne!(got[0].number(), port);
        drop(foreign);
        take(folder.path(), port).unwrap();
    }

    #[test]
    fn a_port_that_another_run_holds_is_named_with_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let held = reserve_from(folder.path(), 30, TEST, 1).unwrap();
        let error = take(folder.path(), held[0].number()).unwrap_err();
        let me = std::process::id();
        assert!(
            matches!(error, PortError::Held { holder: Some(pid), .. } if pid == me),
            "{error}"
        );
    }

    #[test]
    fn too_many_are_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let error = reserve_from(folder.path(), 0, 18_100..18_103, 4).unwrap_err();
        assert!(
            matches!(
                error,
                PortError::Exhausted {
                    wanted: 4,
                    found: 3
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn only_locks_that_nobody_holds_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let held = reserve_from(folder.path(), 50, TEST, 1).unwrap();
        let left = folder.path().join("18070");
        std::fs::write(&left, "1").unwrap();
        assert_eq!(stale(folder.path()), [(left.clone(), 18070)]);
        remove_stale(&left).unwrap();
        remove_stale(&held[0].path).unwrap();
        assert!(!left.exists());
        assert!(held[0].path.exists(), "a lock that is held was removed");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = reserve_from(file.path(), 0, TEST, 1).unwrap_err();
        assert!(matches!(error, PortError::Folder { .. }), "{error}");
    }
}
