//! Words of context around a place in a text.

/// How far back a word of context counts, in bytes: a handful of words.
const BACK: usize = 32;

/// The text directly before `at`, at most [`BACK`] bytes.
pub(super) fn before(text: &str, at: usize) -> &str {
    let mut from = at.saturating_sub(BACK);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..at).unwrap_or_default()
}

/// The few words before `at` that belong to the same sentence.
pub(super) fn sentence(text: &str, at: usize) -> &str {
    before(text, at).rsplit(['!', '?', ';', '\n']).next().unwrap_or_default()
}

/// The words of `sentence`, the last one first: as many as count for context.
pub(super) fn backwards(sentence: &str) -> impl Iterator<Item = &str> {
    sentence.rsplit(|ch: char| !ch.is_alphabetic()).filter(|word| !word.is_empty()).take(5)
}

/// True if one of `words` (lower case) stands as a whole word, or at the end of a compound such as
/// `homePhone`, in the few words before `at` and no sentence ends in between.
pub(super) fn precede(text: &str, at: usize, words: &[&str]) -> bool {
    backwards(sentence(text, at)).any(|word| words.iter().any(|known| ends_with(word, known)))
}

/// `word` is `known`, or a camel case compound that ends with it.
pub(super) fn ends_with(word: &str, known: &str) -> bool {
    let Some(from) = word.len().checked_sub(known.len()) else { return false };
    let Some(tail) = word.get(from..) else { return false };
    let camel = tail.starts_with(|ch: char| ch.is_uppercase());
    tail.eq_ignore_ascii_case(known) && (from == 0 || camel)
}

/// True if the letter is of a script whose words stand in compounds, or in a row without blanks: those
/// of East Asia.
pub(super) const fn is_unspaced(ch: char) -> bool {
    ch >= '\u{2E80}'
}
