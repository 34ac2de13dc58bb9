//! MD5 of several short texts at once.
//!
//! One step of MD5 waits for the one before it, so that a processor does little at a time; eight texts
//! beside one another cost it hardly more than one. Only for texts of up to two blocks, as pairs of
//! ids are; `id` takes the crate for all others and for a text alone.

use super::simd::Four;

/// Texts at a time: as many as a processor's registers hold the states of.
pub(super) const LANES: usize = 8;
/// Longest text: two blocks less the mark of the end and the length.
pub(super) const BYTES_MAX: usize = 2 * BLOCK - 9;

const BLOCK: usize = 64;

/// A word of each text.
type Lane = [Four; 2];
type State = [Lane; 4];

const FIRST: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The whole part of 2^32 times the sine of 1, 2, 3 and so on, without its sign.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// The hashes of up to [`LANES`] texts, in their order; none for one longer than [`BYTES_MAX`].
pub(super) fn of_each(texts: &[&[u8]]) -> [Option<[u8; 16]>; LANES] {
    let mut words = [[[0; LANES]; 16]; 2];
    let mut long = [false; LANES];
    for (lane, text) in texts.iter().enumerate().take(LANES) {
        let Some(padded) = pad(text) else { continue };
        long[lane] = text.len() > BLOCK - 9;
        for (to, four) in words.as_flattened_mut().iter_mut().zip(padded.as_chunks().0) {
            to[lane] = u32::from_le_bytes(*four);
        }
    }
    let [block, other] = words.map(|words| words.map(lane_of));
    let first = add_block(FIRST.map(|word| [Four::new([word; 4]); 2]), &block);
    let second = if long.contains(&true) { add_block(first, &other) } else { first };
    let [first, second] = [first, second].map(|state| state.map(|lane| lane.map(Four::words)));
    std::array::from_fn(|lane| {
        let text = texts.get(lane).filter(|text| text.len() <= BYTES_MAX);
        let state = if long[lane] { &second } else { &first };
        let mut hash = [0; 16];
        for (to, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
            *to = word[lane / 4][lane % 4].to_le_bytes();
        }
        text.map(|_| hash)
    })
}

fn lane_of([a, b, c, d, e, f, g, h]: [u32; LANES]) -> Lane {
    [Four::new([a, b, c, d]), Four::new([e, f, g, h])]
}

/// The text, a mark behind it, and at the end of its last block its bits.
fn pad(text: &[u8]) -> Option<[u8; 2 * BLOCK]> {
    let mut padded = [0; 2 * BLOCK];
    if text.len() > BYTES_MAX {
        return None;
    }
    padded.get_mut(..text.len())?.copy_from_slice(text);
    *padded.get_mut(text.len())? = 0x80;
    let end = if text.len() > BLOCK - 9 { 2 * BLOCK } else { BLOCK };
    padded.get_mut(end - 8..end)?.copy_from_slice(&(text.len() as u64 * 8).to_le_bytes());
    Some(padded)
}

fn add_block(before: State, words: &[Lane; 16]) -> State {
    let mut state = before;
    for four in 0..4 {
        let word = |step: usize| (&words[4 * four + step], SINES[4 * four + step]);
        state = add_words::<7, 25, 12, 20, 17, 15, 22, 10>(state, word, |b, c, d| {
            d.xor(b.and(c.xor(d)))
        });
    }
    for four in 0..4 {
        let word =
            |step: usize| (&words[(20 * four + 5 * step + 1) % 16], SINES[16 + 4 * four + step]);
        state = add_words::<5, 27, 9, 23, 14, 18, 20, 12>(state, word, |b, c, d| {
            c.xor(d.and(b.xor(c)))
        });
    }
    for four in 0..4 {
        let word =
            |step: usize| (&words[(12 * four + 3 * step + 5) % 16], SINES[32 + 4 * four + step]);
        state = add_words::<4, 28, 11, 21, 16, 16, 23, 9>(state, word, |b, c, d| b.xor(c).xor(d));
    }
    for four in 0..4 {
        let word = |step: usize| (&words[(28 * four + 7 * step) % 16], SINES[48 + 4 * four + step]);
        state = add_words::<6, 26, 10, 22, 15, 17, 21, 11>(state, word, |b, c, d| {
            c.xor(b.or(d.xor(Four::new([u32::MAX; 4]))))
        });
    }
    std::array::from_fn(|at| std::array::from_fn(|half| before[at][half].add(state[at][half])))
}

/// Four steps, each with its turns to the left and what is left of 32.
#[inline]
fn add_words<
    'w,
    const L0: i32,
    const R0: i32,
    const L1: i32,
    const R1: i32,
    const L2: i32,
    const R2: i32,
    const L3: i32,
    const R3: i32,
>(
    [a, b, c, d]: State,
    word: impl Fn(usize) -> (&'w Lane, u32),
    mix: impl Fn(Four, Four, Four) -> Four + Copy,
) -> State {
    let a = add_word::<L0, R0>([a, b, c, d], word(0), mix);
    let d = add_word::<L1, R1>([d, a, b, c], word(1), mix);
    let c = add_word::<L2, R2>([c, d, a, b], word(2), mix);
    let b = add_word::<L3, R3>([b, c, d, a], word(3), mix);
    [a, b, c, d]
}

#[inline]
fn add_word<const L: i32, const R: i32>(
    [a, b, c, d]: State,
    (word, sine): (&Lane, u32),
    mix: impl Fn(Four, Four, Four) -> Four,
) -> Lane {
    let sine = Four::new([sine; 4]);
    std::array::from_fn(|half| {
        let mixed = mix(b[half], c[half], d[half]);
        let sum = a[half].add(word[half].add(sine)).add(mixed);
        b[half].add(sum.turn::<L, R>())
    })
}

#[cfg(test)]
mod tests {
    use ::md5::{Digest, Md5};

    use super::*;

    #[test]
    fn the_hashes_are_those_of_md5() {
        let text: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
        for first in 0..=BYTES_MAX + 1 {
            for count in 0..=LANES {
                // Each with a length of its own, short ones and long ones beside one another.
                let texts: Vec<&[u8]> = (0..count)
                    .map(|lane| &text[lane..lane + (first + lane * 31) % (BYTES_MAX + 2)])
                    .collect();
                let hashes = of_each(&texts);
                for (lane, hash) in hashes.iter().enumerate() {
                    let text = texts.get(lane).filter(|text| text.len() <= BYTES_MAX);
                    let expected = text.map(|text| <[u8; 16]>::from(Md5::digest(text)));
                    assert_eq!(*hash, expected, "{first} {count} {lane}");
                }
            }
        }
    }
}
