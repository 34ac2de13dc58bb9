//! Numbers written in groups of digits: payment cards, US social security numbers, IMEIs.

use super::Detector;
use super::class::{is_alnum, leading};
use super::words;

/// More groups than any number here has.
const GROUPS_MAX: usize = 8;

/// Groups of digits with one separator, or two blanks, between each two, from a place in a text on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// How many there are; the last one is not followed by a letter.
    pub(super) count: usize,
    /// Where each starts and ends.
    pub(super) spans: [(usize, usize); GROUPS_MAX],
    /// The separator behind each; 0 behind the last.
    pub(super) gaps: [u8; GROUPS_MAX],
}

impl Groups {
    /// Reads the groups that start at `at`, where a digit stands.
    pub(super) fn read(bytes: &[u8], at: usize) -> Self {
        let mut groups = Self { count: 0, spans: [(0, 0); GROUPS_MAX], gaps: [0; GROUPS_MAX] };
        let mut from = at;
        while groups.count < GROUPS_MAX {
            let rest = bytes.get(from..).unwrap_or_default();
            let end = from + leading(rest, |byte| byte.is_ascii_digit());
            if end == from || bytes.get(end).is_some_and(|&byte| is_alnum(byte)) {
                break;
            }
            groups.spans[groups.count] = (from, end);
            groups.count += 1;
            match bytes.get(end) {
                Some(&gap @ (b' ' | b'-' | b'.' | b'/')) => {
                    groups.gaps[groups.count - 1] = gap;
                    // Two blanks part groups as well as one.
                    let wide = gap == b' ' && bytes.get(end + 1) == Some(&b' ');
                    from = end + 1 + usize::from(wide);
                }
                _ => break,
            }
        }
        groups
    }

    /// One group and no more.
    pub(super) const fn one(start: usize, end: usize) -> Self {
        let mut groups = Self { count: 1, spans: [(0, 0); GROUPS_MAX], gaps: [0; GROUPS_MAX] };
        groups.spans[0] = (start, end);
        groups
    }

    /// The number of digits of group `n`.
    pub(super) const fn len(&self, n: usize) -> usize {
        self.spans[n].1 - self.spans[n].0
    }

    /// True if the first groups have exactly these lengths, one and the same separator of
    /// `gaps` between them, and no further group behind them with that separator, space apart.
    pub(super) fn shaped(&self, lengths: &[usize], gaps: &[u8]) -> bool {
        if self.count < lengths.len() || lengths.iter().enumerate().any(|(n, &l)| self.len(n) != l)
        {
            return false;
        }
        let gap = self.gaps[0];
        let inner = &self.gaps[..lengths.len() - 1];
        let goes_on =
            self.count > lengths.len() && gap != b' ' && self.gaps[lengths.len() - 1] == gap;
        inner.iter().all(|&g| g == gap && gaps.contains(&g)) && !goes_on
    }

    /// Where the first `count` groups end.
    pub(super) const fn end(&self, count: usize) -> usize {
        self.spans[count - 1].1
    }
}

/// The digits of a span, separators left out; more than 19 are cut.
fn digits(bytes: &[u8], start: usize, end: usize) -> ([u8; 19], usize) {
    let (mut list, mut count) = ([0; 19], 0);
    let span = bytes.get(start..end).unwrap_or_default();
    for &byte in span.iter().filter(|byte| byte.is_ascii_digit()).take(19) {
        list[count] = byte - b'0';
        count += 1;
    }
    (list, count)
}

