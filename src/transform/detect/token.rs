//! Keys and tokens that say what they are: vendors' prefixes, JSON Web Tokens, `Bearer`, PEM.

use super::class::{is_alnum, leading, looked_at};
use super::shape::is_uuid;

/// Which characters follow a prefix.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// The above and `.`.
    Dotted,
    /// The above and `=`, `+`, `/`.
    Any,
    /// Upper case letters and 2 to 7.
    Base32,
    /// Upper case letters and digits.
    Capital,
    /// Hexadecimal digits.
    Hex,
    /// Hexadecimal digits and `$`.
    Dollar,
}

/// Prefixes as the vendors document them, what follows and how much of it there is at least; those
/// with one first byte together, see [`BY_FIRST`].
const PREFIXES: [(&str, Body, usize); 164] = [
    // Twilio's accounts.
    ("AC", Body::Hex, 32),
    // Amazon: unique id prefixes of IAM.
    ("ABSK", Body::Any, 80),
    ("AKCp", Body::Alnum, 60),
    ("ABIA", Body::Base32, 16),
    ("ACCA", Body::Base32, 16),
    ("AIDA", Body::Base32, 16),
    ("AIPA", Body::Base32, 16),
    ("AKIA", Body::Base32, 16),
    ("ANPA", Body::Base32, 16),
    ("ANVA", Body::Base32, 16),
    ("AROA", Body::Base32, 16),
    ("ASIA", Body::Base32, 16),
    // Google, Atlassian, age.
    ("AIza", Body::Url, 35),
    ("ATATT3", Body::Any, 50),
    ("ATCTT3", Body::Any, 50),
    ("ATBB", Body::Alnum, 32),
    ("AGE-SECRET-KEY-1", Body::Alnum, 50),
    // Contentful.
    ("CFPAT-", Body::Url, 40),
    ("CCIPAT_", Body::Url, 40),
    // Square, Facebook.
    ("EAA", Body::Url, 50),
    ("FLWSECK_TEST-", Body::Alnum, 12),
    ("FLWSECK-", Body::Alnum, 12),
    ("GOCSPX-", Body::Url, 20),
    ("GOOG", Body::Capital, 20),
    ("GR1348941", Body::Url, 16),
    ("HRKU-AA", Body::Url, 50),
    // New Relic.
    ("NRAK-", Body::Alnum, 27),
    ("NRII-", Body::Url, 32),
    // Postman.
    ("PMAK-", Body::Url, 40),
    ("SG.", Body::Any, 30),
    ("SK", Body::Hex, 32),
    ("access_token$production$", Body::Dollar, 30),
    ("access_token$sandbox$", Body::Dollar, 30),
    ("amzn.mws.", Body::Url, 36),
    ("amzn1.oa2-cs.v1.", Body::Hex, 64),
    ("bedrock-api-key-", Body::Any, 30),
    ("bkat_", Body::Alnum, 40),
    ("bkua_", Body::Alnum, 40),
    ("ccipat_", Body::Url, 40),
    ("cfut_", Body::Alnum, 40),
    ("csk-", Body::Alnum, 40),
    // Databricks, Docker, DigitalOcean, Discord's hooks, Doppler, Duffel.
    ("dapi", Body::Hex, 32),
    ("dckr_pat_", Body::Url, 27),
    ("dckr_oat_", Body::Url, 27),
    ("discord.com/api/webhooks/", Body::Any, 60),
    ("discordapp.com/api/webhooks/", Body::Any, 60),
    ("doo_v1_", Body::Hex, 40),
    ("dop_v1_", Body::Hex, 40),
    ("dor_v1_", Body::Hex, 40),
    ("dp.pt.", Body::Alnum, 40),
    ("dp.st.", Body::Any, 40),
    ("dp.ct.", Body::Alnum, 40),
    ("dp.sa.", Body::Alnum, 40),
    ("dt0c01.", Body::Any, 80),
    ("duffel_live_", Body::Url, 40),
    ("duffel_test_", Body::Url, 40),
    ("fo1_", Body::Url, 40),
    ("fm2_", Body::Any, 80),
    ("figd_", Body::Url, 40),
    // GitHub and GitLab.
    ("ghp_", Body::Alnum, 30),
    ("gho_", Body::Alnum, 30),
    ("ghu_", Body::Alnum, 30),
    ("ghs_", Body::Alnum, 30),
    ("ghr_", Body::Alnum, 30),
    ("github_pat_", Body::Url, 30),
    ("glpat-", Body::Dotted, 16),
    ("glagent-", Body::Url, 40),
    ("glffct-", Body::Url, 16),
    ("glwt-", Body::Url, 16),
    ("glcbt-", Body::Url, 16),
    ("gldt-", Body::Url, 16),
    ("glft-", Body::Url, 16),
    ("glimt-", Body::Url, 16),
    ("glptt-", Body::Url, 16),
    ("glrt-", Body::Url, 16),
    ("glsoat-", Body::Url, 16),
    // Grafana, Groq.
    ("glc_", Body::Any, 32),
    ("glsa_", Body::Url, 30),
    ("gsk_", Body::Alnum, 40),
    ("hcaik_01", Body::Alnum, 50),
    ("hf_", Body::Alnum, 30),
    ("hooks.slack.com/triggers/", Body::Any, 30),
    ("hooks.slack.com/workflows/", Body::Any, 30),
    ("hooks.slack.com/services/", Body::Any, 30),
    ("hvb.", Body::Url, 24),
    ("hvs.", Body::Url, 24),
    // Mailgun.
    ("key-", Body::Hex, 32),
    ("lin_api_", Body::Alnum, 30),
    ("lin_oauth_", Body::Alnum, 40),
    ("lsv2_pt_", Body::Url, 40),
    ("lsv2_sk_", Body::Url, 40),
    ("live_", Body::Alnum, 35),
    ("mfa.", Body::Url, 80),
    ("napi_", Body::Alnum, 60),
    ("nfp_", Body::Alnum, 36),
    ("npm_", Body::Alnum, 30),
    ("ntn_", Body::Alnum, 30),
    ("ops_eyJ", Body::Any, 100),
    ("pcsk_", Body::Url, 50),
    ("phc_", Body::Alnum, 32),
    ("phx_", Body::Alnum, 32),
    ("pk_live_", Body::Alnum, 10),
    ("pk_test_", Body::Alnum, 10),
    ("pplx-", Body::Alnum, 40),
    ("pscale_", Body::Any, 36),
    ("pul-", Body::Hex, 40),
    ("pypi-AgE", Body::Url, 30),
    ("r8_", Body::Alnum, 36),
    ("rdme_", Body::Alnum, 60),
    ("rnd_", Body::Alnum, 28),
    ("rzp_live_", Body::Alnum, 14),
    ("rzp_test_", Body::Alnum, 14),
    ("rk_live_", Body::Alnum, 10),
    ("rk_test_", Body::Alnum, 10),
    ("rubygems_", Body::Hex, 48),
    ("sb_secret_", Body::Url, 28),
    ("sbp_", Body::Hex, 40),
    ("secret_", Body::Alnum, 43),
    ("shippo_live_", Body::Hex, 40),
    ("shippo_test_", Body::Hex, 40),
    ("shpat_", Body::Hex, 32),
    ("shpca_", Body::Hex, 32),
    ("shppa_", Body::Hex, 32),
    ("shpss_", Body::Hex, 32),
    // Stripe.
    ("sk_live_", Body::Alnum, 10),
    ("sk_test_", Body::Alnum, 10),
    // Anthropic, OpenAI.
    ("sk-ant-", Body::Url, 20),
    ("sess-", Body::Alnum, 40),
    ("sha256~", Body::Url, 40),
    ("sk-admin-", Body::Url, 20),
    ("sk-None-", Body::Url, 40),
    ("sk-proj-", Body::Url, 20),
    ("sk-svcacct-", Body::Url, 20),
    ("sk-or-v1-", Body::Hex, 40),
    ("sk-", Body::Alnum, 32),
    ("sntryu_", Body::Hex, 60),
    ("sntrys_", Body::Any, 60),
    ("sq0atp-", Body::Url, 20),
    ("sq0csp-", Body::Url, 30),
    ("sqa_", Body::Hex, 40),
    ("sqp_", Body::Hex, 40),
    ("squ_", Body::Hex, 40),
    ("tfp_", Body::Url, 50),
    ("tskey-", Body::Url, 30),
    ("tvly-", Body::Url, 30),
    ("v1.0-", Body::Url, 150),
    ("vcp_", Body::Alnum, 50),
    ("vercel_blob_rw_", Body::Url, 30),
    ("whsec_", Body::Any, 16),
    // Slack, Brevo.
    ("xai-", Body::Alnum, 70),
    ("xapp-", Body::Url, 10),
    ("xkeysib-", Body::Url, 64),
    ("xoxa-", Body::Url, 10),
    ("xoxb-", Body::Url, 10),
    ("xoxc-", Body::Url, 10),
    ("xoxd-", Body::Any, 10),
    ("xoxe-", Body::Url, 10),
    ("xoxe.xox", Body::Url, 30),
    ("xoxo-", Body::Url, 10),
    ("xoxp-", Body::Url, 10),
    ("xoxr-", Body::Url, 10),
    ("xoxs-", Body::Url, 10),
    ("xwfp-", Body::Url, 20),
    ("ya29.", Body::Url, 20),
];

