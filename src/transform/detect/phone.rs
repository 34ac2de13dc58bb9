//! Telephone numbers: E.164 in its international form, the North American form, others in context.

use super::class::is_alnum;
use super::number::Groups;
use super::words;

/// Words that announce a number.
const CONTEXT: [&str; 31] = [
    "phone",
    "phonenumber",
    "phoneno",
    "telephonenumber",
    "mobilenumber",
    "mobileno",
    "mobil",
    "cellnumber",
    "faxnumber",
    "contactnumber",
    "viber",
    "rufnummer",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "sms",
    "whatsapp",
    "landline",
    "handset",
    "msisdn",
    "telefon",
    "handy",
    "téléphone",
    "telefono",
    "teléfono",
    "movil",
    "móvil",
    "cellulare",
    "celular",
];
/// Parts of words with letters beyond ASCII that announce one: such words have endings, or stand in
/// compounds without a mark.
const BEYOND_ASCII: [&str; 11] = [
    "телефон",
    "Телефон",
    "ТЕЛЕФОН",
    "τηλέφων",
    "Τηλέφων",
    "电话",
    "電話",
    "手机",
    "携帯",
    "전화",
    "휴대폰",
];
/// What makes a run of letters without blanks announce another number than that of a telephone:
/// `手机订单号` is that of an order.
const OTHERS_UNSPACED: [&str; 13] = [
    "订单", "訂單", "登录", "登錄", "登陆", "登入", "注文", "주문", "型号", "型號", "版本", "时间",
    "時間",
];
/// The same for what is short enough to be a part of other words.
const BEYOND_ASCII_SHORT: [&str; 5] = ["тел", "Тел", "моб", "Моб", "τηλ"];
/// Words that announce one where nothing or one of [`REACHED`] or [`BY`] follows them: a text has a
/// length, a ring a buffer and a call a stack, too.
const VERBS: [&str; 6] = ["call", "dial", "text", "fax", "ring", "portable"];
/// Words that announce one only before one of [`BY`].
const TOLD: [&str; 7] = ["called", "calling", "calls", "rang", "phoned", "dialed", "dialled"];
/// Words behind a verb that say that somebody is reached.
const REACHED: [&str; 14] =
    ["me", "us", "him", "her", "them", "back", "at", "on", "to", "no", "nr", "number", "my", "our"];
/// Words before a number by which somebody is reached.
const BY: [&str; 8] = ["at", "on", "from", "number", "no", "nr", "under", "via"];

/// Words for the number itself, behind `contact`.
const NUMBER: [&str; 3] = ["number", "no", "nr"];

/// Digits that a number has, country code and all, and the codes of the countries where it has at
/// most so many; those not listed may have what E.164 allows. From the numbering plans that ITU
/// publishes.
const LENGTHS: [(usize, &[&str]); 6] = [
    (10, &["45", "47", "53", "65"]),
    (
        11,
        &[
            "1", "7", "27", "33", "34", "36", "40", "48", "51", "56", "61", "66", "93", "94",
            "216", "356", "357", "370", "371", "374", "386", "389", "852", "853", "961", "965",
            "968", "973", "974",
        ],
    ),
    (
        12,
        &[
            "20", "30", "31", "32", "41", "44", "57", "58", "60", "63", "64", "81", "82", "84",
            "90", "91", "92", "95", "98", "212", "213", "218", "233", "254", "255", "256", "351",
            "353", "354", "355", "359", "375", "380", "385", "387", "420", "421", "855", "886",
            "962", "963", "966", "967", "970", "971", "972", "994", "995", "998",
        ],
    ),
    (13, &["39", "46", "52", "54", "55", "86", "234", "381", "880", "964", "977"]),
    (14, &["62"]),
    (15, &["43", "49"]),
];

/// E.164: 15 digits at most.
const DIGITS_MAX: usize = 15;
/// The shortest numbers in use with their country code.
const DIGITS_MIN: usize = 8;

