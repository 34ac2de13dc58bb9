//! Sixteen bytes at a time, where the processor can. The one module with unsafe code; what it finds is
//! compared with the plain form in a test.

/// Which of the bytes are a quote, a backslash or a control character: the first is the lowest bit.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "vector instructions; SSE2 is part of every x86-64 processor")]
pub(super) fn specials(block: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    const CONTROL_LAST: i8 = 0x1f;
    // SAFETY: SSE2 is there on every x86-64 processor, and the load reads the 16 bytes of the block
    // and needs no alignment.
    unsafe {
        let bytes = _mm_loadu_si128(block.as_ptr().cast());
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(CONTROL_LAST)), bytes);
        let any = _mm_or_si128(_mm_or_si128(quote, slash), control);
        _mm_movemask_epi8(any).cast_unsigned()
    }
}

/// Which of the bytes are digits.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "vector instructions; SSE2 is part of every x86-64 processor")]
pub(super) fn digits(block: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8,
        _mm_sub_epi8,
    };
    // SAFETY: as above.
    unsafe {
        let bytes = _mm_loadu_si128(block.as_ptr().cast());
        let values = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0'.cast_signed()));
        let low = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
        _mm_movemask_epi8(low).cast_unsigned()
    }
}

/// Which of the bytes are letters from A to F, in either case.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "vector instructions; SSE2 is part of every x86-64 processor")]
pub(super) fn letters_to_f(block: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };
    // SAFETY: as above.
    unsafe {
        let bytes = _mm_loadu_si128(block.as_ptr().cast());
        let small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let values = _mm_sub_epi8(small, _mm_set1_epi8(b'a'.cast_signed()));
        let low = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(5)), values);
        _mm_movemask_epi8(low).cast_unsigned()
    }
}

/// Which of the bytes are not the same in both.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "vector instructions; SSE2 is part of every x86-64 processor")]
pub(super) fn unequal(one: &[u8; 32], other: &[u8; 32]) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8};
    let same = |one: &[u8; 16], other: &[u8; 16]| {
        // SAFETY: as above.
        unsafe {
            let one = _mm_loadu_si128(one.as_ptr().cast());
            let other = _mm_loadu_si128(other.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(one, other)).cast_unsigned()
        }
    };
    let (ones, others) = (one.as_chunks().0, other.as_chunks().0);
    !(same(&ones[0], &others[0]) | same(&ones[1], &others[1]) << 16)
}

/// The same without vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) fn specials_plain(block: &[u8; 16]) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let half = |at: usize| {
        let word = block.get(at..).and_then(<[u8]>::first_chunk::<8>);
        let word = word.map_or(0, |word| u64::from_le_bytes(*word));
        let low = word & !HIGH;
        // The top bit of each byte that equals the one asked for, or is below a space; nothing is
        // carried from byte to byte.
        let equals = |byte: u8| !(((low ^ (ONES * u64::from(byte))) + !HIGH) | word);
        let control = !((low + ONES * 0x60) | word);
        let hits = (equals(b'"') | equals(b'\\') | control) & HIGH;
        (hits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    u32::try_from(half(0) | half(8) << 8).unwrap_or_default()
}

/// Which of the bytes are digits, without vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) fn digits_plain(block: &[u8; 16]) -> u32 {
    block.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(byte.is_ascii_digit()))
}

/// Which of the bytes are letters from A to F, without vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) fn letters_to_f_plain(block: &[u8; 16]) -> u32 {
    let is_one = |byte: &u8| matches!(byte, b'a'..=b'f' | b'A'..=b'F');
    block.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(is_one(byte)))
}

/// Which of the bytes are not the same in both, without vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) fn unequal_plain(one: &[u8; 32], other: &[u8; 32]) -> u32 {
    let pairs = one.iter().zip(other).rev();
    pairs.fold(0, |bits, (one, other)| bits << 1 | u32::from(one != other))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use {
    digits_plain as digits, letters_to_f_plain as letters_to_f, specials_plain as specials,
    unequal_plain as unequal,
};

/// Four numbers that are worked on as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Four(
    #[cfg(target_arch = "x86_64")] std::arch::x86_64::__m128i,
    #[cfg(not(target_arch = "x86_64"))] [u32; 4],
);

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions; SSE2 is part of every x86-64 processor")]
impl Four {
    #[inline]
    pub(super) fn new([a, b, c, d]: [u32; 4]) -> Self {
        let [a, b, c, d] = [a, b, c, d].map(u32::cast_signed);
        // SAFETY: SSE2 is there on every x86-64 processor; so in all that follows.
        Self(unsafe { std::arch::x86_64::_mm_set_epi32(d, c, b, a) })
    }

