//! Keys and tokens that say what they are: vendors' prefixes, JSON Web Tokens, `Bearer`, PEM.

use super::class::is_alnum;

/// Which characters follow a prefix.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// The above and `.`, `=`, `+`, `/`.
    Any,
    /// Upper case letters and 2 to 7.
    Base32,
    /// Hexadecimal digits.
    Hex,
}

/// Prefixes as the vendors document them, what follows and how much of it there is at least.
const PREFIXES: [(&str, Body, usize); 66] = [
    // Amazon: unique id prefixes of IAM.
    ("AKIA", Body::Base32, 16),
    ("ASIA", Body::Base32, 16),
    ("ABIA", Body::Base32, 16),
    ("ACCA", Body::Base32, 16),
    ("AIDA", Body::Base32, 16),
    ("AROA", Body::Base32, 16),
    ("AIPA", Body::Base32, 16),
    ("ANPA", Body::Base32, 16),
    ("ANVA", Body::Base32, 16),
    // GitHub and GitLab.
    ("ghp_", Body::Alnum, 30),
    ("gho_", Body::Alnum, 30),
    ("ghu_", Body::Alnum, 30),
    ("ghs_", Body::Alnum, 30),
    ("ghr_", Body::Alnum, 30),
    ("github_pat_", Body::Url, 30),
    ("glpat-", Body::Url, 16),
    ("gldt-", Body::Url, 16),
    ("glptt-", Body::Url, 16),
    ("glrt-", Body::Url, 16),
    ("glsoat-", Body::Url, 16),
    // Slack.
    ("xoxb-", Body::Url, 10),
    ("xoxp-", Body::Url, 10),
    ("xoxa-", Body::Url, 10),
    ("xoxe-", Body::Url, 10),
    ("xoxo-", Body::Url, 10),
    ("xoxr-", Body::Url, 10),
    ("xoxs-", Body::Url, 10),
    ("xoxc-", Body::Url, 10),
    ("xoxd-", Body::Any, 10),
    ("xapp-", Body::Url, 10),
    // Google.
    ("AIza", Body::Url, 35),
    ("ya29.", Body::Url, 20),
    ("GOCSPX-", Body::Url, 20),
    // Stripe.
    ("sk_live_", Body::Alnum, 10),
    ("sk_test_", Body::Alnum, 10),
    ("rk_live_", Body::Alnum, 10),
    ("rk_test_", Body::Alnum, 10),
    ("pk_live_", Body::Alnum, 10),
    ("pk_test_", Body::Alnum, 10),
    ("whsec_", Body::Any, 16),
    // Others.
    ("SG.", Body::Any, 30),
    ("npm_", Body::Alnum, 30),
    ("pypi-AgE", Body::Url, 30),
    ("sk-proj-", Body::Url, 20),
    ("sk-ant-", Body::Url, 20),
    ("sk-", Body::Alnum, 32),
    ("hf_", Body::Alnum, 30),
    ("dop_v1_", Body::Hex, 40),
    ("doo_v1_", Body::Hex, 40),
    ("shpat_", Body::Hex, 32),
    ("shpss_", Body::Hex, 32),
    ("shpca_", Body::Hex, 32),
    ("shppa_", Body::Hex, 32),
    ("sq0atp-", Body::Url, 20),
    ("sq0csp-", Body::Url, 30),
    ("EAAAE", Body::Url, 50),
    ("ATATT3", Body::Any, 50),
    ("lin_api_", Body::Alnum, 30),
    ("ntn_", Body::Alnum, 30),
    ("PMAK-", Body::Url, 40),
    ("glsa_", Body::Url, 30),
    ("hvs.", Body::Url, 24),
    ("dapi", Body::Hex, 32),
    ("SK", Body::Hex, 32),
    ("key-", Body::Hex, 32),
    ("AGE-SECRET-KEY-1", Body::Alnum, 50),
];

const fn belongs(byte: u8, body: Body) -> bool {
    match body {
        Body::Alnum => is_alnum(byte),
        Body::Url => is_alnum(byte) || matches!(byte, b'-' | b'_'),
        Body::Any => is_alnum(byte) || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'+' | b'/'),
        Body::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
        Body::Hex => byte.is_ascii_hexdigit(),
    }
}

/// True if some run of letters, digits, `-`, `_` and `.` has `least` bytes.
pub(super) fn may_be_in(bytes: &[u8], least: usize) -> bool {
    let within = |byte: &u8| belongs(*byte, Body::Url) || *byte == b'.';
    // Such a run covers one of every `least` bytes: only those are looked at, and around them.
    (0..bytes.len()).step_by(least).any(|at| {
        let (before, behind) = bytes.split_at(at);
        let reach = behind.iter().take(least).take_while(|&byte| within(byte)).count();
        reach > 0 && {
            let back = before.iter().rev().take(least).take_while(|&byte| within(byte)).count();
            reach + back >= least
        }
    })
}

/// First bytes of all prefixes, so that most words are passed over at once.
const STARTS: [bool; 256] = {
    let mut starts = [false; 256];
    let mut at = 0;
    while at < PREFIXES.len() {
        starts[PREFIXES[at].0.as_bytes()[0] as usize] = true;
        at += 1;
    }
    starts
};