const fn belongs(byte: u8, body: Body) -> bool {
    match body {
        Body::Alnum => is_alnum(byte),
        Body::Url => is_alnum(byte) || matches!(byte, b'-' | b'_'),
        Body::Dotted => is_alnum(byte) || matches!(byte, b'-' | b'_' | b'.'),
        Body::Any => is_alnum(byte) || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'+' | b'/'),
        Body::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
        Body::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Body::Hex => byte.is_ascii_hexdigit(),
        Body::Dollar => byte.is_ascii_hexdigit() || byte == b'$',
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

/// For each first byte the prefixes that have it: the first one and the one behind the last.
const BY_FIRST: [(usize, usize); 256] = {
    let mut starts = [(0, 0); 256];
    let mut at = 0;
    while at < PREFIXES.len() {
        let first = PREFIXES[at].0.as_bytes()[0] as usize;
        if starts[first].1 == 0 {
            starts[first].0 = at;
        }
        assert!(starts[first].1 == 0 || starts[first].1 == at, "not together");
        starts[first].1 = at + 1;
        at += 1;
    }
    starts
};

/// A vendor's token at `at`, where a word starts: where it ends.
pub(super) fn vendor(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if rest.len() < 18 {
        return None;
    }
    let (from, to) = BY_FIRST[usize::from(rest[0])];
    let known = PREFIXES.get(from..to).unwrap_or_default();
    let prefixed = known.iter().find_map(|&(prefix, body, least)| {
        let tail = rest.strip_prefix(prefix.as_bytes())?;
        let length = leading(tail, |byte| belongs(byte, body));
        // Behind what is long enough to be no name, `_` glues another name to it.
        let glue = |byte: u8| byte == b'_' && least < 16;
        let ended = tail.get(length).is_none_or(|&byte| !is_alnum(byte) && !glue(byte));
        let least = (length >= least && ended).then_some(length)?;
        Some(prefix.len() + without_stop(tail.get(..least)?))
    });
    prefixed.or_else(|| by_form(rest)).map(|length| at + length)
}

/// The length of a body without the full stops of the sentence around it.
fn without_stop(body: &[u8]) -> usize {
    body.len() - body.iter().rev().take_while(|&&byte| byte == b'.').count()
}

/// Tokens that have no prefix but a form of their own: how long the one at the start is.
fn by_form(rest: &[u8]) -> Option<usize> {
    let word = rest.iter().take(32).take_while(|&&byte| is_alnum(byte)).count();
    let tail = rest.get(word..)?;
    let run = |from: usize, body: Body| {
        leading(tail.get(from..).unwrap_or_default(), |byte| belongs(byte, body))
    };
    match (word, tail.first()?) {
        (8..=10, b':') => telegram(rest),
        // MongoDB Atlas, Airtable.
        (14, b'.') if tail.starts_with(b".atlasv1.") => {
            Some(word + 9 + run(9, Body::Any)).filter(|&length| length >= 80)
        }
        (17, b'.') if rest.starts_with(b"pat") && run(1, Body::Hex) == 64 => Some(word + 65),
        // Discord's bots: the id in base 64, a time, a code.
        (24 | 26 | 28, b'.') if matches!(rest[0], b'M' | b'N' | b'O') && run(1, Body::Url) == 6 => {
            let code = run(8, Body::Url);
            (tail.get(7) == Some(&b'.') && code >= 27).then_some(word + 8 + code)
        }
        // Mailchimp's keys end with the data centre.
        (32, b'-') if tail.starts_with(b"-us") && run(1, Body::Url) <= 4 => {
            let hex = rest.iter().take(32).all(u8::is_ascii_hexdigit);
            (hex && tail.get(3).is_some_and(u8::is_ascii_digit)).then(|| 33 + run(1, Body::Url))
        }
        // Azure's secrets have the version of their form in the middle.
        (3..=5, b'~') if rest.get(word - 2..word) == Some(b"8Q") => {
            let length = leading(tail, |byte| belongs(byte, Body::Dotted) || byte == b'~');
            (length >= 30).then(|| word + without_stop(tail.get(..length).unwrap_or_default()))
        }
        // Incoming webhooks of Mattermost.
        (5, b'/') if rest.starts_with(b"hooks/") && run(1, Body::Url) == 26 => {
            let id = tail.get(1..27)?;
            let small = id.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
            (small && id.iter().any(u8::is_ascii_digit)).then_some(32)
        }
        // HubSpot's, with a UUID.
        (3, b'-') if rest.starts_with(b"pat-") => {
            let length = run(0, Body::Url);
            let uuid = rest.get(8..word + length).is_some_and(is_uuid);
            uuid.then_some(word + length)
        }
        // The secret of a Stripe payment, which a browser gets.
        (2 | 4, b'_') if rest.starts_with(b"pi_") || rest.starts_with(b"seti_") => {
            let length = run(0, Body::Url);
            let secret = memchr::memmem::find(tail.get(..length)?, b"_secret_")?;
            (length - secret >= 28).then_some(word + length)
        }
        // Google's refresh tokens.
        (1, b'/') if rest.starts_with(b"1//0") => {
            let length = run(2, Body::Url);
            (length >= 40).then_some(word + 2 + length)
        }
        _ => None,
    }
}

/// The longest word and further words of a prefix that is in no list, and how many words follow.
const PREFIX_MAX: usize = 12;
const PREFIX_WORDS: usize = 3;
/// The shortest body that such a prefix tells from an id.
const BODY_MIN: usize = 30;

/// A token of the general form at `at`, where a word starts: `acme_live_` and a long run in which
/// small letters, capitals and digits are mixed. Where it ends. Ids in base 64 have dashes, too, but no
/// words before the first one.
pub(super) fn general(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && matches!(bytes[at - 1], b'-' | b'_' | b'.' | b'\\' | b'+' | b'~') {
        return None;
    }
    let mut from = at;
    for _ in 0..=PREFIX_WORDS {
        let tail = bytes.get(from..)?;
        let length = tail.iter().take(PREFIX_MAX + 1).take_while(|&&byte| is_alnum(byte)).count();
        let word = tail.get(..length)?;
        let plain = word.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            || word.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let letters = word.first().is_some_and(u8::is_ascii_alphabetic);
        let parted = matches!(tail.get(length), Some(b'_' | b'-'));
        if !(1..=PREFIX_MAX).contains(&length) || !plain || !letters || !parted {
            break;
        }
        from += length + 1;
    }
    let body = bytes.get(from..)?;
    let length = leading(body, is_alnum);
    let goes_on = matches!(body.get(length), Some(b'-' | b'_' | b'~'))
        && body.get(length + 1).is_some_and(|&byte| is_alnum(byte));
    let body = body.get(..length)?;
    let mixed = body.iter().any(u8::is_ascii_digit)
        && body.iter().any(u8::is_ascii_lowercase)
        && body.iter().any(u8::is_ascii_uppercase);
    // A JSON Web Token is found without what is glued to it.
    let own = !body.starts_with(b"eyJ");
    (from > at + 2 && length >= BODY_MIN && mixed && own && !goes_on).then_some(from + length)
}

/// `123456789:AA...`, a bot's token of Telegram.
fn telegram(rest: &[u8]) -> Option<usize> {
    let id = rest.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    if !(8..=10).contains(&id) || rest.get(id..id + 3)? != b":AA" {
        return None;
    }
    let length = leading(rest.get(id + 1..)?, |byte| belongs(byte, Body::Url));
    (length == 35).then_some(id + 1 + length)
}

/// The last run of letters, digits, `-` and `_` that was looked at: up to its end all words in it
/// have the same one.
#[derive(Default)]
pub(super) struct Run {
    from: usize,
    end: usize,
}

impl Run {
    fn end_of(&mut self, bytes: &[u8], at: usize) -> usize {
        if !(self.from..self.end).contains(&at) {
            let rest = bytes.get(at..).unwrap_or_default();
            *self = Self { from: at, end: at + leading(rest, |byte| belongs(byte, Body::Url)) };
        }
        self.end
    }
}

/// A JSON Web Token at `at`: a base64url segment that starts as `{"` does, and one more at least.
pub(super) fn jwt(bytes: &[u8], at: usize, run: &mut Run) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let (mut from, mut end, mut segments) = (0, 0, 0);
    while segments < 5 {
        let part = rest.get(from..)?;
        let first = (segments == 0).then(|| run.end_of(bytes, at) - at);
        let length = first.unwrap_or_else(|| leading(part, |byte| belongs(byte, Body::Url)));
        let length = length + padding(part.get(length..)?);
        // The third may be empty where it is unsigned; a full stop behind it ends the sentence.
        if length < 8 && segments < 2 || length == 0 && segments > 2 {
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

/// Padding of base 64.
fn padding(bytes: &[u8]) -> usize {
    bytes.iter().take(2).take_while(|&&byte| byte == b'=').count()
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
    let length = leading(token, |byte| belongs(byte, Body::Any) || byte == b'~');
    let token = token.get(..length)?;
    let mixed = token.iter().any(u8::is_ascii_digit)
        || token.ends_with(b"=")
        || token.iter().any(u8::is_ascii_lowercase)
            && token.iter().skip(1).any(u8::is_ascii_uppercase);
    (length >= 8 && mixed).then_some((start, start + length))
}

/// Longest label of a key's armour.
const LABEL_MAX: usize = 40;

/// The next end of an armour that was looked for, so that many beginnings share it.
#[derive(Clone, Copy, Default)]
pub(super) struct ArmourEnd {
    /// Where `-----END ` is; the length of the text if it is nowhere.
    at: usize,
    /// Behind the dashes that close it.
    end: usize,
}

impl ArmourEnd {
    fn behind(bytes: &[u8], from: usize) -> Self {
        let find = |from: usize, what: &[u8]| {
            let rest = bytes.get(from..).unwrap_or_default();
            let length = memchr::memmem::find(rest, what).map_or(rest.len(), |at| at + what.len());
            looked_at(length);
            from + length
        };
        let tail = find(from, b"-----END ");
        Self { at: tail - "-----END ".len().min(tail), end: find(tail, b"-----") }
    }
}

/// A private key in PEM armour whose dashes start at `at`: where it ends. One that is cut off
/// reaches to the end of the text.
pub(super) fn pem(bytes: &[u8], at: usize, armour_end: &mut ArmourEnd) -> Option<usize> {
    let label_at = at + "-----BEGIN ".len();
    let window = bytes.get(label_at..bytes.len().min(label_at + LABEL_MAX + 5))?;
    let label = window.get(..memchr::memmem::find(window, b"-----")?)?;
    memchr::memmem::find(label, b"PRIVATE KEY")?;
    if armour_end.at < label_at {
        *armour_end = ArmourEnd::behind(bytes, label_at);
    }
    Some(armour_end.end)
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
