//! Names of people, only where their surroundings say that they are: before an address in
//! brackets, behind `my name is`, before a device's kind. A name alone is not found.

/// Words that stand capitalised before a name without being part of it.
const NOT_NAMES: [&str; 28] = [
    "User", "Users", "From", "To", "Cc", "Bcc", "By", "Contact", "Email", "Mail", "Invite",
    "Invited", "Hello", "Hi", "Dear", "Hey", "Customer", "Member", "Author", "Admin", "Owner",
    "Sender", "Reply", "Name", "And", "The", "For", "With",
];
/// Small words inside a name.
const PARTICLES: [&str; 26] = [
    "de", "del", "della", "der", "den", "di", "da", "dos", "das", "du", "des", "la", "le", "van",
    "von", "zu", "y", "e", "al", "el", "bin", "ibn", "af", "av", "ten", "ter",
];
/// Kinds of devices that people give their name to.
const DEVICES: [&str; 23] = [
    "iphone", "ipad", "ipod", "macbook", "imac", "mac", "galaxy", "pixel", "phone", "tablet",
    "laptop", "notebook", "computer", "desktop", "pc", "watch", "tab", "note", "xperia", "redmi",
    "oneplus", "huawei", "samsung",
];
/// More words than a name has.
const WORDS_MAX: usize = 6;

/// The name directly before the bracket at `bracket`, in `Anna de Boer <anna@example.com>`, and in
/// quotes with the last name first, `"Boer, Anna" <anna@example.com>`.
pub(super) fn before_bracket(text: &str, bracket: usize) -> Option<(usize, usize)> {
    let head = text.get(..bracket)?.trim_end_matches([' ', '"', '\'']);
    let end = head.len();
    if bracket - end > 3 {
        return None;
    }
    let quoted = text.as_bytes().get(end) == Some(&b'"');
    let (mut start, mut count, mut rest) = (None, 0, head);
    while count < WORDS_MAX {
        let from = rest.rfind(|ch: char| !is_name_char(ch)).map_or(0, |at| {
            at + rest.get(at..).and_then(|tail| tail.chars().next()).map_or(1, char::len_utf8)
        });
        let word = rest.get(from..).unwrap_or_default();
        if NOT_NAMES.contains(&word) {
            break;
        }
        if is_capitalised(word) {
            start = Some(from);
        } else if !PARTICLES.contains(&word) || start.is_none() {
            break;
        }
        count += 1;
        let Some(before) = rest.get(..from).and_then(|head| head.strip_suffix(' ')) else { break };
        rest = before.strip_suffix(',').filter(|_| quoted).unwrap_or(before);
    }
    start.map(|from| (from, end))
}

fn is_name_char(ch: char) -> bool {
    ch.is_alphabetic() || matches!(ch, '.' | '-' | '\'' | '’') || is_mark(ch)
}

/// Marks that stand on a letter without being one: accents written apart, points of Hebrew and
/// Arabic, signs of the scripts of India and of Thai and Lao, and what joins letters.
const fn is_mark(ch: char) -> bool {
    matches!(ch,
        '\u{300}'..='\u{36F}'
        | '\u{591}'..='\u{5C7}'
        | '\u{64B}'..='\u{65F}'
        | '\u{93C}' | '\u{94D}' | '\u{9BC}' | '\u{9CD}' | '\u{A3C}' | '\u{A4D}' | '\u{ABC}' | '\u{ACD}'
        | '\u{B3C}' | '\u{B4D}' | '\u{BCD}' | '\u{C4D}' | '\u{CBC}' | '\u{CCD}' | '\u{D4D}' | '\u{DCA}'
        | '\u{E47}'..='\u{E4E}'
        | '\u{EC8}'..='\u{ECC}'
        | '\u{200C}' | '\u{200D}')
}

/// A capital letter first, or behind `d'`, or a script that has none.
fn is_capitalised(word: &str) -> bool {
    let elided = ["d'", "d’", "l'", "l’"].iter().find_map(|start| word.strip_prefix(start));
    elided
        .unwrap_or(word)
        .chars()
        .next()
        .is_some_and(|ch| ch.is_uppercase() || ch.is_alphabetic() && !ch.is_lowercase())
}