/// A number in international form whose first digit is at `start`, behind a `+`: where it ends.
pub(super) fn international(bytes: &[u8], start: usize) -> Option<usize> {
    if start > 1 && is_alnum(bytes[start - 2]) || !matches!(bytes.get(start), Some(b'1'..=b'9')) {
        return None;
    }
    let most = most_digits(bytes.get(start..).unwrap_or_default());
    let (end, count) = walk(bytes, start, most);
    // `+2024-01-01`
    let groups = Groups::read(bytes, start);
    let date = groups.shaped(&[4, 2, 2], b"-");
    (count >= DIGITS_MIN && !date && !is_degrees(&groups)).then(|| with_extension(bytes, end))
}

/// `+52.520008`: a coordinate with its sign. Registries of domains write numbers with one point,
/// too (`+1.2069813845`), but with more digits behind it.
fn is_degrees(groups: &Groups) -> bool {
    groups.count == 2 && groups.gaps[0] == b'.' && groups.len(0) <= 2 && groups.len(1) <= 7
}

/// True if the zero that is dialled within the country follows in parentheses, `(0)`.
pub(super) fn has_trunk_zero(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.strip_prefix(b" ").unwrap_or(rest).starts_with(b"(0)")
}

/// A number in international form behind the prefix that is dialled for it, `0044 20 7946 0958` or
/// `011 44 20 ...`, in groups: where it ends. In one piece it may be any number that starts with
/// zeros, such as an article's.
pub(super) fn dialled(bytes: &[u8], groups: &Groups) -> Option<usize> {
    let start = groups.spans[0].0;
    let first = bytes.get(start..groups.end(1))?;
    let code = match first {
        b"00" | b"011" => groups.end(1) + 1,
        [b'0', b'0', b'1'..=b'9', rest @ ..] if rest.len() <= 4 => start + 2,
        _ => return None,
    };
    let joined = start > 1 && matches!(bytes[start - 1], b'-' | b'.' | b'/' | b',');
    let tail = bytes.get(code..)?;
    let grouped = groups.count >= 3 || has_trunk_zero(bytes, groups.end(1));
    if joined || !grouped || tail.starts_with(b"0") {
        return None;
    }
    let (end, count) = walk(bytes, code, known_length(tail)?);
    (count >= 9).then(|| with_extension(bytes, end))
}

/// Where a number that ends at `end` ends with its extension: `x123`, ` ext. 45`.
fn with_extension(bytes: &[u8], end: usize) -> usize {
    let digits = |at: usize| extension_end(bytes, at);
    let gap = |at: usize| at + usize::from(matches!(bytes.get(at), Some(b' ' | b',')));
    let word = gap(gap(end));
    let rest = bytes.get(word..).unwrap_or_default();
    let known: [&[u8]; 5] = [b"extension", b"ext.", b"ext", b"x", b"#"];
    let named = known
        .iter()
        .find(|name| rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)));
    named.and_then(|name| digits(gap(word + name.len()))).unwrap_or(end)
}

/// Where the digits of an extension at `at` end.
fn extension_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let count = rest.iter().take(7).take_while(|byte| byte.is_ascii_digit()).count();
    let ended = rest.get(count).is_none_or(|&byte| !is_alnum(byte));
    ((1..=6).contains(&count) && ended).then_some(at + count)
}

/// The groups with one more where it was left off for the extension behind it: `3845x12` of
/// `206-981-3845x12`.
pub(super) fn with_extended(bytes: &[u8], groups: &Groups) -> Option<Groups> {
    let last = groups.count.checked_sub(1)?;
    let start = groups.spans[last].1 + 1;
    if groups.gaps[last] == 0 || groups.count == groups.spans.len() {
        return None;
    }
    let rest = bytes.get(start..)?;
    let end = start + rest.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    if end == start || with_extension(bytes, end) == end {
        return None;
    }
    let mut groups = *groups;
    groups.spans[groups.count] = (start, end);
    groups.count += 1;
    Some(groups)
}

/// A number in one piece at `start` with its extension glued to it, `2069813845x12`, behind a `+` or
/// where a word announces it.
pub(super) fn with_glued(text: &str, start: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..)?;
    let count = rest.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    if count < 7 || !matches!(rest.get(count), Some(b'x' | b'X')) {
        return None;
    }
    extension_end(bytes, start + count + 1)?;
    if start > 0 && bytes[start - 1] == b'+' {
        return international(bytes, start).map(|end| (start - 1, end));
    }
    in_context(text, &Groups::one(start, start + count))
}

/// True if the whole of `text` is a number in E.164 form, `+` and digits without separators.
pub(in crate::transform) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

