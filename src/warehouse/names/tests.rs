use super::*;
use crate::warehouse::golden;

/// A second reading of the rules, as unlike the scanner as can be: the words' patterns are data,
/// matched by a small backtracking matcher with look-ahead.
mod peer {
    type Class = fn(char) -> bool;

    /// One step of a pattern.
    #[derive(Clone, Copy)]
    enum Step {
        /// One of the class.
        One(Class),
        /// One or none.
        Maybe(Class),
        /// Any number, greedy.
        Any(Class),
        /// At least one, greedy.
        Many(Class),
        /// This text.
        Text(&'static str),
        /// What follows must look like one of these; the end of the text where `end`.
        Ahead { end: bool, one_of: &'static [&'static [Class]] },
    }

    fn u(c: char) -> bool {
        c.is_ascii_uppercase()
    }
    fn l(c: char) -> bool {
        c.is_ascii_lowercase()
    }
    fn d(c: char) -> bool {
        c.is_ascii_digit()
    }
    fn bar(c: char) -> bool {
        c == '_'
    }
    fn far(c: char) -> bool {
        d(c) && !"123".contains(c)
    }

    use Step::{Ahead, Any, Many, Maybe, One, Text};

    const WITH_NUMBERS: &[&[Step]] = &[
        &[Maybe(u), Many(l), Many(d)],
        &[Many(u), Many(d)],
        &[Many(d), Maybe(u), Many(l)],
        &[Many(d), Many(u)],
    ];
    const UPPER_END: Step = Ahead { end: true, one_of: &[&[l], &[bar]] };
    const LOWER_END: Step = Ahead { end: true, one_of: &[&[u], &[bar]] };
    const WORDS: &[&[Step]] = &[
        &[Maybe(u), Many(l), Ahead { end: true, one_of: &[&[bar], &[u]] }],
        &[Many(u), Ahead { end: true, one_of: &[&[bar], &[u, l]] }],
        &[Maybe(u), Many(l)],
        &[Many(u)],
        &[Any(d), Text("1ST"), UPPER_END],
        &[Any(d), Text("2ND"), UPPER_END],
        &[Any(d), Text("3RD"), UPPER_END],
        &[Any(d), One(far), Text("TH"), UPPER_END],
        &[Any(d), Text("1st"), LOWER_END],
        &[Any(d), Text("2nd"), LOWER_END],
        &[Any(d), Text("3rd"), LOWER_END],
        &[Any(d), One(far), Text("th"), LOWER_END],
        &[Many(d)],
    ];

    fn matches(steps: &[Step], text: &[char]) -> Option<usize> {
        let Some((step, rest)) = steps.split_first() else { return Some(0) };
        let run = |is: Class| text.iter().take_while(|c| is(**c)).count();
        let take = |n: usize| matches(rest, &text[n..]).map(|more| n + more);
        match *step {
            One(is) => {
                if run(is) > 0 {
                    take(1)
                } else {
                    None
                }
            }
            Maybe(is) => (0..=run(is).min(1)).rev().find_map(take),
            Any(is) => (0..=run(is)).rev().find_map(take),
            Many(is) => (1..=run(is)).rev().find_map(take),
            Text(word) => {
                let word: Vec<char> = word.chars().collect();
                if text.starts_with(&word) { take(word.len()) } else { None }
            }
            Ahead { end, one_of } => {
                let seen = one_of.iter().any(|classes| {
                    classes.len() <= text.len() && classes.iter().zip(text).all(|(is, c)| is(*c))
                });
                if (end && text.is_empty()) || seen { take(0) } else { None }
            }
        }
    }

    pub(super) fn transform(name: &str, divide_numbers: bool) -> String {
        let runs: Vec<String> = name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|run| !run.is_empty())
            .map(str::to_owned)
            .collect();
        let text: Vec<char> = runs.join("_").chars().collect();
        let patterns: Vec<&[Step]> = if divide_numbers {
            WORDS.to_vec()
        } else {
            WITH_NUMBERS.iter().chain(WORDS).copied().collect()
        };
        let (mut words, mut at) = (Vec::new(), 0);
        while at < text.len() {
            match patterns.iter().find_map(|steps| matches(steps, &text[at..])) {
                Some(len) if len > 0 => {
                    words.push(text[at..at + len].iter().collect::<String>().to_lowercase());
                    at += len;
                }
                _ => at += 1,
            }
        }
        let leading: String = name.chars().take_while(|c| *c == '_').collect();
        let out = leading + &words.join("_");
        if out.starts_with(|c: char| c.is_ascii_digit()) { format!("_{out}") } else { out }
    }
}

