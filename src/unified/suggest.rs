//! Likely typos among the columns of a unified table: which pairs of names are worth a look, and
//! what the rows say about each.
//!
//! Pure: names and counts in, verdicts out. Two names are alike when they are the same without
//! separators, or one or two letters apart within words that are long enough for it to mean
//! something. The rows then speak for or against: columns that are hardly ever both filled, one of
//! them rare, holding values that the other one knows, are one column spelled twice.

use std::collections::BTreeSet;

use crate::warehouse::ColumnType;

/// Score from which a pair is suggested. On the reference corpus true pairs have 0.9 and more, the
/// nearest wrong one 0.5.
pub const SCORE_MIN: f64 = 0.7;

/// A pair is dropped when more than this share of the frequent column's rows have both.
const BOTH_OF_FREQUENT_MAX: f64 = 0.05;

/// Distinct values remembered of a column.
pub const VALUES_MAX: usize = 4_096;

/// What a column holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whole or fractional: which of them is an accident of the first values.
    Number,
    /// Text, arrays too.
    Text,
    /// True or false.
    Boolean,
    /// Times and days.
    Time,
}

impl Kind {
    /// The kind of a type.
    #[must_use]
    pub const fn of(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Int | ColumnType::Float => Self::Number,
            ColumnType::String => Self::Text,
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Datetime | ColumnType::Date => Self::Time,
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Time => "time",
        }
    }
}

/// How two names are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// Letters to change, leave out, add or swap; 0 if only separators differ.
    pub edits: usize,
    /// From 0 to 1, by the names alone.
    pub score: f64,
}

/// How alike two names are; `None` if they are not, or the same.
#[must_use]
pub fn likeness(a: &str, b: &str) -> Option<Likeness> {
    if a == b || digits(a) != digits(b) {
        return None;
    }
    let bare = |name: &str| name.replace('_', "");
    let (bare_a, bare_b) = (bare(a), bare(b));
    if bare_a == bare_b {
        return Some(Likeness { edits: 0, score: 1.0 });
    }
    let words = |name: &str| name.split('_').filter(|w| !w.is_empty()).count();
    if words(a) == words(b) { by_words(a, b) } else { as_one(&bare_a, &bare_b) }
}

/// Names of as many words: each word that differs must be long enough for its edits.
fn by_words(a: &str, b: &str) -> Option<Likeness> {
    let words = |name: &'_ str| -> Vec<String> {
        name.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (mut edits, mut score) = (0, 1.0_f64);
    for (a, b) in words(a).iter().zip(&words(b)).filter(|(a, b)| a != b) {
        let length = a.len().min(b.len());
        let distance = distance(a, b)?;
        // One letter in four, one in a word of six, two in one of seven and more.
        let alike = match (distance, length) {
            (1, 4) => 0.6,
            (1, 5) => 0.75,
            (1, 6..) => 0.9,
            (2, 7..) => 0.6,
            _ => return None,
        };
        edits += distance;
        score *= if is_plural(a, b) { alike - 0.3 } else { alike };
    }
    (edits <= 2).then_some(Likeness { edits, score })
}

/// Names of different numbers of words, without their separators.
fn as_one(a: &str, b: &str) -> Option<Likeness> {
    let length = a.len().min(b.len());
    match (distance(a, b)?, length) {
        (1, 8..) if !is_plural(a, b) => Some(Likeness { edits: 1, score: 0.8 }),
        (2, 12..) => Some(Likeness { edits: 2, score: 0.6 }),
        _ => None,
    }
}

fn is_plural(a: &str, b: &str) -> bool {
    a.strip_suffix('s') == Some(b) || b.strip_suffix('s') == Some(a)
}

/// `address_1` and `address_2` are two columns.
fn digits(name: &str) -> String {
    name.chars().filter(char::is_ascii_digit).collect()
}

/// Letters to change, leave out, add or swap with the next; `None` above two.
fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 2 {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &of_a) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &of_b) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(of_a != of_b)).min(last[j + 1] + 1);
            best = best.min(row[j] + 1);
            if i > 0 && j > 0 && of_a == b[j - 1] && a[i - 1] == of_b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&edits| edits <= 2)
}

/// What the rows say of one column.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Rows that fill it.
    pub rows: u64,
    /// Hashes of distinct values, at most [`VALUES_MAX`].
    values: BTreeSet<u64>,
    /// Shortest and longest text.
    lengths: Option<(usize, usize)>,
    /// Classes of characters in its texts, one bit each.
    classes: u8,
}

impl Seen {
    /// Notes a value: its hash, and its text where it is one.
    pub fn note(&mut self, hash: u64, text: Option<&str>) {
        self.rows += 1;
        if self.values.len() < VALUES_MAX {
            self.values.insert(hash);
        }
        if let Some(text) = text {
            let length = text.len();
            let (min, max) = self.lengths.unwrap_or((length, length));
            self.lengths = Some((min.min(length), max.max(length)));
            self.classes |= text.bytes().fold(0, |classes, byte| classes | class(byte));
        }
    }