/// The check of ISO/IEC 7812-1.
pub(super) fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, &digit)| match (n % 2, digit) {
            (0, digit) => u32::from(digit),
            (_, digit @ 0..=4) => u32::from(digit) * 2,
            (_, digit) => u32::from(digit) * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// True if the first digits belong to an issuer whose cards have `len` digits.
fn is_issued(digits: &[u8]) -> bool {
    let head = |n: usize| digits.iter().take(n).fold(0_u32, |all, &d| all * 10 + u32::from(d));
    match (head(1), head(2), head(3), head(4), digits.len()) {
        // Visa.
        (4, _, _, _, 13 | 16 | 19) => true,
        // Mastercard, with the 2-series of 2017.
        (_, 51..=55, _, _, 16) | (_, _, _, 2221..=2720, 16) => true,
        // American Express.
        (_, 34 | 37, _, _, 15) => true,
        // Discover, Diners in the US, UnionPay.
        (_, 65, _, _, 16..=19) | (_, _, 644..=649, _, 16..=19) | (_, _, _, 6011, 16..=19) => true,
        (_, 62, _, _, 16..=19) | (_, _, _, 8171, 16..=19) => true,
        // Diners Club.
        (_, _, 300..=305, _, 14 | 16) | (_, 36 | 38 | 39, _, _, 14 | 16) => true,
        (_, _, _, 3095, 14 | 16) => true,
        // JCB.
        (_, _, _, 3528..=3589, 16..=19) => true,
        // Mir.
        (_, _, _, 2200..=2204, 16..=19) => true,
        // Maestro; also Elo, Verve and Dankort, which lie within its ranges.
        (_, 50 | 56..=58 | 67, _, _, 16 | 18 | 19) | (_, _, 639, _, 16 | 18 | 19) => true,
        (_, _, _, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763, 13..=19) => true,
        (_, _, _, 6362 | 6363, 16) => true,
        // RuPay, Hipercard, Troy.
        (_, 60 | 81 | 82, _, _, 16) | (_, _, _, 9792, 16) => true,
        _ => false,
    }
}

/// How cards are printed; the longest first, so that a fifth group is not left behind.
const CARD_SHAPES: [&[usize]; 10] = [
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4],
    &[4, 4, 4, 3],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 3, 3, 3],
    &[6, 13],
    &[6, 10],
    &[8, 8],
];
/// Words before a number in one piece that make it the number of something else.
const NO_CARD: [&str; 11] = [
    "order",
    "invoice",
    "tracking",
    "ticket",
    "shipment",
    "parcel",
    "isbn",
    "ean",
    "sku",
    "contract",
    "transaction",
];

/// A card number from the first group on: where it ends.
pub(super) fn card(text: &str, groups: &Groups) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = groups.spans[0].0;
    if is_decimal(bytes, start, groups.end(1)) {
        return None;
    }
    let whole = (13..=19).contains(&groups.len(0)).then_some(1);
    let grouped = || {
        let gaps = b" -.";
        CARD_SHAPES.iter().filter(|shape| groups.shaped(shape, gaps)).map(|shape| shape.len())
    };
    whole
        .into_iter()
        .chain(grouped())
        .map(|count| groups.end(count))
        .find(|&end| {
            let (list, count) = digits(bytes, start, end);
            let list = list.get(..count).unwrap_or_default();
            let valid = is_issued(list) && passes_luhn(list);
            valid && !list.iter().all(|&digit| digit == list[0])
        })
        .filter(|&end| end != groups.end(1) || !is_named_otherwise(text, start))
}

/// `order no 4472...`, `Invoice #...`: the number of what the words before it name.
fn is_named_otherwise(text: &str, start: usize) -> bool {
    let named = |before: &str| {
        let last = before.rsplit(|ch: char| !ch.is_ascii_alphabetic()).next().unwrap_or_default();
        NO_CARD.iter().any(|known| last.eq_ignore_ascii_case(known))
    };
    let signs = |ch: char| matches!(ch, ' ' | ':' | '.' | '#' | '=' | '_' | '-');
    let before = words::before(text, start);
    let head = before.trim_end_matches(signs);
    let numbered = ["number", "num", "no", "nr", "id"].iter().find_map(|word| {
        let cut = head.len().checked_sub(word.len())?;
        let tail = head.get(cut..)?;
        tail.eq_ignore_ascii_case(word).then(|| head.get(..cut)).flatten()
    });
    match numbered {
        Some(rest) => named(rest.trim_end_matches(signs)),
        // `invoice 5637...`, but an order's colon may stand before the card that paid for it.
        None => before.ends_with('#') && named(head) || before.strip_suffix(' ').is_some_and(named),
    }
}

