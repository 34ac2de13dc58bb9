//! Wallet addresses: base58check, bech32 and bech32m, Ethereum's form.

use sha2::{Digest, Sha256};

use super::class::is_alnum;

/// The alphabet of base58 as Bitcoin has it.
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// The alphabet of BIP-173.
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Version bytes of pay-to-key and pay-to-script addresses: Bitcoin, Litecoin, Dogecoin, Dash,
/// and those of the test networks.
const VERSIONS: [u8; 9] = [0, 5, 0x30, 0x32, 0x1E, 0x16, 0x4C, 0x6F, 0xC4];
/// The human-readable parts of the networks above that have segwit.
const NETWORKS: [&[u8]; 4] = [b"bc1", b"tb1", b"ltc1", b"bcrt1"];

/// An address in the word from `start` to `end`.
pub(super) fn is_address(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = bytes.get(start..end).unwrap_or_default();
    match word {
        [b'0', b'x', rest @ ..] => rest.len() == 40 && rest.iter().all(u8::is_ascii_hexdigit),
        [b'1' | b'3' | b'L' | b'M' | b'D' | b'X' | b'9' | b'A' | b'm' | b'n' | b'2', ..]
            if (26..=35).contains(&word.len()) && is_base58check(word) =>
        {
            true
        }
        // Monero: a network byte and two keys, 95 characters of base58.
        [b'4' | b'8', ..] if word.len() == 95 => word.iter().all(|byte| BASE58.contains(byte)),
        _ if word.len() >= 14 && word.len() <= 90 => is_bech32(word),
        _ => false,
    }
}

fn is_base58check(word: &[u8]) -> bool {
    let mut number = [0_u8; 25];
    for &byte in word {
        let Some(digit) = BASE58.iter().position(|&known| known == byte) else { return false };
        let mut carry = u32::try_from(digit).unwrap_or_default();
        for slot in number.iter_mut().rev() {
            carry += u32::from(*slot) * 58;
            let [.., high, low] = carry.to_be_bytes();
            *slot = low;
            carry = u32::from(high);
        }
        if carry != 0 {
            return false;
        }
    }
    // As many leading ones as zero bytes, so that one number has one spelling.
    let ones = word.iter().take_while(|&&byte| byte == b'1').count();
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let (body, check) = number.split_at(21);
    ones == zeros
        && VERSIONS.contains(&body[0])
        && Sha256::digest(Sha256::digest(body)).starts_with(check)
}

/// BIP-173's checksum, with BIP-350's other constant for later versions.
fn is_bech32(word: &[u8]) -> bool {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let starts = |network: &&&[u8]| {
        word.len() > network.len() && network.iter().zip(word).all(|(a, b)| *a == lower(b))
    };
    let Some(network) = NETWORKS.iter().find(starts) else { return false };
    let mixed = word.iter().any(u8::is_ascii_lowercase) && word.iter().any(u8::is_ascii_uppercase);
    if mixed {
        return false;
    }
    let (human, data) = word.split_at(network.len());
    let human = human.get(..human.len() - 1).unwrap_or_default();
    let mut state = 1_u32;
    human.iter().for_each(|byte| step(&mut state, u32::from(lower(byte) >> 5)));
    step(&mut state, 0);
    human.iter().for_each(|byte| step(&mut state, u32::from(lower(byte) & 31)));
    for byte in data {
        let Some(value) = BECH32.iter().position(|&known| known == lower(byte)) else {
            return false;
        };
        step(&mut state, u32::try_from(value).unwrap_or_default());
    }
    state == 1 || state == 0x2BC8_30A3
}

fn step(state: &mut u32, value: u32) {
    const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    let top = *state >> 25;
    *state = ((*state & 0x01FF_FFFF) << 5) ^ value;
    for (n, part) in GENERATOR.iter().enumerate() {
        if top >> n & 1 == 1 {
            *state ^= part;
        }
    }
}

/// A quick no for words that cannot be an address.
pub(super) fn may_be(bytes: &[u8], start: usize, end: usize) -> bool {
    let length = end - start;
    (26..=95).contains(&length) && bytes.get(start).is_some_and(|&byte| is_alnum(byte))
}
