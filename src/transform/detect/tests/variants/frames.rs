//! What stands around a value in texts.

use super::dice::Dice;

/// Surroundings that say nothing of the value: it must be found by itself.
pub(super) const ANY: &[(&str, &str)] = &[
    ("", ""),
    ("", "."),
    ("(", ")"),
    ("\"", "\""),
    ("'", "'"),
    ("<", ">"),
    ("[", "]"),
    ("{", "}"),
    ("a, ", ", b"),
    ("seen: ", ""),
    ("value=", ""),
    ("value = ", ";"),
    ("note: ", "\nnext line"),
    ("\t", "\t"),
    ("it was ", " yesterday"),
    ("got ", "!"),
    ("is it ", "?"),
    ("a|", "|b"),
    ("x;", ";y"),
    ("{\"k\":\"", "\"}"),
    ("{\\\"k\\\":\\\"", "\\\"}"),
    ("größe ", " äöü"),
    ("日本 ", " 語"),
    ("🙂 ", " 🙂"),
    ("list: a) ", " b) none"),
    ("<b>", "</b>"),
    ("`", "`"),
    ("failed for ", ": not found"),
    ("…", "…"),
    ("“", "”"),
];

/// One of the surroundings.
pub(super) fn around(dice: &mut Dice, frames: &[(&str, &str)]) -> (String, String) {
    let (before, after) = frames[dice.place(frames.len())];
    (before.to_owned(), after.to_owned())
}

/// The value as a form, a script or a careful sender writes it into a query.
pub(super) fn encoded(dice: &mut Dice, value: &str) -> String {
    match dice.range(0, 4) {
        // encodeURIComponent, URLSearchParams, everything, small digits, twice.
        0 => percent(value, "-_.~!'()*", false),
        1 => percent(value, "-_.*", false).replace("%20", "+"),
        2 => percent(value, "", false),
        3 => percent(value, "-_.~", true),
        _ => percent(&percent(value, "-_.~", false), "-_.~", false),
    }
}

/// The value as a word processor, a keyboard of another script or an encoder leaves it.
pub(super) fn typeset(dice: &mut Dice, value: &str) -> String {
    let script = dice.range(0, 4);
    let wide = |ch: char| char::from_u32(u32::from(ch) + 0xFEE0).unwrap();
    value
        .chars()
        .map(|ch| match (script, ch) {
            (0, ' ') => "\u{a0}".to_owned(),
            (0, '-') => "\u{2011}".to_owned(),
            (1, ' ') => "\u{202f}".to_owned(),
            (1, '-') => "\u{2013}".to_owned(),
            (2, '0'..='9' | '@' | '.') => wide(ch).to_string(),
            (3, '@' | '+') => format!("\\u00{:02x}", u32::from(ch)),
            (4, '@' | '-' | ' ') => format!("{ch}\u{200b}"),
            _ => ch.to_string(),
        })
        .collect()
}

fn percent(text: &str, stays: &str, small: bool) -> String {
    text.bytes()
        .map(|byte| {
            let ch = char::from(byte);
            if byte.is_ascii_alphanumeric() || byte.is_ascii() && stays.contains(ch) {
                ch.to_string()
            } else if small {
                format!("%{byte:02x}")
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