/// True if the digits are the fraction of a number or have one.
fn is_decimal(bytes: &[u8], start: usize, end: usize) -> bool {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let dot = |at: usize| bytes.get(at) == Some(&b'.');
    let is_fraction = start > 1 && dot(start - 1) && digit(start - 2);
    is_fraction || (end - start > 4 && dot(end) && digit(end + 1))
}

/// A US social security number from the first group on: where it ends. Numbers that were never
/// issued (area 000, 666, 9xx; group 00; serial 0000) are none; without dashes it takes context.
pub(super) fn ssn(text: &str, groups: &Groups) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = groups.spans[0].0;
    let in_context = || words::precede(text, start, &["ssn", "social", "security"]);
    let count = if groups.shaped(&[3, 2, 4], b"-") {
        let joined = start > 1 && bytes[start - 1] == b'-' && is_alnum(bytes[start - 2]);
        // `ssn-321-72-3347`
        let head = text.get(..start.saturating_sub(1)).unwrap_or_default();
        let name = || {
            let from = head.len().checked_sub(3).filter(|_| joined)?;
            head.get(from..).filter(|name| name.eq_ignore_ascii_case("ssn"))
        };
        (!joined || name().is_some()).then_some(3)?
    } else if groups.shaped(&[3, 2, 4], b" .") && in_context() {
        3
    } else if groups.len(0) == 9 && in_context() {
        1
    } else {
        return None;
    };
    let (list, _) = digits(bytes, start, groups.end(count));
    let number = |range: std::ops::Range<usize>| {
        list.get(range).unwrap_or_default().iter().fold(0_u32, |all, &d| all * 10 + u32::from(d))
    };
    let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    issued.then_some(groups.end(count))
}

/// An IMEI from the first group on: where it ends.
pub(super) fn imei(text: &str, groups: &Groups) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = groups.spans[0].0;
    let count = if groups.len(0) == 15 && !is_decimal(bytes, start, groups.end(1)) {
        1
    } else if [[2, 6, 6, 1], [6, 2, 6, 1]].iter().any(|form| groups.shaped(form, b"- /.")) {
        4
    } else if groups.shaped(&[8, 6, 1], b"- /.") {
        3
    } else {
        // An IMEI with software version has no check digit, so it takes context.
        let with_version = groups.len(0) == 16 || groups.shaped(&[2, 6, 6, 2], b"- /.");
        let count = if groups.len(0) == 16 { 1 } else { 4 };
        return (with_version && words::precede(text, start, &["imei", "imeisv"]))
            .then(|| groups.end(count));
    };
    let (list, found) = digits(bytes, start, groups.end(count));
    let list = list.get(..found).unwrap_or_default();
    (found == 15 && is_reporting_body(list[0] * 10 + list[1]) && passes_luhn(list))
        .then(|| groups.end(count))
}

/// The reporting bodies that GSMA TS.06 lists as allocating, now or once.
const fn is_reporting_body(id: u8) -> bool {
    matches!(id, 1 | 10 | 30 | 33 | 35 | 44 | 45 | 49..=54 | 86 | 91 | 98 | 99)
}

/// The digits of the shortest JSON number that is looked at.
pub(in crate::transform) const JSON_NUMBER_MIN: usize = 14;

/// What a JSON number of `text`'s spelling is: only whole numbers of card or IMEI length are.
pub(in crate::transform) fn json_number(text: &str) -> Option<Detector> {
    // A sign or a fraction of nothing says that a program took the digits for a number.
    let text = text.strip_prefix('-').unwrap_or(text);
    let text = text.strip_suffix(".0").unwrap_or(text);
    let bytes = text.as_bytes();
    // Longer ones are ids far more often than 17- to 19-digit cards.
    if !(JSON_NUMBER_MIN..=16).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let groups = Groups::read(bytes, 0);
    card(text, &groups)
        .map(|_| Detector::Card)
        .or_else(|| imei(text, &groups).map(|_| Detector::Imei))
}
