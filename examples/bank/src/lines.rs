//! Lines of a bounded length.

use std::io::{self, BufRead, Read};

use crate::entry::Malformed;

/// The longest line, in bytes.
pub(crate) const LINE_MAX: usize = 1 << 20;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Reads lines, and holds one of them at a time.
pub(crate) struct Lines<R> {
    input: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        let buffer = Vec::new();
        Self {
            input,
            number: 0,
            buffer,
        }
    }

    /// The next line, without its end, and its number; `None` at the end.
    ///
    /// A byte order mark before the first line is passed over.
    pub(crate) fn read(&mut self) -> io::Result<Option<(u64, Result<&str, Malformed>)>> {
        self.buffer.clear();
        let longest = LINE_MAX as u64 + 1;
        let mut bounded = (&mut self.input).take(longest);
        if bounded.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = self.buffer.ends_with(b"\n");
        if !ended && self.buffer.len() > LINE_MAX {
            self.input.skip_until(b'\n')?;
            return Ok(Some((
                self.number,
                Err(Malformed::TooLong { max: LINE_MAX }),
            )));
        }
        let line = trim(&self.buffer, self.number == 1);
        Ok(Some((self.number, text(line))))
    }
}

fn trim(line: &[u8], is_first: bool) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let bom = if is_first { BOM } else { b"" };
    line.strip_prefix(bom).unwrap_or(line)
}

fn text(line: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(line).map_err(|error| Malformed::NotUtf8 {
        at: error.valid_up_to() + 1,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, repeat};

    use super::*;

    fn all(input: &[u8]) -> Vec<(u64, Result<String, Malformed>)> {
        let mut lines = Lines::new(input);
        let mut read = Vec::new();
        while let Some((number, line)) = lines.read().unwrap() {
            read.push((number, line.map(str::to_owned)));
        }
        read
    }

    fn fine(number: u64, text: &str) -> (u64, Result<String, Malformed>) {
        (number, Ok(text.to_owned()))
    }

    #[test]
    fn lines_end_in_any_way_and_a_byte_order_mark_is_passed_over() {
        assert_eq!(all(b""), []);
        assert_eq!(
            all(b"a\nb\r\nc"),
            [fine(1, "a"), fine(2, "b"), fine(3, "c")]
        );
        assert_eq!(
            all(b"\xEF\xBB\xBFa\n\nb\n"),
            [fine(1, "a"), fine(2, ""), fine(3, "b")]
        );
    }

    #[test]
    fn what_is_no_text_is_said_and_the_rest_goes_on() {
        assert_eq!(
            all(b"ab\xFFc\nd\n"),
            [(1, Err(Malformed::NotUtf8 { at: 3 })), fine(2, "d")]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_never_held() {
        let long = repeat(b'x').take(20 << 20);
        let mut lines = Lines::new(BufReader::new(long.chain(&b"\nlast\n"[..])));
        let (number, line) = lines.read().unwrap().unwrap();
        assert_eq!(
            (number, line),
            (1, Err(Malformed::TooLong { max: LINE_MAX }))
        );
        let (number, line) = lines.read().unwrap().unwrap();
        assert_eq!((number, line), (2, Ok("last")));
        assert!(lines.buffer.capacity() <= 4 * LINE_MAX);
    }

    #[test]
    fn a_line_of_the_longest_length_is_read() {
        let mut input = vec![b'x'; LINE_MAX];
        input.extend_from_slice(b"\ny");
        let lines = all(&input);
        assert_eq!(lines[0].1.as_ref().unwrap().len(), LINE_MAX);
        assert_eq!(lines[1], fine(2, "y"));
    }
}
