//! Runs of bytes that a reader of JSON need not look at: strings up to where something is to be done,
//! and digits.

use super::simd;

/// Where a text's quotes, backslashes and control characters are, found for 64 bytes at a time: what a
/// walk does next then waits for a shift of those bits, not for a look at the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// Offset of the 64 bytes looked at.
    base: usize,
    /// The lowest bit is the byte at `base`.
    bits: u64,
}

impl<'a> Specials<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0, bits: bits_at(bytes, 0) }
    }

    /// The first of them from `at` on, or the length of the text. Callers do not go back.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let behind = at - self.base;
        if behind < 64 {
            let rest = self.bits >> behind;
            if rest != 0 {
                return at + rest.trailing_zeros() as usize;
            }
        }
        (self.base, self.bits) = search(self.bytes, at.max(self.base + 64));
        self.base + self.bits.trailing_zeros() as usize
    }
}

/// The first 64 bytes from `base` on, in steps of so many, that hold one.
fn search(bytes: &[u8], mut base: usize) -> (usize, u64) {
    loop {
        let bits = bits_at(bytes, base);
        if bits != 0 {
            return (base, bits);
        }
        base += 64;
    }
}

fn bits_at(bytes: &[u8], base: usize) -> u64 {
    let rest = bytes.get(base..).unwrap_or_default();
    if let Some(block) = rest.first_chunk::<64>() {
        return specials(block);
    }
    // What is behind the end counts as control characters.
    let mut block = [0; 64];
    if let Some(filled) = block.get_mut(..rest.len()) {
        filled.copy_from_slice(rest);
    }
    specials(&block)
}

#[inline]
fn specials(block: &[u8; 64]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().rev().fold(0, |bits, part| bits << 16 | u64::from(simd::specials(part)))
}

/// How many bytes at the start of `bytes` are neither a quote, a backslash nor a control character.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let hits = simd::specials(block);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += 16;
    }
    let rest = bytes.len() - at;
    let hits = match bytes.last_chunk::<16>() {
        Some(block) => simd::specials(block) >> (16 - rest),
        None => simd::specials(&block_of(bytes)),
    };
    at + (hits | 1 << rest).trailing_zeros() as usize
}

/// Fewer than 16 bytes, zeros behind. Put together in registers: a block that was written in pieces
/// can only be read as a whole once they are in the cache.
#[inline]
pub(super) fn block_of(bytes: &[u8]) -> [u8; 16] {
    let length = bytes.len();
    let (low, high) = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let unused = 16_usize.saturating_sub(length);
        let behind = if unused < 8 { u64::from_le_bytes(*last) >> (8 * unused) } else { 0 };
        (u64::from_le_bytes(*first), behind)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        (u64::from(first) | u64::from(last) << (8 * (length - 4)), 0)
    } else {
        (bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0)
    };
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

/// How many bytes at the start of `bytes` are digits.
#[inline]
pub(super) fn digit_run(bytes: &[u8]) -> usize {
    if let Some(block) = bytes.first_chunk() {
        let digits = (!simd::digits(block)).trailing_zeros() as usize;
        if digits < 16 {
            return digits;
        }
    }
    bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specials_are_found_wherever_they_are() {
        for length in [0, 1, 15, 63, 64, 65, 127, 128, 200] {
            for at in 0..length {
                let mut text = vec![b'a'; length];
                text[at] = b'"';
                for from in 0..=length {
                    let mut specials = Specials::new(&text);
                    let expected = if from <= at { at } else { length };
                    assert_eq!(specials.next(from), expected, "{length} {at} {from}");
                    if expected < length {
                        assert_eq!(specials.next(expected), expected, "{length} {at} {from}");
                        assert_eq!(specials.next(expected + 1), length, "{length} {at} {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_plain_run_ends_at_the_first_special() {
        for length in 0..70 {
            let text = vec![b'a'; length];
            assert_eq!(plain_run(&text), length);
            for at in 0..length {
                let mut text = text.clone();
                text[at] = b'\\';
                assert_eq!(plain_run(&text), at, "{length}");
                assert_eq!(plain_run(&text[at + 1..]), length - at - 1, "{length}");
            }
        }
    }

    #[test]
    fn a_block_is_the_bytes_and_zeros() {
        for length in 0..16 {
            let text: Vec<u8> = (1..=length).collect();
            let mut expected = [0; 16];
            expected[..text.len()].copy_from_slice(&text);
            assert_eq!(block_of(&text), expected);
        }
    }

    #[test]
    fn digits_end_where_something_else_is() {
        for digits in 0..40 {
            for behind in ["", ".", "e5", "/", ":", "x1234567890123456"] {
                let text = format!("{}{behind}", "7".repeat(digits));
                assert_eq!(digit_run(text.as_bytes()), digits, "{text}");
            }
        }
    }
}
