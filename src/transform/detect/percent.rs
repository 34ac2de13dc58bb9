//! Texts in another spelling: percent-encoded, with `+` for blanks, with typesetters' blanks and
//! dashes, wide or escaped characters. Read for the detectors, with the way back to where each byte
//! stood.

/// Encodings upon encodings that are undone; a redirect within a redirect has three.
const LEVELS: usize = 3;

/// A decoded text and where each of its bytes stood in the original.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    text: String,
    /// For each byte of `text` its place in the original, and the original's length behind it.
    origin: Vec<usize>,
    bytes: Vec<u8>,
    /// What is folded where it is no original, and where that stood.
    spare: (String, Vec<usize>),
}

impl Decoded {
    /// Takes `text` as it is.
    pub(super) fn load(&mut self, text: &str) {
        self.origin.clear();
        self.origin.extend(0..=text.len());
        self.text.clear();
        self.text.push_str(text);
    }

    /// Decodes `text`; false if there is nothing to decode.
    pub(super) fn decode(&mut self, text: &str) -> bool {
        self.load(text);
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

    /// Takes `text` with plain characters for those that only look different: blanks that do not
    /// break, long dashes, full width, the digits of other scripts, `\\u0040` and `\\n`; without those that
    /// cannot be seen. False if it has none.
    pub(super) fn fold(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        // The first bytes of all characters that are folded; most letters have others.
        let disguised = |&byte: &u8| matches!(byte, 0xC2 | 0xD9 | 0xDB | 0xE0 | 0xE2 | 0xE3 | 0xEF);
        if !bytes.iter().any(disguised) && memchr::memchr(b'\\', bytes).is_none() {
            return false;
        }
        self.text.clear();
        self.origin.clear();
        let (mut changed, mut at) = (false, 0);
        while let Some(ch) = text.get(at..).and_then(|rest| rest.chars().next()) {
            let escaped = if ch == '\\' { escaped(text, at) } else { None };
            let (plain, length) = match escaped {
                Some((plain, length)) => (Some(plain), length),
                None => (plain(ch), ch.len_utf8()),
            };
            changed |= plain != Some(ch);
            if let Some(plain) = plain {
                self.text.push(plain);
                self.origin.extend(std::iter::repeat_n(at, plain.len_utf8()));
            }
            at += length;
        }
        self.origin.push(text.len());
        changed
    }

    /// As [`Decoded::fold`], of what was decoded.
    pub(super) fn fold_decoded(&mut self) -> bool {
        let mut spare = std::mem::take(&mut self.spare);
        std::mem::swap(&mut spare.0, &mut self.text);
        std::mem::swap(&mut spare.1, &mut self.origin);
        let changed = self.fold(&spare.0);
        if changed {
            for place in &mut self.origin {
                *place = spare.1.get(*place).copied().unwrap_or_default();
            }
        } else {
            std::mem::swap(&mut spare.0, &mut self.text);
            std::mem::swap(&mut spare.1, &mut self.origin);
        }
        self.spare = spare;
        changed
    }

    /// Where the original of the span stood, and whether any of it was encoded.
    pub(super) fn original(&self, start: usize, end: usize) -> (usize, usize, bool) {
        let place = |at: usize| self.origin.get(at).copied().unwrap_or_default();
        let (from, to) = (place(start), place(end));
        (from, to, to - from != end - start)
    }
}

/// `\\u0040`, `\\n`, `\\/` and their like at `at`: the ASCII character that it stands for, and how
/// long it is. The same text is also read as it is, so that `C:\new` stays a path.
fn escaped(text: &str, at: usize) -> Option<(char, usize)> {
    let short = match text.as_bytes().get(at + 1)? {
        b'n' | b'r' => '\n',
        b't' => '\t',
        b'b' | b'f' => ' ',
        b'/' => '/',
        _ => {
            let digits = text.get(at..at + 6)?.strip_prefix("\\u00")?.as_bytes();
            let code = hex(digits[0])? * 16 + hex(digits[1])?;
            return (0x20..0x7F).contains(&code).then_some((char::from(code), 6));
        }
    };
    Some((short, 2))
}

/// The plain character for one that looks different; none for one that cannot be seen.
fn plain(ch: char) -> Option<char> {
    let code = u32::from(ch);
    let digit = |zero: u32| char::from_digit(code - zero, 10);
    match code {
        0..=0x9F => Some(ch),
        0xA0 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => Some(' '),
        0xAD | 0x200B..=0x200F | 0x2060 | 0xFEFF => None,
        0x2010..=0x2015 | 0x2212 => Some('-'),
        0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0),
        0x0660..=0x0669 => digit(0x0660),
        0x06F0..=0x06F9 => digit(0x06F0),
        0x0966..=0x096F => digit(0x0966),
        _ => Some(ch),
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