fn most_digits(from: &[u8]) -> usize {
    known_length(from).unwrap_or(DIGITS_MAX)
}

/// The most digits of a number whose country is known. The code ends within three digits; a
/// separator inside it does not occur.
fn known_length(from: &[u8]) -> Option<usize> {
    let of_country = |codes: &[&str]| codes.iter().any(|code| from.starts_with(code.as_bytes()));
    LENGTHS.iter().find(|(_, codes)| of_country(codes)).map(|&(most, _)| most)
}

/// Walks over digits and separators from `start`: where the last digit ends and how many there are.
/// A zero in parentheses is dialled within the country only, and does not count.
fn walk(bytes: &[u8], start: usize, most: usize) -> (usize, usize) {
    let (mut at, mut end, mut count, mut gaps) = (start, start, 0, 0);
    // Where the last whole group ended, and how many digits there were then.
    let mut grouped = (start, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' if count == most => break,
            b'0'..=b'9' => {
                count += 1;
                gaps = 0;
                end = at + 1;
            }
            b'(' if gaps < 3 && count > 0 && has_trunk_zero(bytes, at) => {
                grouped = (end, count);
                gaps += 1;
                at += 2;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if gaps < 3 => {
                grouped = (end, count);
                gaps += 1;
            }
            _ => break,
        }
        at += 1;
    }
    let rest = bytes.get(end..).unwrap_or_default();
    let more = rest.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    // More digits than the country has are no reason to leave the last ones behind, but more than
    // any number has are the next one.
    match more {
        0 => {}
        _ if count + more <= DIGITS_MAX => (end, count) = (end + more, count + more),
        _ => return grouped,
    }
    // A letter directly behind the digits: this is no number but a name that starts with digits.
    let glued = bytes.get(end).is_some_and(|&byte| is_alnum(byte));
    let extension = matches!(bytes.get(end), Some(b'x' | b'X'));
    if glued && !extension { (start, 0) } else { (end, count) }
}

/// The North American form from the first group on, `206-981-3845`, `1.206.981.3845`, also
/// `(206) 981-3845`: where it starts and ends.
pub(super) fn north_american(bytes: &[u8], groups: &Groups) -> Option<(usize, usize)> {
    let start = groups.spans[0].0;
    let opened = start > 0 && bytes[start - 1] == b'(';
    if let Some(span) = opened.then(|| in_parentheses(bytes, start)).flatten() {
        return Some(span);
    }
    let joined =
        start > 1 && matches!(bytes[start - 1], b'-' | b'.' | b'/') && is_alnum(bytes[start - 2]);
    let (area, count) = if groups.shaped(&[3, 3, 4], b"-.") {
        (0, 3)
    } else if groups.shaped(&[1, 3, 3, 4], b"-.") && bytes[start] == b'1' {
        (1, 4)
    } else {
        return None;
    };
    let plan = is_plan(bytes, groups.spans[area].0, groups.spans[area + 1].0);
    (plan && !joined).then(|| (start, with_extension(bytes, groups.end(count))))
}

/// The North American plan: area and exchange start with 2 to 9 and are not N11.
fn is_plan(bytes: &[u8], area: usize, exchange: usize) -> bool {
    [area, exchange].into_iter().all(|at| {
        let digits = bytes.get(at..at + 3).unwrap_or_default();
        matches!(digits, [b'2'..=b'9', b'0'..=b'9', b'0'..=b'9']) && !digits.ends_with(b"11")
    })
}

fn in_parentheses(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let area = bytes.get(start..start + 3)?;
    if !area.iter().all(u8::is_ascii_digit) || bytes.get(start + 3) != Some(&b')') {
        return None;
    }
    let mut at = start + 4;
    if matches!(bytes.get(at), Some(b' ' | b'-' | b'.')) {
        at += 1;
    }
    let exchange = at;
    let rest = bytes.get(at..at + 8)?;
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let shaped = digits(&rest[..3]) && matches!(rest[3], b' ' | b'-' | b'.') && digits(&rest[4..]);
    let ended = bytes.get(at + 8).is_none_or(|byte| !byte.is_ascii_digit());
    let whole = shaped && ended && is_plan(bytes, start, exchange);
    // `1 (206) 981-3845`
    let country = start > 2 && bytes[start - 2] == b' ' && bytes[start - 3] == b'1';
    let alone = start < 4 || !is_alnum(bytes[start - 4]);
    let from = if country && alone { start - 3 } else { start - 1 };
    whole.then(|| (from, with_extension(bytes, at + 8)))
}

