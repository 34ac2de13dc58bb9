//! Numbers of few bits: bit-packing, and the mixture of it with repeats that Parquet uses for levels
//! and for places in a dictionary.

use super::thrift::varint;
use crate::columnar::column::Values;

/// Appends `values`, each of `width` bits, the lowest bits first; the last byte is filled up with
/// zeros. At most 64 bits.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut held, mut bits) = (0_u128, 0);
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&held.to_le_bytes()[..8]);
            held >>= 64;
            bits -= 64;
        }
    }
    let rest = held.to_le_bytes();
    out.extend_from_slice(&rest[..bits.div_ceil(8) as usize]);
}

/// Bits that `value` needs.
pub(super) const fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Appends `values` as repeats where eight and more are equal, and packed where they are not.
pub(super) fn hybrid(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut packed_from = 0;
    let mut at = 0;
    while at < values.len() {
        let rest = values.get(at..).unwrap_or_default();
        let equal = match rest.first_chunk::<8>() {
            Some(group) if group.iter().all(|value| *value == group[0]) => {
                8 + rest[8..].iter().take_while(|value| **value == group[0]).count()
            }
            _ => 0,
        };
        if equal == 0 {
            at = values.len().min(at + 8);
            continue;
        }
        literals(values.get(packed_from..at).unwrap_or_default(), width, out);
        repeat(rest[0], equal, width, out);
        at += equal;
        packed_from = at;
    }
    literals(values.get(packed_from..).unwrap_or_default(), width, out);
}

/// A run that is packed; only the last of a page may be no multiple of eight long.
fn literals(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    varint(out, (groups as u64) << 1 | 1);
    let from = out.len();
    pack(values.iter().map(|value| u64::from(*value)), width, out);
    out.resize(from + groups * width as usize, 0);
}

/// A run of equal values.
pub(super) fn repeat(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    varint(out, (count as u64) << 1);
    let bytes = value.to_le_bytes();
    out.extend_from_slice(&bytes[..width.div_ceil(8) as usize]);
}

/// Appends which of the rows `from..to` have a value, with the length in front.
pub(super) fn levels(values: &Values, from: usize, to: usize, out: &mut Vec<u8>) {
    let head = out.len();
    out.extend_from_slice(&[0; 4]);
    let parts = || {
        let within = values.runs().filter_map(move |(row, _, len)| {
            let (start, end) = (row.max(from), (row + len).min(to));
            (start < end).then_some((start, end))
        });
        within.chain([(to, to)])
    };
    // A repeat takes two bytes and more, and there are two for each run of values.
    if parts().count() * 4 <= (to - from) / 8 + 8 {
        let mut at = from;
        for (start, end) in parts() {
            if start > at {
                repeat(0, start - at, 1, out);
            }
            if end > start {
                repeat(1, end - start, 1, out);
            }
            at = end;
        }
    } else {
        let bytes = (to - from).div_ceil(8);
        varint(out, (bytes as u64) << 1 | 1);
        let first = out.len();
        out.resize(first + bytes, 0);
        for (start, end) in parts() {
            set(&mut out[first..], start - from, end - from);
        }
    }
    set_len(head, out);
}

/// Appends that all of `rows` rows have a value, with the length in front.
pub(super) fn all_present(rows: usize, out: &mut Vec<u8>) {
    let head = out.len();
    out.extend_from_slice(&[0; 4]);
    repeat(1, rows, 1, out);
    set_len(head, out);
}

fn set_len(head: usize, out: &mut [u8]) {
    let len = u32::try_from(out.len() - head - 4).unwrap_or(u32::MAX);
    out[head..head + 4].copy_from_slice(&len.to_le_bytes());
}

/// Sets the bits `from..to`.
fn set(bits: &mut [u8], from: usize, to: usize) {
    let mut at = from;
    while at < to {
        if at.is_multiple_of(8) && at + 8 <= to {
            bits[at / 8] = 0xff;
            at += 8;
        } else {
            bits[at / 8] |= 1 << (at % 8);
            at += 1;
        }
    }
}
