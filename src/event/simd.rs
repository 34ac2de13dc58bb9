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

#[cfg(not(target_arch = "x86_64"))]
pub(super) use {digits_plain as digits, specials_plain as specials};

#[cfg(test)]
mod tests {
    use super::*;

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
                }
            }
        }
    }
}
