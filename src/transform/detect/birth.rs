//! Dates of birth: a date with a word before it that says so.

use super::class::is_alnum;

/// Words, in lower case, that announce a date of birth; some languages' beginnings of them too.
const CONTEXT: [&str; 27] = [
    "born",
    "birth",
    "birthday",
    "birthdate",
    "dob",
    "bday",
    "dateofbirth",
    "birthdt",
    "naissance",
    "geb",
    "geboren",
    "geburtstag",
    "geburtsdatum",
    "nacimiento",
    "nacido",
    "nacida",
    "nascita",
    "nascimento",
    "nascido",
    "nascida",
    "geboortedatum",
    "urodzony",
    "urodzona",
    "urodzenia",
    "narozen",
    "narozena",
    "syntynyt",
];
/// Such words with letters beyond ASCII, and beginnings of them.
const BEYOND_ASCII: [&str; 17] = [
    "född",
    "Född",
    "født",
    "Født",
    "födelsedatum",
    "Födelsedatum",
    "fødselsdato",
    "Fødselsdato",
    "syntymäaika",
    "Syntymäaika",
    "nació",
    "Nació",
    "рожд",
    "родил",
    "生年月日",
    "出生日期",
    "doğum",
];
/// How the names of months begin, in English, German, French, Spanish, Portuguese and Italian, in
/// lower case.
const MONTHS: [&str; 35] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär",
    "mai", "okt", "dez", "fév", "fev", "avr", "jui", "aoû", "aou", "déc", "ene", "abr", "ago",
    "dic", "gen", "mag", "giu", "lug", "set", "ott", "out", "maj",
];
/// How far behind the word the date may start, in bytes.
const REACH: usize = 24;
/// Words, in lower case, that an answer starts with: `Your date of birth? It's ...`. Behind the end
/// of a sentence any other word says that the date is another one.
const ANSWER: [&str; 13] =
    ["it", "its", "s", "is", "was", "that", "mine", "i", "m", "on", "the", "sure", "yes"];
/// How the names of the days of the week begin that may stand before a date.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// How far before the article of `née à Lyon le` the word may stand, in bytes.
const PLACE: usize = 40;

/// True if the word of two letters behind `head` is that of `né le` or `nato il`, French and
/// Italian for `born on`; a place may stand between.
pub(super) fn announces_with_article(head: &str, word: &[u8]) -> bool {
    let words = if word.eq_ignore_ascii_case(b"le") {
        ["né ", "née ", "Né ", "Née ", "NÉ ", "NÉE "].as_slice()
    } else if word.eq_ignore_ascii_case(b"il") {
        ["nato ", "nata ", "Nato ", "Nata "].as_slice()
    } else {
        return false;
    };
    let tail = head.get(head.ceil_char_boundary(head.len().saturating_sub(PLACE))..);
    words.iter().any(|word| {
        let Some((before, place)) = tail.and_then(|tail| tail.rsplit_once(word)) else {
            return false;
        };
        let named = ["à ", "a ", "ad ", "en "].iter().any(|at| place.starts_with(at))
            && place.chars().all(|ch| ch.is_alphabetic() || matches!(ch, ' ' | '-' | '\'' | '’'));
        !before.ends_with(char::is_alphabetic) && (place.is_empty() || named)
    })
}

/// The dates of birth behind the words that have letters beyond ASCII.
pub(super) fn beyond_ascii(text: &str, found: &mut impl FnMut(usize, usize)) {
    for known in BEYOND_ASCII {
        for at in memchr::memmem::find_iter(text.as_bytes(), known.as_bytes()) {
            let within = known.starts_with(|ch: char| ch < '\u{2E80}')
                && text.get(..at).is_some_and(|head| head.ends_with(char::is_alphabetic));
            if let Some((start, end)) = date_behind(text, at + known.len()).filter(|_| !within) {
                found(start, end);
            }
        }
    }
}

/// True if the word behind `head` is that of `geb.` or the last of `D.O.B.`.
pub(super) fn announces_shortened(head: &str, word: &[u8]) -> bool {
    let initials = || {
        let head = head.as_bytes();
        let tail = head.len().checked_sub(4).and_then(|from| head.get(from..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(b"d.o."))
    };
    match word.len() {
        1 => word.eq_ignore_ascii_case(b"b") && initials(),
        3 => word.eq_ignore_ascii_case(b"geb"),
        _ => false,
    }
}

/// True if the word is one that announces a date of birth.
pub(super) fn announces(word: &[u8]) -> bool {
    let first = word.first().map(u8::to_ascii_lowercase);
    matches!(first, Some(b'b' | b'd' | b'n' | b'g' | b'u' | b's'))
        && CONTEXT.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// The first date that starts within reach behind `from`: its span. Where a sentence ends before it,
/// only an answer may stand between.
pub(super) fn date_behind(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut at, mut answer) = (from, false);
    while at < bytes.len() && at - from <= REACH {
        if !is_alnum(bytes[at]) {
            match bytes[at] {
                b'!' => return None,
                b'?' | b'.' if bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace) => {
                    answer = true;
                }
                b'?' => return None,
                _ => {}
            }
            at += 1;
            continue;
        }
        if let Some(end) = numeric(bytes, at)
            .or_else(|| spelled(text, at))
            .or_else(|| compact(bytes, at))
            .or_else(|| signed(text, at))
        {
            return Some((at, end));
        }
        let start = at;
        while bytes.get(at).is_some_and(|&byte| is_alnum(byte)) {
            at += 1;
        }
        if answer && !is_of_answer(bytes.get(start..at).unwrap_or_default()) {
            return None;
        }
    }
    None
}

