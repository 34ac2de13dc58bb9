//! From keys and event names to the names of columns and tables.
//!
//! Three steps, as RudderStack takes them: the key's ASCII letters and digits are joined by
//! underscores ([`Joined`]), split into words ([`snake_case`]), and made safe for the dialect
//! ([`Namer::safe`]). All of it runs once per distinct path, never per value. Names are lower case
//! here; `Dialect::cased` writes them as the dialect wants them.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::{ColumnType, Dialect, reserved};

/// Choices that change names; some come from the source, some with the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameMode {
    /// Digits stand apart from letters (`v_2`), as in older destinations.
    pub divide_numbers: bool,
    /// Names as Blendo made them: only the characters that no warehouse takes are replaced.
    pub blendo: bool,
    /// Reserved words are taken as they are.
    pub skip_reserved: bool,
}

impl NameMode {
    /// A number below 8.
    #[must_use]
    pub const fn index(self) -> usize {
        self.divide_numbers as usize
            | (self.blendo as usize) << 1
            | (self.skip_reserved as usize) << 2
    }
}

/// The runs of ASCII letters and digits of a name, joined by underscores, and the underscores it
/// starts with. Grows key by key, so that a nested path never has to be joined again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    text: String,
    leading: usize,
    /// Something else than an underscore has been seen.
    started: bool,
    /// A separator was seen after the last run.
    gap: bool,
}

impl Joined {
    /// Appends `text`; past `bytes_max` bytes nothing is added, which no cut name can show.
    pub fn push(&mut self, text: &str, bytes_max: usize) {
        for &byte in text.as_bytes() {
            if self.text.len() >= bytes_max || self.leading >= bytes_max {
                return;
            }
            if byte.is_ascii_alphanumeric() {
                if self.gap && !self.text.is_empty() {
                    self.text.push('_');
                }
                self.gap = false;
                self.started = true;
                self.text.push(char::from(byte));
            } else {
                self.gap = true;
                if byte == b'_' && !self.started {
                    self.leading += 1;
                } else {
                    self.started = true;
                }
            }
        }
    }

    /// Splits into words, puts the leading underscores back and one before a leading digit.
    #[must_use]
    pub fn transform(&self, divide_numbers: bool) -> String {
        let mut out = "_".repeat(self.leading);
        snake_case(&self.text, divide_numbers, &mut out);
        if out.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            out.insert(0, '_');
        }
        out
    }
}

/// `name` as the base transform of tables and columns makes it, neither cut nor escaped.
#[must_use]
pub fn transform(name: &str, divide_numbers: bool) -> String {
    let mut joined = Joined::default();
    joined.push(name, usize::MAX);
    joined.transform(divide_numbers)
}

