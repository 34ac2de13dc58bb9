//! Bodies in chunks: the data in them, and where they end.
//!
//! Pure, and as strict as a body's length is: lines end with CR LF, sizes have hexadecimal digits,
//! and what is neither size nor data has a limit for the whole body.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of extensions, and of trailers, that a body may have: nobody reads either.
const ASIDE_BYTES_MAX: usize = 16 << 10;
/// Digits of a size: more than any length has; zeros may stand before it.
const DIGITS_MAX: u8 = 16;
/// Most lines of a trailer.
const TRAILERS_MAX: usize = 100;

/// The chunks are not as they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body's chunks are malformed")]
pub struct Malformed;

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A part of the body.
    Data(Bytes),
    /// More bytes are needed to tell.
    More,
    /// The body has ended.
    End,
}

/// Reads a body in chunks.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// Bytes of extensions and blanks so far.
    aside: usize,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size, after some digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// After the size's digits, in blanks.
    Blank {
        size: u64,
    },
    Extension {
        size: u64,
    },
    /// After the line's CR.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { state: State::Size { size: 0, digits: 0 }, aside: 0, trailers: Vec::new() }
    }
}

impl Chunks {
    /// Whether the body has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Takes the next part of the body from the front of `buffer`, and nothing behind its end.
    ///
    /// # Errors
    /// [`Malformed`]; nothing after it may be read.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            match self.state {
                State::End => return Ok(Step::End),
                State::Data { left } if !buffer.is_empty() => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    return Ok(Step::Data(buffer.split_to(here).freeze()));
                }
                State::Trailer if !buffer.is_empty() => self.trailer(buffer)?,
                _ => {
                    let Some(byte) = buffer.first().copied() else { return Ok(Step::More) };
                    buffer.advance(1);
                    self.state = self.state_after(byte)?;
                }
            }
        }
    }

    /// The state after a byte that is no data.
    fn state_after(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                let value = u64::from(char::from(byte).to_digit(16).ok_or(Malformed)?);
                let size = size.checked_mul(16).and_then(|size| size.checked_add(value));
                let (Some(size), true) = (size, digits < DIGITS_MAX) else { return Err(Malformed) };
                State::Size { size, digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(Malformed),
            (State::Size { size, .. } | State::Blank { size }, b' ' | b'\t') => {
                self.spend()?;
                State::Blank { size }
            }
            (State::Size { size, .. } | State::Blank { size }, b';') => State::Extension { size },
            (
                State::Size { size, .. } | State::Blank { size } | State::Extension { size },
                b'\r',
            ) => State::SizeEnd { size },
            (State::Extension { size }, byte) if byte != b'\n' => {
                self.spend()?;
                State::Extension { size }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailer,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            _ => return Err(Malformed),
        })
    }

    const fn spend(&mut self) -> Result<(), Malformed> {
        self.aside += 1;
        if self.aside > ASIDE_BYTES_MAX { Err(Malformed) } else { Ok(()) }
    }

    /// Takes a line of the trailer, or what is there of it; the empty one ends the body.
    fn trailer(&mut self, buffer: &mut BytesMut) -> Result<(), Malformed> {
        let end = memchr::memchr(b'\n', buffer).map_or(buffer.len(), |at| at + 1);
        self.trailers.extend_from_slice(&buffer.split_to(end));
        if self.trailers.len() > ASIDE_BYTES_MAX {
            return Err(Malformed);
        }
        if self.trailers.last() != Some(&b'\n') {
            return Ok(());
        }
        if !self.trailers.ends_with(b"\r\n") {
            return Err(Malformed);
        }
        if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
            let mut lines = [httparse::EMPTY_HEADER; TRAILERS_MAX];
            match httparse::parse_headers(&self.trailers, &mut lines) {
                Ok(httparse::Status::Complete((end, _))) if end == self.trailers.len() => {}
                _ => return Err(Malformed),
            }
            self.trailers = Vec::new();
            self.state = State::End;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and what is left behind it; the bytes come `step` at a time.
    fn read(bytes: &str, step: usize) -> Result<Option<(String, String)>, Malformed> {
        let (mut chunks, mut buffer, mut body) = (Chunks::default(), BytesMut::new(), Vec::new());
        let mut parts = bytes.as_bytes().chunks(step);
        loop {
            match chunks.next(&mut buffer)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => {
                    assert!(chunks.is_over());
                    buffer.extend_from_slice(&parts.collect::<Vec<_>>().concat());
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    return Ok(Some((text(&body), text(&buffer))));
                }
                Step::More => match parts.next() {
                    Some(part) => buffer.extend_from_slice(part),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn a_body_is_read_however_it_comes() {
        for (bytes, body) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            (
                "0003\r\nabc\r\nA\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
                "abc01234567890123456789",
            ),
            ("3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n", "abc"),
            ("3 \t;a\r\nabc\r\n0 \r\n\r\n", "abc"),
            ("1\r\na\r\n0\r\nx: y\r\nz: \r\n\r\n", "a"),
        ] {
            for step in 1..=bytes.len() + 4 {
                let got = read(&format!("{bytes}GET"), step).unwrap();
                assert_eq!(got, Some((body.to_owned(), "GET".to_owned())), "{bytes:?} {step}");
            }
            for end in 0..bytes.len() {
                assert_eq!(read(bytes.get(..end).unwrap(), 3), Ok(None), "{bytes:?} {end}");
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [
            "\r\n",
            ";a\r\n",
            " 1\r\na",
            "+1\r\na",
            "0x1\r\na",
            "1g\r\na",
            "1\na\r\n",
            "1 1\r\n",
            "1\r\r",
            "1;a\nb",
            "1;a\rb",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rb",
            "10000000000000000\r\n",
            "00000000000000001\r\na",
            "0\r\n\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx : y\r\n\r\n",
            "0\r\na: b\rc: d\r\n\r\n",
        ] {
            for step in [1, 2, bytes.len()] {
                assert_eq!(read(bytes, step), Err(Malformed), "{bytes:?} {step}");
            }
        }
    }

    #[test]
    fn what_is_no_data_has_a_limit() {
        let long = "x".repeat(ASIDE_BYTES_MAX + 1);
        for bytes in [
            format!("1;{long}"),
            format!("1{}", " ".repeat(ASIDE_BYTES_MAX + 1)),
            "1;xyz\r\na\r\n".repeat(ASIDE_BYTES_MAX / 3 + 1),
            format!("0\r\n{long}"),
            format!("0\r\n{}", "x: y\r\n".repeat(ASIDE_BYTES_MAX / 6 + 1)),
            format!("0\r\n{}\r\n", "x: y\r\n".repeat(TRAILERS_MAX + 1)),
        ] {
            assert_eq!(read(&bytes, 1000), Err(Malformed));
        }
        let most = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(ASIDE_BYTES_MAX));
        assert_eq!(read(&most, 999).unwrap().unwrap().0, "a");
    }
}