/// True if an answer may have the word before its date.
fn is_of_answer(word: &[u8]) -> bool {
    let day = |start: &&str| {
        word.get(..start.len()).is_some_and(|w| w.eq_ignore_ascii_case(start.as_bytes()))
    };
    ANSWER.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
        || word.ends_with(b"day") && DAYS.iter().any(day)
}

/// Reads at most four digits: the number, how many, and where they end.
fn digits(bytes: &[u8], at: usize) -> Option<(u32, usize, usize)> {
    let rest = bytes.get(at..)?;
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&count) {
        return None;
    }
    let number = rest.iter().take(count).fold(0, |all, byte| all * 10 + u32::from(byte - b'0'));
    Some((number, count, at + count))
}

/// Year, month and day in figures, in any order in use, with one separator.
fn numeric(bytes: &[u8], at: usize) -> Option<usize> {
    let (a, a_len, end) = digits(bytes, at)?;
    let gap = *bytes.get(end)?;
    if !matches!(gap, b'-' | b'/' | b'.') {
        return None;
    }
    let (b, b_len, end) = digits(bytes, end + 1)?;
    if bytes.get(end) != Some(&gap) {
        return None;
    }
    let (c, c_len, end) = digits(bytes, end + 1)?;
    let day_and_month =
        |x: u32, y: u32| (1..=31).contains(&x) && (1..=31).contains(&y) && (x <= 12 || y <= 12);
    let year = |number: u32, len: usize| len == 2 || len == 4 && (1850..=2100).contains(&number);
    let valid = if a_len == 4 {
        year(a, 4) && b_len <= 2 && c_len <= 2 && day_and_month(b, c)
    } else {
        a_len <= 2 && b_len <= 2 && year(c, c_len) && day_and_month(a, b)
    };
    let ended = bytes.get(end).is_none_or(|&byte| !is_alnum(byte) || byte == b'T');
    (valid && ended).then_some(end)
}

/// `1980年5月17日`, `1980년 5월 17일`: where it ends.
fn signed(text: &str, at: usize) -> Option<usize> {
    let (year, len, end) = digits(text.as_bytes(), at)?;
    let signs = [["年", "月", "日"], ["년", "월", "일"]];
    let behind = |end: usize, sign: &str| text.get(end..)?.strip_prefix(sign);
    let [sign, of_month, of_day] = signs.into_iter().find(|of| behind(end, of[0]).is_some())?;
    let place = |rest: &str| text.len() - rest.trim_start_matches(' ').len();
    let (month, _, end) = digits(text.as_bytes(), place(behind(end, sign)?))?;
    let (day, _, end) = digits(text.as_bytes(), place(behind(end, of_month)?))?;
    let end = text.len() - behind(end, of_day)?.len();
    let valid = len == 4 && (1850..=2100).contains(&year) && (1..=12).contains(&month);
    (valid && (1..=31).contains(&day)).then_some(end)
}

/// `19800517`, `17051980`: eight digits that are a date.
fn compact(bytes: &[u8], at: usize) -> Option<usize> {
    let run = bytes.get(at..at + 8)?;
    let ended = bytes.get(at + 8).is_none_or(|&byte| !is_alnum(byte));
    if !ended || !run.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |part: &[u8]| part.iter().fold(0, |all, &d| all * 10 + u32::from(d - b'0'));
    let valid = |year: &[u8], a: &[u8], b: &[u8]| {
        let (year, a, b) = (number(year), number(a), number(b));
        let day_and_month = (1..=31).contains(&a) && (1..=31).contains(&b) && (a <= 12 || b <= 12);
        (1850..=2100).contains(&year) && day_and_month
    };
    let date = valid(&run[..4], &run[4..6], &run[6..]) || valid(&run[4..], &run[..2], &run[2..4]);
    date.then_some(at + 8)
}

/// `12 March 1980`, `March 12th, 1980`, `12th of March 1980`, `12. März 1980`, `12 de marzo de 1980`.
fn spelled(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (day_first, after) = match digits(bytes, at) {
        Some((day, _, end)) if (1..=31).contains(&day) => {
            (true, of(bytes, blanks(bytes, ordinal(bytes, end))))
        }
        Some(_) => return None,
        None => (false, at),
    };
    let letter = |byte: &&u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
    let month = bytes.get(after..)?.iter().take(12).take_while(letter).count();
    let name = bytes.get(after..after + month)?;
    let begins = |start: &&str| {
        name.get(..start.len()).is_some_and(|n| n.eq_ignore_ascii_case(start.as_bytes()))
    };
    if !MONTHS.iter().any(begins) {
        return None;
    }
    let mut next = blanks(bytes, after + month);
    if !day_first {
        let (day, _, end) = digits(bytes, next)?;
        if !(1..=31).contains(&day) {
            return None;
        }
        next = blanks(bytes, ordinal(bytes, end));
    }
    let (year, len, end) = digits(bytes, of(bytes, next))?;
    (len == 4 && (1850..=2100).contains(&year)).then_some(end)
}

/// Behind the `of` or `de` at `at`, if there is one.
fn of(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..at + 3) {
        Some(b"of " | b"de ") => at + 3,
        _ => at,
    }
}

fn ordinal(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..at + 2) {
        Some(b"st" | b"nd" | b"rd" | b"th" | b"er") => at + 2,
        _ => at,
    }
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    let gap = |byte: &&u8| matches!(byte, b' ' | b',' | b'.' | b'-');
    at + bytes.get(at..).unwrap_or_default().iter().take(3).take_while(gap).count()
}
