//! Wallet addresses: base58check, bech32 and bech32m, Stellar's and Ethereum's forms.

use sha2::{Digest, Sha256};

use super::class::is_alnum;

/// The alphabet of base58 as Bitcoin has it.
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// The alphabet of BIP-173.
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Ripple's.
const RIPPLE58: &[u8; 58] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";

/// An address in the word from `start` to `end`.
pub(super) fn is_address(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = bytes.get(start..end).unwrap_or_default();
    match (word[0], word.len()) {
        (b'0', 42) if word[1] == b'x' => word.iter().skip(2).all(u8::is_ascii_hexdigit),
        // Bitcoin, Litecoin, Dogecoin, Dash, Tron, those of the test networks; Zcash.
        (
            b'1' | b'3' | b'L' | b'M' | b'D' | b'X' | b'7' | b'9' | b'A' | b'm' | b'n' | b'2'
            | b'T',
            26..=35,
        )
        | (b't', 35)
            if is_base58check(word, BASE58) =>
        {
            true
        }
        (b'r', 25..=35) if is_base58check(word, RIPPLE58) => true,
        // Monero: a network byte and two keys, 95 characters of base58; 106 with a payment id.
        (b'4' | b'8', 95 | 106) => word.iter().all(|byte| BASE58.contains(byte)),
        (b'G', 56) => is_stellar(word),
        _ => is_bech32(word),
    }
}

/// A version of one or two bytes, 20 bytes and the checksum of both.
fn is_base58check(word: &[u8], alphabet: &[u8; 58]) -> bool {
    let mut number = [0_u8; 26];
    for &byte in word {
        let Some(digit) = alphabet.iter().position(|&known| known == byte) else { return false };
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
    let ones = word.iter().take_while(|&&byte| byte == alphabet[0]).count();
    [1, 0].into_iter().any(|skipped| {
        let bytes = number.get(skipped..).unwrap_or_default();
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let (body, check) = bytes.split_at(bytes.len() - 4);
        number.iter().take(skipped).all(|&byte| byte == 0)
            && ones == zeros
            && Sha256::digest(Sha256::digest(body)).starts_with(check)
    })
}

/// Stellar: base 32 with CRC-16/XMODEM of what stands before it, low byte first.
fn is_stellar(word: &[u8]) -> bool {
    let (mut bits, mut held, mut bytes, mut count) = (0_u32, 0, [0_u8; 35], 0);
    for &byte in word {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return false,
        };
        bits = (bits << 5 | u32::from(value)) & 0xFFF;
        held += 5;
        if held >= 8 {
            held -= 8;
            let [.., low] = (bits >> held).to_be_bytes();
            bytes[count] = low;
            count += 1;
        }
    }
    let (body, check) = bytes.split_at(33);
    let crc = body.iter().fold(0_u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    check == crc.to_le_bytes()
}

/// BIP-173's checksum, with BIP-350's other constant for later versions, of any network: six
/// characters of it make chance no matter.
fn is_bech32(word: &[u8]) -> bool {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let Some(sign) = memchr::memrchr(b'1', word) else { return false };
    if !(1..=20).contains(&sign) || word.len() - sign < 15 {
        return false;
    }
    let mixed = word.iter().any(u8::is_ascii_lowercase) && word.iter().any(u8::is_ascii_uppercase);
    if mixed {
        return false;
    }
    let (human, data) = word.split_at(sign);
    let mut state = 1_u32;
    human.iter().for_each(|byte| step(&mut state, u32::from(lower(byte) >> 5)));
    step(&mut state, 0);
    human.iter().for_each(|byte| step(&mut state, u32::from(lower(byte) & 31)));
    for byte in data.iter().skip(1) {
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
    (25..=110).contains(&length) && bytes.get(start).is_some_and(|&byte| is_alnum(byte))
}