/// A vendor's token at `at`, where a word starts: where it ends.
pub(super) fn vendor(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if !STARTS[usize::from(*rest.first()?)] || rest.len() < 18 {
        return telegram(rest).map(|len| at + len);
    }
    PREFIXES.iter().find_map(|&(prefix, body, least)| {
        let tail = rest.strip_prefix(prefix.as_bytes())?;
        let length = tail.iter().take_while(|&&byte| belongs(byte, body)).count();
        let ended = tail.get(length).is_none_or(|&byte| !is_alnum(byte) && byte != b'_');
        (length >= least && ended).then_some(at + prefix.len() + length)
    })
}

/// `123456789:AA...`, a bot's token of Telegram.
fn telegram(rest: &[u8]) -> Option<usize> {
    let id = rest.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    if !(8..=10).contains(&id) || rest.get(id..id + 3)? != b":AA" {
        return None;
    }
    let length = rest.get(id + 1..)?.iter().take_while(|&&byte| belongs(byte, Body::Url)).count();
    (length == 35).then_some(id + 1 + length)
}

/// A JSON Web Token at `at`: a base64url segment that starts as `{"` does, and one more at least.
pub(super) fn jwt(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let (mut from, mut end, mut segments) = (0, 0, 0);
    while segments < 5 {
        let length = segment(rest.get(from..)?);
        // The third and later ones may be empty: unsigned, or encrypted with a bare key.
        if length < 8 && segments < 2 {
            break;
        }
        segments += 1;
        end = from + length;
        if rest.get(end) != Some(&b'.') {
            break;
        }
        from = end + 1;
    }
    (segments >= 2).then_some(at + end)
}

fn segment(bytes: &[u8]) -> usize {
    let length = bytes.iter().take_while(|&&byte| belongs(byte, Body::Url)).count();
    let padding = bytes.iter().skip(length).take_while(|&&byte| byte == b'=').count();
    length + padding.min(2)
}

/// The token behind the word `Bearer`, `Basic` or `Digest` that ends at `end`: its span.
pub(super) fn scheme(bytes: &[u8], word: &[u8], end: usize) -> Option<(usize, usize)> {
    let known = match word.len() {
        5 => word.eq_ignore_ascii_case(b"basic"),
        6 => word.eq_ignore_ascii_case(b"bearer"),
        _ => false,
    };
    if !known || bytes.get(end) != Some(&b' ') {
        return None;
    }
    let start = end + 1;
    let token = bytes.get(start..)?;
    let length = token.iter().take_while(|&&byte| belongs(byte, Body::Any) || byte == b'~').count();
    let token = token.get(..length)?;
    let mixed = token.iter().any(u8::is_ascii_digit)
        || token.ends_with(b"=")
        || token.iter().any(u8::is_ascii_lowercase)
            && token.iter().skip(1).any(u8::is_ascii_uppercase);
    (length >= 8 && mixed).then_some((start, start + length))
}

/// A private key in PEM armour whose dashes start at `at`: where it ends. One that is cut off
/// reaches to the end of the text.
pub(super) fn pem(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.strip_prefix("-----BEGIN ")?;
    let label_end = rest.find("-----")?;
    let label = rest.get(..label_end)?;
    if label.len() > 40 || !label.contains("PRIVATE KEY") {
        return None;
    }
    let Some(close) = rest.find("-----END ") else { return Some(text.len()) };
    let tail = rest.get(close + 9..)?;
    let closed = tail.find("-----").map_or(tail.len(), |dashes| dashes + 5);
    Some(text.len() - tail.len() + closed)
}

/// The least a random value has; shorter ones are words with digits.
const OPAQUE_MIN: usize = 16;
/// Bits of entropy a byte that random letters and digits have at such lengths and text has not.
const OPAQUE_BITS: f64 = 3.2;

/// True if the whole of `bytes` looks random: letters and digits, no blanks, few repeats.
pub(super) fn is_opaque(bytes: &[u8]) -> bool {
    let shaped = bytes.len() >= OPAQUE_MIN
        && bytes.iter().all(|&byte| belongs(byte, Body::Any))
        && bytes.iter().any(u8::is_ascii_digit)
        && bytes.iter().any(u8::is_ascii_alphabetic);
    shaped && entropy(bytes) >= OPAQUE_BITS
}

/// Shannon's entropy of the bytes' frequencies, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 128];
    bytes.iter().for_each(|&byte| counts[usize::from(byte & 127)] += 1);
    let total = bytes.iter().fold(0.0, |sum, _| sum + 1.0);
    counts.iter().filter(|&&count| count > 0).fold(0.0, |bits, &count| {
        let share = f64::from(count) / total;
        bits - share * share.log2()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_seen_wherever_they_are() {
        for before in 0..40 {
            for length in [17, 18, 19, 60] {
                let text = format!("{} {} x", "/".repeat(before), "a".repeat(length));
                assert_eq!(may_be_in(text.as_bytes(), 18), length >= 18, "{text}");
            }
        }
        assert!(!may_be_in(b"", 18));
    }
}
