//! The schema of a source, from its name.

use super::Dialect;
use super::names::cut;

/// Longest schema name, in bytes, in every dialect.
const NAMESPACE_BYTES_MAX: usize = 127;
/// What a name without any ASCII letter or digit becomes.
const EMPTY: &str = "stringempty";

/// What a schema's name may look like.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// Lower-case words that get an underscore in front, separated by spaces.
    pub reserved: &'r str,
    /// Words that come first, and whether they get one: those that RudderStack treats otherwise as
    /// schemas than as columns.
    pub exceptions: &'r [(&'r str, bool)],
    /// The name is written in upper case.
    pub upper_case: bool,
    /// Words are not split.
    pub skip_snake_case: bool,
}

impl Rules<'static> {
    /// The rules of a dialect.
    #[must_use]
    pub const fn of(dialect: Dialect) -> Self {
        Self {
            reserved: super::reserved::words(dialect),
            exceptions: match dialect {
                Dialect::Postgres => &[("to", false)],
                Dialect::Redshift => &[("timestamp", true), ("uuid", false)],
                _ => &[],
            },
            upper_case: dialect.is_upper_case(),
            skip_snake_case: false,
        }
    }
}

/// The schema for `name`: its ASCII letters and digits joined by underscores, in snake case, with
/// an underscore before a digit or a reserved word, cut to 127 bytes.
#[must_use]
pub fn namespace(name: &str, rules: Rules<'_>) -> String {
    let mut joined = String::with_capacity(name.len());
    for run in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|run| !run.is_empty()) {
        if !joined.is_empty() {
            joined.push('_');
        }
        joined.push_str(run);
    }
    let mut out = if rules.skip_snake_case { joined } else { snake_case(&joined) };
    let lower = out.to_ascii_lowercase();
    let exception = rules.exceptions.iter().find(|(word, _)| *word == lower);
    let is_reserved = exception.map_or_else(
        || !out.is_empty() && rules.reserved.split(' ').any(|word| word == lower),
        |(_, is_reserved)| *is_reserved,
    );
    if is_reserved || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if out.is_empty() {
        out.push_str(EMPTY);
    }
    cut(&mut out, NAMESPACE_BYTES_MAX);
    if rules.upper_case {
        out.make_ascii_uppercase();
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
    Other,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'A'..=b'Z' => Class::Upper,
        b'a'..=b'z' => Class::Lower,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Other,
    }
}

/// Splits where letters turn into digits or back, before a capital that follows a small letter, and
/// before the last of several capitals when a small letter follows it. Not the scanner of column
/// names, which keeps digits with their word.
fn snake_case(name: &str) -> String {
    let bytes = name.as_bytes();
    let class_at = |at: usize| bytes.get(at).map_or(Class::Other, |byte| class(*byte));
    let mut out = String::with_capacity(name.len() + 8);
    for (at, &byte) in bytes.iter().enumerate() {
        let (this, next) = (class(byte), class_at(at + 1));
        let before = if at == 0 { Class::Other } else { class_at(at - 1) };
        if this == Class::Upper && next == Class::Lower && before == Class::Upper {
            out.push('_');
        }
        out.push(char::from(byte.to_ascii_lowercase()));
        let splits = match this {
            Class::Upper => next == Class::Digit,
            Class::Lower => matches!(next, Class::Upper | Class::Digit),
            Class::Digit => matches!(next, Class::Upper | Class::Lower),
            Class::Other => false,
        };
        if splits {
            out.push('_');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::warehouse::golden;

    #[test]
    fn schemas_are_named_as_rudderstack_names_them() {
        let words: Value = serde_json::from_str(&golden::text("reserved_words.json")).unwrap();
        let list = |provider: &str| {
            let list = words[provider].as_array().unwrap().iter();
            list.map(|word| word.as_str().unwrap().to_ascii_lowercase())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mut lines = 0;
        for line in golden::lines("loader/namespace.jsonl") {
            let provider = line["provider"].as_str().unwrap();
            let listed = match provider {
                "RS" => "rs".to_owned(),
                "BQ" => "bq".to_owned(),
                other => other.to_ascii_lowercase(),
            };
            let reserved = list(&listed);
            let dialect = provider.parse::<Dialect>();
            let rules = Rules {
                reserved: &reserved,
                exceptions: dialect.map_or(&[], |dialect| Rules::of(dialect).exceptions),
                upper_case: provider == "SNOWFLAKE",
                skip_snake_case: line["skipNamespaceSnakeCasing"].as_bool().unwrap(),
            };
            let name = line["input"].as_str().unwrap();
            assert_eq!(namespace(name, rules), line["namespace"].as_str().unwrap(), "{line}");
            lines += 1;
        }
        assert!(lines > 100, "{lines} lines");
    }

    #[test]
    fn some_words_are_reserved_as_columns_or_as_schemas_only() {
        let schema = |dialect, name| namespace(name, Rules::of(dialect));
        assert_eq!(schema(Dialect::Postgres, "To"), "to");
        assert_eq!(schema(Dialect::Postgres, "Table"), "_table");
        assert_eq!(schema(Dialect::Redshift, "timestamp"), "_timestamp");
        assert_eq!(schema(Dialect::Redshift, "UUID"), "uuid");
        assert_eq!(schema(Dialect::Snowflake, "To"), "_TO");
    }
}