/// Appends the words of `text` (ASCII letters, digits and underscores), lower case, joined by
/// underscores.
pub fn snake_case(text: &str, divide_numbers: bool, out: &mut String) {
    let bytes = text.as_bytes();
    let (mut at, mut first) = (0, true);
    while at < bytes.len() {
        let end = word_end(bytes, at, divide_numbers);
        let Some(word) = bytes.get(at..end).filter(|word| !word.is_empty()) else {
            at += 1;
            continue;
        };
        if !first {
            out.push('_');
        }
        first = false;
        out.extend(word.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at = end;
    }
}

/// The end of the run of bytes from `at` on that `is` holds for.
fn run(bytes: &[u8], at: usize, is: fn(&u8) -> bool) -> usize {
    at + bytes.iter().skip(at).take_while(|byte| is(byte)).count()
}

const fn upper(byte: &u8) -> bool {
    byte.is_ascii_uppercase()
}

const fn lower(byte: &u8) -> bool {
    byte.is_ascii_lowercase()
}

const fn digit(byte: &u8) -> bool {
    byte.is_ascii_digit()
}

/// Where the word that starts at `at` ends; `at` itself when none does.
///
/// The alternatives of RudderStack's pattern, each reduced to what it can match: a run is always
/// taken whole, because what may follow it cannot start inside it, except for capitals before a
/// capitalised word.
fn word_end(bytes: &[u8], at: usize, divide_numbers: bool) -> usize {
    let capital = bytes.get(at).is_some_and(upper);
    let lower_from = at + usize::from(capital && bytes.get(at + 1).is_some_and(lower));
    let lower_to = run(bytes, lower_from, lower);
    let upper_to = run(bytes, at, upper);
    let digits_to = run(bytes, at, digit);
    if lower_to > lower_from {
        let digits = run(bytes, lower_to, digit);
        return if divide_numbers { lower_to } else { digits };
    }
    if upper_to > at {
        let digits = run(bytes, upper_to, digit);
        return match bytes.get(upper_to) {
            // Digits follow: with them, or the last capital that a word could not start with.
            Some(next) if digit(next) => {
                if divide_numbers {
                    upper_to
                } else {
                    digits
                }
            }
            // The last capital belongs to the word that follows, unless it is the only one.
            Some(next) if lower(next) && upper_to - at > 1 => upper_to - 1,
            _ => upper_to,
        };
    }
    if digits_to > at && !divide_numbers {
        let word = digits_to
            + usize::from(
                bytes.get(digits_to).is_some_and(upper)
                    && bytes.get(digits_to + 1).is_some_and(lower),
            );
        let lower_to = run(bytes, word, lower);
        if lower_to > word {
            return lower_to;
        }
        return run(bytes, digits_to, upper);
    }
    ordinal_end(bytes, digits_to).unwrap_or(digits_to)
}

/// Where `1st`, `2ND` and the like end whose digits end at `digits_to`.
fn ordinal_end(bytes: &[u8], digits_to: usize) -> Option<usize> {
    let last = bytes.get(digits_to.checked_sub(1)?).filter(|byte| digit(byte))?;
    let suffix = bytes.get(digits_to..digits_to + 2)?;
    let small: &[u8] = match last {
        b'1' => b"st",
        b'2' => b"nd",
        b'3' => b"rd",
        _ => b"th",
    };
    if !suffix.eq_ignore_ascii_case(small) {
        return None;
    }
    let next = bytes.get(digits_to + 2);
    let ends = if suffix == small {
        next.is_none_or(|byte| *byte == b'_' || upper(byte))
    } else if suffix.iter().all(upper) {
        next.is_none_or(|byte| *byte == b'_' || lower(byte))
    } else {
        false
    };
    ends.then_some(digits_to + 2)
}

/// Makes names safe for one dialect.
#[derive(Clone, Debug)]
pub struct Namer {
    dialect: Dialect,
    reserved: HashSet<&'static str, RandomState>,
    bytes_max: usize,
}

/// Tables whose names no event takes, whatever its options.
const ISOLATED: [&str; 2] = ["users", "identifies"];
/// Tables whose names an event takes only where it asks for reserved words as they are.
const CREATED: [&str; 6] = ["tracks", "pages", "screens", "groups", "aliases", "accounts"];

impl Namer {
    /// Names for `dialect`, cut where ours are.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self::with_limit(dialect, dialect.name_bytes_max())
    }

    /// Names for `dialect`, cut at `bytes_max`.
    #[must_use]
    pub fn with_limit(dialect: Dialect, bytes_max: usize) -> Self {
        let reserved = reserved::words(dialect).split(' ').filter(|word| !word.is_empty());
        Self { dialect, reserved: reserved.collect(), bytes_max }
    }

    /// The dialect.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Lower case, cut, an underscore before a reserved word, cut again.
    #[must_use]
    pub fn safe(&self, mut name: String, skip_reserved: bool) -> String {
        if self.dialect == Dialect::Postgres {
            cut(&mut name, self.bytes_max.min(63));
        }
        name.make_ascii_lowercase();
        if !skip_reserved && self.reserved.contains(name.as_str()) {
            name.insert(0, '_');
        }
        cut(&mut name, self.bytes_max);
        name
    }

    /// The name of a standard column.
    #[must_use]
    pub fn standard(&self, name: &str, mode: NameMode) -> String {
        self.safe(name.to_owned(), mode.skip_reserved)
    }

    /// The column of a path whose keys were joined in `joined`; empty where none can be named.
    #[must_use]
    pub fn column(&self, joined: &Joined, mode: NameMode) -> String {
        let name = joined.transform(mode.divide_numbers);
        if name.is_empty() { name } else { self.safe(name, mode.skip_reserved) }
    }

    /// The column of a raw path under Blendo's rules, with the characters that every reader takes.
    #[must_use]
    pub fn blendo_column(&self, raw: &str, mode: NameMode) -> String {
        self.safe(blendo(raw), mode.skip_reserved)
    }

    /// Puts an underscore before the name of a table that is not an event's to take.
    ///
    /// `ours` protects the tables of this gateway's own too, which RudderStack leaves open.
    #[must_use]
    pub fn protect(&self, mut table: String, skip_reserved: bool, ours: bool) -> String {
        let is = |name: &&str| table.eq_ignore_ascii_case(name);
        let own = table.to_ascii_lowercase();
        let own = ours
            && (own == "rejected"
                || own == "rudder_discards"
                || own.starts_with("rudder_identity_"));
        let isolated = ISOLATED.iter().any(is);
        if own || isolated || (!skip_reserved && CREATED.iter().any(is)) {
            table.insert(0, '_');
            cut(&mut table, self.bytes_max);
        }
        table
    }
}

/// Replaces every character but ASCII letters and digits by an underscore; one is put before a name
/// that starts with a digit or is empty.
#[must_use]
pub fn blendo(raw: &str) -> String {
    let mut out: String = raw
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    out
}

/// The column for values of `kind` that do not fit the type of `column`: `price__float`. The base
/// is cut so that the whole fits into `bytes_max`.
#[must_use]
pub fn variant(column: &str, kind: ColumnType, bytes_max: usize) -> String {
    let label = kind.label();
    let mut name = column.to_owned();
    cut(&mut name, bytes_max.saturating_sub(label.len() + 2));
    name.push_str("__");
    name.push_str(label);
    name
}

/// Cuts `name` to at most `bytes_max` bytes, whole characters only.
pub(super) fn cut(name: &mut String, bytes_max: usize) {
    if name.len() > bytes_max {
        name.truncate(name.floor_char_boundary(bytes_max));
    }
}

#[cfg(test)]
mod tests;