/// The capitalised words that start at `at`: where they end and how many there are.
fn capitalised_run(text: &str, at: usize) -> (usize, usize) {
    let (mut end, mut count, mut from) = (at, 0, at);
    let mut full = 0;
    while count < WORDS_MAX {
        let rest = text.get(from..).unwrap_or_default();
        let length = rest.find(|ch: char| !is_name_char(ch)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        if is_capitalised(word) {
            full += 1;
            end = from + word.trim_end_matches(['.', '-', '\'']).len();
        } else if !PARTICLES.contains(&word) {
            break;
        }
        count += 1;
        // A full stop behind a whole word ends the sentence, behind an initial it does not.
        let stopped = word.ends_with('.') && word.len() > 4;
        if stopped || !rest.get(length..).is_some_and(|tail| tail.starts_with(' ')) {
            break;
        }
        from += length + 1;
    }
    (end, full)
}

/// The name that a text's author gives as theirs: behind `my name is`, `Name:`, and, if it has two
/// words or more, behind `I am`.
pub(super) fn introduced(text: &str, found: &mut impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    for at in memchr::memchr2_iter(b'I', b'm', bytes) {
        let rest = bytes.get(at..).unwrap_or_default();
        let opening = match rest {
            [b'I', b' ', b'a', b'm', b' ', ..] => 5,
            [b'I', b'\'', b'm', b' ', ..] => 4,
            [b'I', 0xE2, 0x80, 0x99, b'm', b' ', ..] => 6,
            [b'm', b'e', b' ', b'i', b's', b' ', ..] if is_name_word(text, at, true) => 6,
            [b'm', b'e', b':', b' ', ..] if is_name_word(text, at, false) => 4,
            _ => continue,
        };
        let own_word = rest[0] == b'm'
            || !text.get(..at).is_some_and(|head| head.ends_with(char::is_alphanumeric));
        let (end, words) = capitalised_run(text, at + opening);
        let least = if rest[0] == b'm' { 1 } else { 2 };
        if own_word && words >= least {
            found(at + opening, end);
        }
    }
}

/// True if the `me` at `at` ends the word `name`, and that is the name of a person: `my name is`,
/// or `Name:` at the start of a line or a list's item.
fn is_name_word(text: &str, at: usize, in_sentence: bool) -> bool {
    let head = text.get(..at).unwrap_or_default();
    let Some(head) = head.strip_suffix("na").or_else(|| head.strip_suffix("Na")) else {
        return false;
    };
    if in_sentence {
        return ["my ", "My ", "his ", "His ", "her ", "Her "]
            .iter()
            .any(|whose| head.ends_with(whose));
    }
    head.is_empty() || head.ends_with(['\n', ',', ';']) || head.ends_with(". ")
}

/// The owner in the name of a device: `Anna's iPhone`, `iPhone de Anna`, `Annas-MacBook-Pro`.
pub(super) fn device_owner(text: &str) -> Option<(usize, usize)> {
    // Without a blank, a dash or a letter beyond ASCII it is one word: a model.
    if !text.bytes().any(|byte| matches!(byte, b' ' | b'-') || !byte.is_ascii()) {
        return None;
    }
    possessive(text).or_else(|| of_owner(text)).or_else(|| host_name(text))
}

fn starts_with_device(text: &str) -> bool {
    let length = text.find(|ch: char| !ch.is_alphabetic()).unwrap_or(text.len());
    let word = text.get(..length).unwrap_or_default();
    DEVICES.iter().any(|device| word.eq_ignore_ascii_case(device))
}

fn possessive(text: &str) -> Option<(usize, usize)> {
    for mark in ["'s ", "’s ", "' ", "’ ", "'S ", "ʼs "] {
        if let Some(at) = text.find(mark) {
            let rest = text.get(at + mark.len()..).unwrap_or_default();
            let device = rest.split([' ', '-']).any(starts_with_device);
            return (at > 0 && device).then_some((0, at));
        }
    }
    // Languages that put a mark of their own between owner and device.
    for mark in ["の", "的", "의 "] {
        if let Some(at) = text.find(mark).filter(|&at| at > 0) {
            let rest = text.get(at + mark.len()..).unwrap_or_default();
            return starts_with_device(rest.trim_start()).then_some((0, at));
        }
    }
    None
}

fn of_owner(text: &str) -> Option<(usize, usize)> {
    if !text.split([' ', '-']).any(starts_with_device) {
        return None;
    }
    [" de ", " von ", " di ", " van ", " do ", " da ", " d'", " d’", " of ", " för ", " til "]
        .iter()
        .find_map(|mark| {
            let start = text.find(mark)? + mark.len();
            (start < text.len()).then_some((start, text.len()))
        })
}

/// What macOS makes of it for the network: `Annas-MacBook-Pro.local`.
fn host_name(text: &str) -> Option<(usize, usize)> {
    let at = text.find("s-")?;
    let rest = text.get(at + 2..)?;
    (at > 0 && starts_with_device(rest) && is_capitalised(text)).then_some((0, at))
}