    /// Distinct values remembered.
    #[must_use]
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// How many of the values the other column has too.
    #[must_use]
    pub fn shared(&self, other: &Self) -> usize {
        self.values.intersection(&other.values).count()
    }

    /// True if a text of this column could be one of the other's.
    fn looks_like(&self, other: &Self) -> bool {
        match (self.lengths, other.lengths) {
            (Some((min, max)), Some((least, most))) => {
                min >= least && max <= most && self.classes & !other.classes == 0
            }
            (None, None) => true,
            _ => false,
        }
    }
}

const fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 4,
        b' ' => 8,
        b'[' | b'{' | b'"' => 16,
        0x80.. => 32,
        _ => 64,
    }
}

/// The score of a pair: from 0 to about 1.5; at least [`SCORE_MIN`] to be suggested.
#[must_use]
pub fn score(likeness: Likeness, kind: Kind, rare: &Seen, frequent: &Seen, both: u64) -> f64 {
    if rare.rows == 0 || share(both, frequent.rows) > BOTH_OF_FREQUENT_MAX {
        return 0.0;
    }
    let mut score = likeness.score;
    score += match share(both, rare.rows) {
        ..=0.02 => 0.15,
        ..=0.1 => 0.05,
        // A rare column may stand beside the right one in the same object.
        ..=0.6 => -0.15,
        _ => -0.35,
    };
    score += match share(rare.rows, frequent.rows) {
        ..=0.2 => 0.1,
        ..=0.5 => 0.0,
        // Two columns in steady use, unless only a separator tells them apart.
        _ if likeness.edits > 0 => -0.3,
        _ => 0.0,
    };
    let known = share(rare.shared(frequent) as u64, rare.values() as u64);
    let (gain, loss) = match kind {
        Kind::Text => (0.2, 0.3),
        Kind::Number | Kind::Time => (0.1, 0.1),
        Kind::Boolean => (0.0, 0.0),
    };
    if known >= 0.5 {
        score += gain;
    } else if kind != Kind::Text && known == 0.0 || !rare.looks_like(frequent) {
        score -= loss;
    }
    score
}

#[expect(clippy::cast_precision_loss, reason = "a share to be compared with a bound")]
fn share(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_alike_by_separators_or_few_letters_of_long_words() {
        for (a, b, expected) in [
            ("useractualid", "user_actual_id", Some(0)),
            ("catggory", "category", Some(1)),
            ("categroy", "category", Some(1)),
            ("context_scregn_density", "context_screen_density", Some(1)),
            ("uype", "type", Some(1)),
            ("instaled_verson", "installed_version", Some(2)),
            ("usr_actualid", "user_actual_id", Some(1)),
            ("big", "id", None),
            ("note", "name", None),
            ("seats", "teams", None),
            ("channels_ids", "channel_id", None),
            ("address_1", "address_2", None),
            ("min_size", "max_size", None),
            ("enable_gitlab", "enable_google", None),
            ("category", "category", None),
            ("a", "b", None),
        ] {
            let found = likeness(a, b);
            assert_eq!(found.map(|found| found.edits), expected, "{a} {b}");
            assert_eq!(likeness(b, a), found, "{a} {b}");
        }
    }

    fn seen(texts: &[&str], times: u64) -> Seen {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut seen = Seen::default();
        for _ in 0..times {
            for text in texts {
                seen.note(hasher.hash_one(text), Some(text));
            }
        }
        seen
    }

    fn verdict(names: (&str, &str), rare: &Seen, frequent: &Seen, both: u64) -> bool {
        let likeness = likeness(names.0, names.1).unwrap();
        score(likeness, Kind::Text, rare, frequent, both) >= SCORE_MIN
    }

    #[test]
    fn rows_speak_for_or_against() {
        let frequent = seen(&["api", "action", "ui"], 300);
        let rare = seen(&["api"], 5);
        let names = ("catggory", "category");
        assert!(verdict(names, &rare, &frequent, 0));
        assert!(verdict(names, &rare, &frequent, 2), "beside the right one at times");
        assert!(!verdict(names, &rare, &frequent, 500), "both filled: two columns");
        let other = seen(&["{\"a\": 1}", "[1, 2, 3, 4, 5]"], 3);
        assert!(verdict(names, &seen(&["ui"], 1), &frequent, 0));
        assert!(!verdict(("uype", "type"), &other, &frequent, 0), "other values");
        let steady = seen(&["x", "y"], 400);
        assert!(!verdict(("height", "weight"), &steady, &frequent, 0), "both in steady use");
        assert!(verdict(("channelid", "channel_id"), &seen(&["ui"], 600), &frequent, 0));
        assert!(!verdict(("team", "teams"), &seen(&["zz"], 9), &frequent, 0), "a plural");
    }
}