#[test]
fn names_are_rudderstacks() {
    let lines = golden::lines("names.jsonl");
    assert!(lines.len() >= 1_000);
    for line in lines {
        let name = line["input"].as_str().unwrap();
        assert_eq!(transform(name, false), line["name"].as_str().unwrap(), "{name:?}");
        let divided = line["name_underscoreDivideNumbers"].as_str().unwrap();
        assert_eq!(transform(name, true), divided, "{name:?}");
        assert_eq!(peer::transform(name, false), line["name"].as_str().unwrap(), "{name:?}");
        assert_eq!(peer::transform(name, true), divided, "{name:?}");
    }
}

/// A small generator, so that the names are the same on every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn random_names_agree_with_a_second_implementation() {
    const PIECES: [&str; 40] = [
        "a", "b", "st", "nd", "rd", "th", "ST", "ND", "RD", "TH", "A", "B", "Z", "S", "T", "0",
        "1", "2", "3", "4", "9", "12", "_", "__", "-", ".", " ", "é", "日本", "🎉", "$", "id",
        "HTTP", "Url", "iOS", "x1", "1X", "'", "\u{301}", "Th",
    ];
    let mut seeded = Seeded(2_026);
    for _ in 0..23_000 {
        let name: String = (0..seeded.below(9))
            .map(|_| PIECES[usize::try_from(seeded.below(40)).unwrap()])
            .collect();
        for divide in [false, true] {
            assert_eq!(transform(&name, divide), peer::transform(&name, divide), "{name:?}");
        }
    }
}

#[test]
fn a_path_joined_key_by_key_is_the_path_joined_at_once() {
    let mut seeded = Seeded(7);
    const KEYS: [&str; 9] = ["a", "_", "__b", "", "X_1", "-", "é", "2nd", "Café Au"];
    for _ in 0..2_000 {
        let keys: Vec<&str> = (0..=seeded.below(4))
            .map(|_| KEYS[usize::try_from(seeded.below(9)).unwrap()])
            .collect();
        let mut joined = Joined::default();
        for (place, key) in keys.iter().enumerate() {
            if place > 0 {
                joined.push("_", usize::MAX);
            }
            joined.push(key, usize::MAX);
        }
        assert_eq!(joined.transform(false), transform(&keys.join("_"), false), "{keys:?}");
    }
}

#[test]
fn names_are_made_safe() {
    let safe = |dialect, name: &str| Namer::new(dialect).safe(name.to_owned(), false);
    assert_eq!(safe(Dialect::Postgres, "select"), "_select");
    assert_eq!(safe(Dialect::Clickhouse, "select"), "select");
    assert_eq!(safe(Dialect::Datalake, "timestamp"), "_timestamp");
    assert_eq!(safe(Dialect::Postgres, &"a".repeat(70)).len(), 63);
    assert_eq!(safe(Dialect::Snowflake, &"a".repeat(300)).len(), 127);
    assert_eq!(Dialect::Snowflake.cased("_select"), "_SELECT");
}

#[test]
fn protected_tables_are_not_an_events_to_take() {
    let namer = Namer::new(Dialect::Datalake);
    let table = |name: &str, skip| namer.protect(name.to_owned(), skip, true);
    for name in ["users", "identifies", "rejected", "rudder_discards", "rudder_identity_mappings"] {
        assert_eq!(table(name, true), format!("_{name}"));
    }
    assert_eq!(
        (table("tracks", false), table("tracks", true)),
        ("_tracks".into(), "tracks".into())
    );
    assert_eq!(namer.protect("rejected".to_owned(), false, false), "rejected");
}

#[test]
fn blendo_names_keep_only_what_every_reader_takes() {
    assert_eq!(blendo("Ünï-9 A$"), "_n__9_a_");
    assert_eq!(blendo("9a"), "_9a");
    assert_eq!(blendo(""), "_");
}
