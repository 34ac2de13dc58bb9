//! What kinds of bytes a text holds, found in one pass, so that most detectors need not look.

/// a to z.
pub(super) const LOWER: u16 = 1;
/// A to Z.
pub(super) const UPPER: u16 = 1 << 1;
/// 0 to 9.
pub(super) const DIGIT: u16 = 1 << 2;
/// `@`
pub(super) const AT: u16 = 1 << 3;
/// `:`
pub(super) const COLON: u16 = 1 << 4;
/// `=`
pub(super) const EQUALS: u16 = 1 << 5;
/// `.`
pub(super) const DOT: u16 = 1 << 6;
/// `-`
pub(super) const DASH: u16 = 1 << 7;
/// `_`
pub(super) const UNDERSCORE: u16 = 1 << 8;
/// `/` and `\`
pub(super) const SLASH: u16 = 1 << 9;
/// White space, control characters and the punctuation that has no bit of its own.
pub(super) const OTHER: u16 = 1 << 10;
/// `+`
pub(super) const PLUS: u16 = 1 << 11;
/// `%`
pub(super) const PERCENT: u16 = 1 << 12;
/// Bytes of characters outside ASCII.
pub(super) const HIGH: u16 = 1 << 13;

/// Letters that are no hexadecimal digits; they are [`LOWER`] or [`UPPER`] as well.
pub(super) const BEYOND_F: u16 = 1 << 14;

/// Letters and digits of ASCII.
pub(super) const ALNUM: u16 = LOWER | UPPER | DIGIT | BEYOND_F;

const TABLE: [u16; 256] = {
    let mut table = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at {
            0x61..=0x66 => LOWER,
            0x67..=0x7A => LOWER | BEYOND_F,
            0x41..=0x46 => UPPER,
            0x47..=0x5A => UPPER | BEYOND_F,
            0x30..=0x39 => DIGIT,
            0x40 => AT,
            0x3A => COLON,
            0x3D => EQUALS,
            0x2E => DOT,
            0x2D => DASH,
            0x5F => UNDERSCORE,
            0x2F | 0x5C => SLASH,
            0x2B => PLUS,
            0x25 => PERCENT,
            0x80..=0xFF => HIGH,
            _ => OTHER,
        };
        at += 1;
    }
    table
};

/// The class of one byte.
#[inline]
pub(super) const fn of(byte: u8) -> u16 {
    TABLE[byte as usize]
}

/// The classes of all bytes together.
#[inline]
pub(super) fn of_all(bytes: &[u8]) -> u16 {
    let mut chunks = bytes.chunks_exact(4);
    let (mut a, mut b) = (0, 0);
    for chunk in &mut chunks {
        a |= of(chunk[0]) | of(chunk[1]);
        b |= of(chunk[2]) | of(chunk[3]);
    }
    chunks.remainder().iter().fold(a | b, |classes, &byte| classes | of(byte))
}

/// True for an ASCII letter or digit.
#[inline]
pub(super) const fn is_alnum(byte: u8) -> bool {
    of(byte) & ALNUM != 0
}

/// How many bytes at the start pass. Loops that end only where the text says so go through here, so
/// that a test can tell how much of a text is looked at how often.
#[inline]
pub(super) fn leading(bytes: &[u8], passes: impl Fn(u8) -> bool) -> usize {
    let count = bytes.iter().take_while(|&&byte| passes(byte)).count();
    looked_at(count + 1);
    count
}

/// Notes for a test that so many bytes were looked at.
#[cfg(not(test))]
#[inline]
pub(super) const fn looked_at(_: usize) {}

#[cfg(test)]
pub(super) use work::looked_at;

/// Counts the bytes that detectors look at.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(in super::super) fn looked_at(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// What was counted since the last call.
    pub(in super::super) fn take() -> usize {
        BYTES.take()
    }
}

/// Eight bytes as bits: which are ASCII letters or digits, and which are digits; the first byte is
/// the lowest bit. Bytes behind the end count as neither.
#[inline]
fn alnum_bits(eight: [u8; 8]) -> (u64, u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    // The top bit of each byte that is within the range; bytes beyond ASCII never are.
    let within = |word: u64, first: u8, last: u8| {
        let low = word & !TOPS;
        let from = low + ONES * u64::from(0x80 - first);
        let behind = low + ONES * u64::from(0x7F - last);
        from & !behind & !word & TOPS
    };
    let bits = |tops: u64| tops.wrapping_mul(0x0002_0408_1020_4081) >> 56;
    let digits = within(word, b'0', b'9');
    // Bit 5 tells small letters from capitals; it may be set in both.
    let letters = within(word | ONES << 5, b'a', b'z') & !(word & TOPS);
    (bits(digits | letters), bits(digits))
}

/// Up to 64 bytes as bits, see [`alnum_bits`].
#[inline]
pub(super) fn word_bits(bytes: &[u8]) -> (u64, u64) {
    let (mut alnum, mut digits, mut shift) = (0, 0, 0);
    let mut chunks = bytes.chunks_exact(8);
    let mut take = |eight: [u8; 8]| {
        let (a, d) = alnum_bits(eight);
        alnum |= a << shift;
        digits |= d << shift;
        shift += 8;
    };
    for chunk in &mut chunks {
        take([chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]]);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        take(eight);
    }
    (alnum, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_agree_with_the_table() {
        for length in 0..=64 {
            for first in 0..=255_u8 {
                let bytes: Vec<u8> = (0..length).map(|n| first.wrapping_add(n)).collect();
                let (alnum, digits) = word_bits(&bytes);
                for at in 0..64 {
                    let byte = bytes.get(at).copied().unwrap_or_default();
                    assert_eq!(alnum >> at & 1 == 1, is_alnum(byte), "{byte} at {at}");
                    assert_eq!(digits >> at & 1 == 1, byte.is_ascii_digit(), "{byte} at {at}");
                }
            }
        }
    }
}