    pub(super) fn words(self) -> [u32; 4] {
        let mut words = [0; 4];
        // SAFETY: as above, and the 16 bytes of the words need no alignment.
        unsafe { std::arch::x86_64::_mm_storeu_si128(words.as_mut_ptr().cast(), self.0) };
        words
    }

    #[inline]
    pub(super) fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { std::arch::x86_64::_mm_add_epi32(self.0, other.0) })
    }

    #[inline]
    pub(super) fn and(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { std::arch::x86_64::_mm_and_si128(self.0, other.0) })
    }

    #[inline]
    pub(super) fn or(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { std::arch::x86_64::_mm_or_si128(self.0, other.0) })
    }

    #[inline]
    pub(super) fn xor(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { std::arch::x86_64::_mm_xor_si128(self.0, other.0) })
    }

    /// Turned to the left by `L` bits; `R` is what that leaves of 32.
    #[inline]
    pub(super) fn turn<const L: i32, const R: i32>(self) -> Self {
        use std::arch::x86_64::{_mm_or_si128, _mm_slli_epi32, _mm_srli_epi32};
        const { assert!(L + R == 32) };
        // SAFETY: as above.
        Self(unsafe { _mm_or_si128(_mm_slli_epi32::<L>(self.0), _mm_srli_epi32::<R>(self.0)) })
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Four {
    pub(super) fn new(words: [u32; 4]) -> Self {
        Self(words)
    }

    pub(super) fn words(self) -> [u32; 4] {
        self.0
    }

    fn each(self, other: Self, make: impl Fn(u32, u32) -> u32) -> Self {
        Self(std::array::from_fn(|at| make(self.0[at], other.0[at])))
    }

    pub(super) fn add(self, other: Self) -> Self {
        self.each(other, u32::wrapping_add)
    }

    pub(super) fn and(self, other: Self) -> Self {
        self.each(other, |one, other| one & other)
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.each(other, |one, other| one | other)
    }

    pub(super) fn xor(self, other: Self) -> Self {
        self.each(other, |one, other| one ^ other)
    }

    pub(super) fn turn<const L: i32, const R: i32>(self) -> Self {
        self.each(self, |one, other| one << L | other >> R)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_differ_are_told_wherever_they_are() {
        let one: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        assert_eq!((unequal(&one, &one), unequal_plain(&one, &one)), (0, 0));
        for at in 0..32 {
            for change in [1, 0x80, 0xff] {
                let mut other = one;
                other[at] ^= change;
                other[31 - at] ^= change;
                let expected = 1 << at | 1 << (31 - at);
                assert_eq!(unequal(&one, &other), expected);
                assert_eq!(unequal_plain(&one, &other), expected);
            }
        }
    }

    #[test]
    fn four_numbers_are_worked_on_like_one() {
        let (one, other) = ([1, u32::MAX, 0x8000_0001, 77], [5, 2, 0xf0f0_f0f0, u32::MAX]);
        let (a, b) = (Four::new(one), Four::new(other));
        let each = |make: fn(u32, u32) -> u32| std::array::from_fn(|at| make(one[at], other[at]));
        assert_eq!(a.words(), one);
        assert_eq!(a.add(b).words(), each(u32::wrapping_add));
        assert_eq!(a.and(b).words(), each(|one, other| one & other));
        assert_eq!(a.or(b).words(), each(|one, other| one | other));
        assert_eq!(a.xor(b).words(), each(|one, other| one ^ other));
        assert_eq!(a.turn::<7, 25>().words(), each(|one, _| one.rotate_left(7)));
    }

    #[test]
    fn every_byte_at_every_place_is_judged_as_it_is() {
        for at in 0..16 {
            for byte in 0..=255 {
                for around in [b'a', b'"', b'7', 0x80, 0xff, 0x1f, 0x20] {
                    let mut block = [around; 16];
                    block[at] = byte;
                    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
                    let expected = block
                        .iter()
                        .rev()
                        .fold(0, |bits, byte| bits << 1 | u32::from(special(*byte)));
                    assert_eq!(specials(&block), expected, "{block:?}");
                    assert_eq!(specials_plain(&block), expected, "{block:?}");
                    assert_eq!(digits(&block), digits_plain(&block), "{block:?}");
                    let letters = letters_to_f_plain(&block);
                    assert_eq!(letters_to_f(&block), letters, "{block:?}");
                }
            }
        }
    }
}
