//! Check digits and checksums, as the makers of numbers put them.

use sha2::{Digest, Sha256};

/// The digits with the check digit of ISO/IEC 7812-1 behind them.
pub(super) fn with_luhn(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, byte)| {
            let digit = u32::from(byte - b'0');
            if n % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// The characters in groups of these sizes; what is left is a group of its own.
pub(super) fn grouped(number: &str, sizes: &[usize], gap: &str) -> String {
    let mut rest = number.chars();
    let mut groups: Vec<String> =
        sizes.iter().map(|&size| rest.by_ref().take(size).collect()).collect();
    groups.push(rest.collect());
    groups.retain(|group| !group.is_empty());
    groups.join(gap)
}

/// The IBAN of a country and an account: `98 - (account country 00) mod 97` between them.
pub(super) fn iban(country: &str, account: &str) -> String {
    let value = |ch: char| ch.to_digit(36).unwrap();
    let rest = format!("{account}{country}00").chars().fold(0, |sum, ch| {
        if ch.is_ascii_digit() { (sum * 10 + value(ch)) % 97 } else { (sum * 100 + value(ch)) % 97 }
    });
    format!("{country}{:02}{account}", 98 - rest)
}

/// Base58 with Bitcoin's alphabet, of a version, a payload and the checksum of both.
pub(super) fn base58check(version: u8, payload: &[u8]) -> String {
    let mut bytes = vec![version];
    bytes.extend_from_slice(payload);
    let check = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend_from_slice(&check[..4]);
    let mut digits: Vec<u32> = Vec::new();
    for &byte in &bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let alphabet = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let ones = bytes.iter().take_while(|&&byte| byte == 0).count();
    let number = digits.iter().rev().map(|&digit| char::from(alphabet[digit as usize]));
    "1".repeat(ones).chars().chain(number).collect()
}

/// BIP-173 for version 0, BIP-350 for later ones.
pub(super) fn segwit(network: &str, version: u8, program: &[u8]) -> String {
    let mut data = vec![u32::from(version)];
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in program {
        bits = bits << 8 | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            data.push(bits >> held & 31);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        data.push(bits << (5 - held) & 31);
    }
    let mut values: Vec<u32> = network.bytes().map(|byte| u32::from(byte >> 5)).collect();
    values.push(0);
    values.extend(network.bytes().map(|byte| u32::from(byte & 31)));
    values.extend(&data);
    values.extend([0; 6]);
    let constant = if version == 0 { 1 } else { 0x2BC8_30A3 };
    let check = polymod(&values) ^ constant;
    data.extend((0..6).map(|n| check >> (5 * (5 - n)) & 31));
    let alphabet = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let text: String = data.iter().map(|&value| char::from(alphabet[value as usize])).collect();
    format!("{network}1{text}")
}

fn polymod(values: &[u32]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    values.iter().fold(1, |sum, value| {
        let top = sum >> 25;
        let next = (sum & 0x01FF_FFFF) << 5 ^ value;
        GENERATOR.iter().enumerate().fold(
            next,
            |sum, (n, part)| {
                if top >> n & 1 == 1 { sum ^ part } else { sum }
            },
        )
    })
}
