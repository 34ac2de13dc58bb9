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

/// Letters and digits of ASCII.
pub(super) const ALNUM: u16 = LOWER | UPPER | DIGIT;

const TABLE: [u16; 256] = {
    let mut table = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at {
            0x61..=0x7A => LOWER,
            0x41..=0x5A => UPPER,
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
