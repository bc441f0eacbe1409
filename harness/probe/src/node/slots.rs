//! A state in one of two files, in turn.
//!
//! The newer one is overwritten only once the other is whole, so that a process that is killed while it writes
//! leaves the state before. No file is made or renamed for it, which at ten states for each HTLC was a fourteenth
//! of what a whole run takes. Nothing is synced to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// In front of a state: its number, from 1, and its length in bytes. A number of 0 is of a state that was
/// never whole.
const HEAD: usize = 16;

/// Two files, `NAME.0` and `NAME.1`.
pub struct Slots {
    files: [File; 2],
    next: u64,
}

impl Slots {
    /// The two files, made where there are none.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(dir: &Path, name: &str) -> io::Result<Self> {
        let open = |slot: u8| {
            let path = dir.join(format!("{name}.{slot}"));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path)
        };
        let mut slots = Self {
            files: [open(0)?, open(1)?],
            next: 1,
        };
        let last = slots.newest()?.map_or(0, |(number, _)| number);
        slots.next = last + 1;
        Ok(slots)
    }

    /// Writes the next state.
    ///
    /// # Errors
    /// What the system says; the state before is still there.
    pub fn put(&mut self, state: &[u8]) -> io::Result<()> {
        let [even, odd] = &mut self.files;
        let file = if self.next.is_multiple_of(2) {
            even
        } else {
            odd
        };
        let length = u64::try_from(state.len()).map_err(io::Error::other)?;
        // Not whole until its number is there again.
        write_at(file, 0, &[0; HEAD])?;
        write_at(file, HEAD as u64, state)?;
        let head = [self.next.to_be_bytes(), length.to_be_bytes()].concat();
        write_at(file, 0, &head)?;
        self.next += 1;
        Ok(())
    }

    /// The last state that is whole.
    ///
    /// # Errors
    /// What the system says.
    pub fn get(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.newest()?.map(|(_, state)| state))
    }

    fn newest(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut newest = None;
        for file in &mut self.files {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
            let state = read(bytes);
            if state.as_ref().map(|s| s.0) > newest.as_ref().map(|s: &(u64, _)| s.0) {
                newest = state;
            }
        }
        Ok(newest)
    }
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// A state and its number, if it is whole. Behind it may be the end of a longer one from before.
fn read(mut bytes: Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    if number == 0 || rest.len() < length {
        return None;
    }
    bytes.truncate(HEAD + length);
    bytes.drain(..HEAD);
    Some((number, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(dir: &tempfile::TempDir) -> Slots {
        Slots::open(dir.path(), "a").unwrap()
    }

    fn last(dir: &tempfile::TempDir) -> Option<Vec<u8>> {
        opened(dir).get().unwrap()
    }

    #[test]
    fn the_last_state_is_read_whatever_its_length() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(&dir), None);
        let mut slots = opened(&dir);
        for state in [&b"one"[..], b"", b"a longer one", b"short", b"x"] {
            slots.put(state).unwrap();
            assert_eq!(last(&dir).unwrap(), state);
        }
        // Who opens them goes on where another ended.
        let mut other = opened(&dir);
        other.put(b"y").unwrap();
        assert_eq!(last(&dir).unwrap(), b"y");
    }

    #[test]
    fn a_state_that_was_not_written_to_its_end_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut slots = opened(&dir);
        slots.put(b"first").unwrap();
        slots.put(b"second").unwrap();
        // The third goes where the first was; at each byte of it the process is killed.
        let place = dir.path().join("a.1");
        let before = std::fs::read(&place).unwrap();
        assert!(before.ends_with(b"first"));
        let mut torn = before.clone();
        for written in 0..HEAD + 5 {
            // The number goes first, and comes back last.
            torn[..HEAD].fill(0);
            torn[HEAD..written.max(HEAD)].fill(b'3');
            std::fs::write(&place, &torn).unwrap();
            assert_eq!(last(&dir).unwrap(), b"second", "{written}");
        }
        // A file that is shorter than it says is none either.
        for cut in 0..before.len() {
            std::fs::write(&place, &before[..cut]).unwrap();
            assert_eq!(last(&dir).unwrap(), b"second", "{cut}");
        }
        let mut slots = opened(&dir);
        slots.put(b"third").unwrap();
        assert_eq!(last(&dir).unwrap(), b"third");
    }
}
