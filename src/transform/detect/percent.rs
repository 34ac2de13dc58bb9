//! Percent-encoded text: decoded for the detectors, with the way back to where each byte stood.

/// Encodings upon encodings that are undone; a redirect within a redirect has three.
const LEVELS: usize = 3;

/// A decoded text and where each of its bytes stood in the original.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    text: String,
    /// For each byte of `text` its place in the original, and the original's length behind it.
    origin: Vec<usize>,
    bytes: Vec<u8>,
}

impl Decoded {
    /// Decodes `text`; false if there is nothing to decode.
    pub(super) fn decode(&mut self, text: &str) -> bool {
        self.origin.clear();
        self.origin.extend(0..=text.len());
        self.bytes.clear();
        self.bytes.extend_from_slice(text.as_bytes());
        let mut changed = false;
        for _ in 0..LEVELS {
            if !self.decode_once() {
                break;
            }
            changed = true;
        }
        if changed {
            self.keep_text();
        }
        changed
    }

    fn decode_once(&mut self) -> bool {
        let (mut from, mut to) = (0, 0);
        while from < self.bytes.len() {
            let code = match self.bytes.get(from..from + 3) {
                Some(&[b'%', high, low]) => hex(high).zip(hex(low)).map(|(h, l)| h * 16 + l),
                _ => None,
            };
            self.bytes[to] = code.unwrap_or(self.bytes[from]);
            self.origin[to] = self.origin[from];
            from += if code.is_some() { 3 } else { 1 };
            to += 1;
        }
        let changed = to < self.bytes.len();
        self.origin[to] = self.origin[from];
        self.bytes.truncate(to);
        self.origin.truncate(to + 1);
        changed
    }

    /// What is no UTF-8 after decoding (Latin-1, binary) becomes `?`, byte by byte.
    fn keep_text(&mut self) {
        self.text.clear();
        let mut rest: &[u8] = &self.bytes;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.text.push_str(valid);
                    return;
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    self.text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    self.text.push('?');
                    rest = broken.get(1..).unwrap_or_default();
                }
            }
        }
    }

    /// The decoded text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reads `+` as the blank it stands for in a query.
    pub(super) fn read_plus_as_blank(&mut self) -> bool {
        let literal = |at: usize| {
            self.origin.get(at + 1).zip(self.origin.get(at)).is_some_and(|(b, a)| b - a == 1)
        };
        let mut changed = false;
        let read = self.text.char_indices().map(|(at, ch)| {
            let blank = ch == '+' && literal(at);
            changed |= blank;
            if blank { ' ' } else { ch }
        });
        self.text = read.collect();
        changed
    }

    /// Where the original of the span stood, and whether any of it was encoded.
    pub(super) fn original(&self, start: usize, end: usize) -> (usize, usize, bool) {
        let place = |at: usize| self.origin.get(at).copied().unwrap_or_default();
        let (from, to) = (place(start), place(end));
        (from, to, to - from != end - start)
    }
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