/// Any other number of 7 to 15 digits from the first group on, where a word announces it.
pub(super) fn in_context(text: &str, groups: &Groups) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let start = groups.spans[0].0;
    let (end, count) = walk(bytes, start, DIGITS_MAX);
    let slashes = bytes.get(start..end)?.iter().filter(|&&byte| byte == b'/').count();
    if !(7..=DIGITS_MAX).contains(&count) || is_date(groups) || slashes > 1 {
        return None;
    }
    let joined =
        start > 1 && matches!(bytes[start - 1], b'-' | b'.' | b'_') && is_alnum(bytes[start - 2]);
    if joined || is_version(groups) || !is_announced(text, groups) {
        return None;
    }
    let opened = start > 0 && bytes[start - 1] == b'(';
    Some((start - usize::from(opened), with_extension(bytes, end)))
}

/// True if a word before the number announces it.
fn is_announced(text: &str, groups: &Groups) -> bool {
    let start = groups.spans[0].0;
    let sentence = words::sentence(text, start);
    if words::precede(text, start, &CONTEXT)
        || !sentence.is_ascii() && is_announced_abroad(sentence)
    {
        return true;
    }
    let one_of = |word: &str, list: &[&str]| list.iter().any(|w| word.eq_ignore_ascii_case(w));
    let marked = sentence.trim_end().ends_with([':', '=', '#']);
    let zero = text.as_bytes().get(start) == Some(&b'0');
    // A time in seconds or milliseconds.
    let one = text.as_bytes().get(start) == Some(&b'1');
    let time = one && groups.count == 1 && matches!(groups.len(0), 10 | 13);
    let (mut behind, mut last) = (None, None);
    for word in words::backwards(sentence) {
        let by = last.is_some_and(|last| one_of(last, &BY));
        if VERBS.iter().any(|known| words::ends_with(word, known)) {
            // `call_id=12345678901`
            if behind.is_some_and(|word| one_of(word, &["id", "ids"])) {
                return false;
            }
            let direct = behind.is_none() && (zero || !word.eq_ignore_ascii_case("portable"));
            return marked || by || direct || behind.is_some_and(|word| one_of(word, &REACHED));
        }
        if one_of(word, &TOLD) {
            return by && !time;
        }
        let number = || behind.is_some_and(|word| one_of(word, &NUMBER));
        if word.eq_ignore_ascii_case("contact") && number() {
            return !time;
        }
        last = last.or(Some(word));
        behind = Some(word);
    }
    false
}

/// True if one of the last words is of those with letters beyond ASCII.
fn is_announced_abroad(sentence: &str) -> bool {
    let says = |word: &str, part: &&str| match word.rsplit_once(*part) {
        Some((_, end)) => !OTHERS_UNSPACED.iter().any(|other| end.contains(other)),
        None => false,
    };
    words::backwards(sentence).any(|word| {
        BEYOND_ASCII_SHORT.contains(&word) || BEYOND_ASCII.iter().any(|part| says(word, part))
    })
}

/// `87.0.0.247.247`, `255.255.255.255`: numbers of telephones have no groups of one digit between
/// dots, and those of North America four digits at their end.
fn is_version(groups: &Groups) -> bool {
    let dotted =
        |count: usize| groups.count >= count && (0..count - 1).all(|gap| groups.gaps[gap] == b'.');
    let four = groups.count == 4 && dotted(4) && (0..4).all(|n| groups.len(n) <= 3);
    four || dotted(3) && (0..3).any(|n| groups.len(n) == 1)
}

/// `2020-12-27`, `27.12.2020`: a date is no number, though it has eight digits.
fn is_date(groups: &Groups) -> bool {
    let small = |n: usize| groups.len(n) <= 2;
    groups.count >= 3
        && groups.gaps[0] == groups.gaps[1]
        && groups.gaps[0] != b' '
        && ((groups.len(0) == 4 && small(1) && small(2))
            || (small(0) && small(1) && groups.len(2) == 4))
}
