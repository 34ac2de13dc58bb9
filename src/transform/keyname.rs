//! Names of keys as rules match them: letters' case and separators do not count, the whole key does.

/// A key without separators and in lower case, and where its words start.
#[derive(Debug, Default)]
pub(super) struct Name {
    joined: String,
    /// Offsets into `joined` at which a word starts, ascending, with its length at the end.
    starts: Vec<usize>,
}

impl Name {
    /// Takes `key` apart: at separators, before capitals behind small letters, and before the last
    /// capital of several (`HTTPServer`).
    pub(super) fn read(&mut self, key: &str) {
        self.joined.clear();
        self.starts.clear();
        let (mut gap, mut before) = (true, ' ');
        let mut chars = key.chars().peekable();
        while let Some(ch) = chars.next() {
            if !ch.is_alphanumeric() {
                gap = true;
                before = ch;
                continue;
            }
            let next_is_small = chars.peek().is_some_and(|next| next.is_lowercase());
            let hump = ch.is_uppercase()
                && (before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && next_is_small);
            if gap || hump {
                self.starts.push(self.joined.len());
            }
            self.joined.extend(ch.to_lowercase());
            (gap, before) = (false, ch);
        }
        self.starts.push(self.joined.len());
    }

    /// The key without separators, in lower case.
    pub(super) fn joined(&self) -> &str {
        &self.joined
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// These letters, as [`Name::joined`] has them.
    Letters(String),
    /// Anything, also nothing.
    Any,
    /// The start or the end of a word.
    Edge,
}

/// What a rule's key has to be: a name, in which `*` stands for anything. Where a separator stands
/// beside the `*`, whole words only: `*_token` is `authToken` but not `cryptotoken`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern; `None` if there is nothing in it to match.
    pub(super) fn read(pattern: &str) -> Option<Self> {
        let pieces: Vec<&str> = pattern.split('*').collect();
        let mut parts = Vec::new();
        let mut name = Name::default();
        for (n, piece) in pieces.iter().enumerate() {
            let separated = |ch: Option<char>| ch.is_some_and(|ch| !ch.is_alphanumeric());
            if n > 0 {
                parts.push(Part::Any);
                if separated(piece.chars().next()) {
                    parts.push(Part::Edge);
                }
            }
            name.read(piece);
            if !name.joined().is_empty() {
                parts.push(Part::Letters(name.joined().to_owned()));
            }
            if n + 1 < pieces.len() && separated(piece.chars().next_back()) {
                parts.push(Part::Edge);
            }
        }
        let something = parts.iter().any(|part| matches!(part, Part::Letters(_)));
        (something || pattern == "*").then_some(Self(parts))
    }

    /// The whole name, if there is no `*` in it.
    pub(super) fn exact(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Letters(letters)] => Some(letters),
            _ => None,
        }
    }

    /// True if the pattern is the whole of `name`.
    pub(super) fn matches(&self, name: &Name) -> bool {
        !name.joined.is_empty() && matches_from(&self.0, name, 0)
    }
}

fn matches_from(parts: &[Part], name: &Name, at: usize) -> bool {
    let Some((part, rest)) = parts.split_first() else { return at == name.joined.len() };
    match part {
        Part::Letters(letters) => {
            let tail = name.joined.get(at..).unwrap_or_default();
            tail.starts_with(letters.as_str()) && matches_from(rest, name, at + letters.len())
        }
        Part::Edge => name.starts.binary_search(&at).is_ok() && matches_from(rest, name, at),
        Part::Any => matches_anywhere(rest, name, at),
    }
}

/// True if `parts` match from `at` or from any place behind it. Only places where the first of them
/// can stand are looked at: a client may send a key of millions of letters or words.
fn matches_anywhere(parts: &[Part], name: &Name, at: usize) -> bool {
    let tail = name.joined.get(at..).unwrap_or_default();
    match parts {
        [] => true,
        [Part::Letters(letters)] => tail.ends_with(letters.as_str()),
        [Part::Letters(letters), ..] => {
            let finder = memchr::memmem::Finder::new(letters);
            let bytes = name.joined.as_bytes();
            let next = |from: &usize| Some(finder.find(bytes.get(*from..)?)? + *from);
            // One found place may overlap the next.
            std::iter::successors(next(&at), |found| next(&(found + 1)))
                .any(|found| matches_from(parts, name, found))
        }
        [Part::Edge, ..] => {
            let first = name.starts.partition_point(|start| *start < at);
            let starts = name.starts.get(first..).unwrap_or_default();
            starts.iter().any(|start| matches_from(parts, name, *start))
        }
        [Part::Any, rest @ ..] => matches_anywhere(rest, name, at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        let mut name = Name::default();
        name.read(key);
        Pattern::read(pattern).unwrap().matches(&name)
    }

    #[test]
    fn case_and_separators_do_not_count() {
        for key in
            ["firstName", "first_name", "FIRST-NAME", "first name", "firstname", "$first.name"]
        {
            assert!(matches("first_name", key), "{key}");
            assert!(matches("firstName", key), "{key}");
        }
        assert!(!matches("first_name", "first_name_length"));
        assert!(!matches("name", "username"));
        assert!(matches("größe", "Größe"));
    }

    #[test]
    fn stars_beside_separators_stand_for_whole_words() {
        assert!(matches("*_token", "authToken"));
        assert!(matches("*_token", "token"));
        assert!(matches("*_token", "MY-TOKEN"));
        assert!(!matches("*_token", "cryptotoken"));
        assert!(matches("*token", "cryptotoken"));
        assert!(matches("user_*_id", "userActualId"));
        assert!(!matches("user_*_id", "users_all_id"));
        assert!(matches("*_server_*", "HTTPServerName"));
        assert!(matches("*abab_x", "ababab_x") && matches("a*aba*ba", "aababba"));
        assert!(!matches("*abab_x", "ababab_xy") && !matches("a*aba*ba", "abababb"));
    }

    #[test]
    fn nothing_to_match_is_no_pattern() {
        assert_eq!(Pattern::read("_"), None);
        assert_eq!(Pattern::read(""), None);
        assert!(matches("*", "anything"));
    }
}
