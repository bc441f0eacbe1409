//! Lines: one JSON object each, with a length limit on what is read.

use std::io::{self, BufRead};

/// What [`read_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line is in the buffer, without its newline.
    Whole,
    /// The stream ended in the middle of a line; what there is of it is in the buffer.
    Cut,
    /// The line is longer than the limit. Its start is in the buffer, the rest was read and dropped.
    TooLong,
    /// The stream ended between two lines.
    End,
}

/// Reads one line of at most `limit` bytes into `buffer`, which is cleared first.
///
/// A longer line is dropped up to its newline, so that the next call reads the next line
/// and memory stays bounded.
///
/// # Errors
/// What the reader answers.
pub fn read_line(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Line> {
    buffer.clear();
    let mut too_long = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if available.is_empty() {
            return Ok(match (too_long, buffer.is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::End,
                (false, false) => Line::Cut,
            });
        }
        let (piece, ended, used) = match available.iter().position(|&b| b == b'\n') {
            Some(at) => (&available[..at], true, at + 1),
            None => (available, false, available.len()),
        };
        let room = limit - buffer.len();
        if piece.len() > room {
            too_long = true;
        }
        buffer.extend_from_slice(&piece[..piece.len().min(room)]);
        reader.consume(used);
        if ended {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    #[test]
    fn a_long_line_is_dropped_and_the_next_one_read() {
        let mut reader = BufReader::with_capacity(3, &b"12345\nok\nhalf"[..]);
        let mut buffer = Vec::new();
        assert_eq!(
            read_line(&mut reader, &mut buffer, 4).unwrap(),
            Line::TooLong
        );
        assert_eq!(buffer, b"1234");
        assert_eq!(read_line(&mut reader, &mut buffer, 4).unwrap(), Line::Whole);
        assert_eq!(buffer, b"ok");
        assert_eq!(read_line(&mut reader, &mut buffer, 4).unwrap(), Line::Cut);
        assert_eq!(buffer, b"half");
        assert_eq!(read_line(&mut reader, &mut buffer, 4).unwrap(), Line::End);
    }

    proptest! {
        #[test]
        fn lines_come_back_whatever_the_buffer(lines in prop::collection::vec("[^\n]{0,40}", 0..8), size in 1usize..16) {
            let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
            let mut reader = BufReader::with_capacity(size, text.as_bytes());
            let mut buffer = Vec::new();
            for line in &lines {
                prop_assert_eq!(read_line(&mut reader, &mut buffer, 400).unwrap(), Line::Whole);
                prop_assert_eq!(&buffer[..], line.as_bytes());
            }
            prop_assert_eq!(read_line(&mut reader, &mut buffer, 400).unwrap(), Line::End);
        }
    }
}
