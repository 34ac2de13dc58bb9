//! Personal values in shapes that can be told by their form or their key. Each has a core that is
//! random and long, so that finding the core anywhere means that this value leaked. Letters and
//! digits are never mixed in a core: names of tables and columns are split where they meet.

use serde::Serialize;

use crate::rng::Rng;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An e-mail address.
    Email,
    /// A phone number in international form.
    Phone,
    /// A payment card's number.
    Card,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A vendor's access token.
    Token,
    /// A JSON web token.
    Jwt,
    /// A bank account's number.
    Iban,
    /// Anything under a key that names a secret.
    Secret,
    /// A person's name under a key that says so.
    Name,
}

/// Kinds that are told by their form, wherever they stand.
pub(crate) const BY_FORM: [Kind; 8] = [
    Kind::Email,
    Kind::Phone,
    Kind::Card,
    Kind::Ipv4,
    Kind::Token,
    Kind::Iban,
    Kind::Jwt,
    Kind::Ipv6,
];

/// Kinds that a product looks for in identifiers; number detectors would hit every tenth user id.
pub(crate) const IN_IDS: [Kind; 5] = [Kind::Email, Kind::Phone, Kind::Ipv4, Kind::Token, Kind::Jwt];

/// Kinds that stay whole when a user agent or a version is protected from number detectors.
pub(crate) const IN_VERSIONS: [Kind; 3] = [Kind::Email, Kind::Token, Kind::Jwt];

/// Kinds that are put into keys and event names.
pub(crate) const IN_NAMES: [Kind; 4] = [Kind::Email, Kind::Phone, Kind::Token, Kind::Card];

/// One value and what to look for.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    /// What it is.
    pub(crate) kind: Kind,
    /// The value as a client sends it.
    pub(crate) text: String,
    /// Texts that give it away, in any letter case.
    pub(crate) needles: Vec<String>,
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789abcdef";

impl Canary {
    /// A new value of `kind`.
    pub(crate) fn new(kind: Kind, rng: &mut Rng) -> Self {
        let (text, needles) = match kind {
            Kind::Email => {
                let core = rng.text(LOWER, 14);
                (format!("{core}@canary-mail.com"), vec![core])
            }
            Kind::Phone => {
                // German mobile numbers: 49 15x and eight digits more.
                let core = format!("15{}", rng.text(DIGITS, 9));
                let spaced = grouped(&core, 3, " ");
                (format!("+49{core}"), vec![core, spaced])
            }
            Kind::Card => {
                let core = luhn(&format!("4{}", rng.text(DIGITS, 14)));
                let needles = vec![grouped(&core, 4, " "), grouped(&core, 4, "-"), core.clone()];
                (core, needles)
            }
            Kind::Ipv4 => {
                // 11 to 99 in front: public in nearly all of it, never private or loopback.
                let octet = |rng: &mut Rng| rng.between(101, 254);
                let first = rng.between(71, 95);
                let [b, c, d] = [octet(rng), octet(rng), octet(rng)];
                let join = |sep: &str| format!("{first}{sep}{b}{sep}{c}{sep}{d}");
                (join("."), vec![join("."), join("_"), join("-")])
            }
            Kind::Ipv6 => {
                let groups: Vec<String> =
                    (0..7).map(|_| format!("{:x}", rng.between(0x1111, 0xFFFE))).collect();
                let core = groups.join(":");
                (format!("2a02:{core}"), vec![core])
            }
            Kind::Token => token(rng),
            Kind::Jwt => {
                let (payload, signature) = (rng.text(LOWER, 30), rng.text(LOWER, 43));
                let text = format!("eyJhbGciOiJIUzI1NiJ9.eyJ{payload}.{signature}");
                (text, vec![payload, signature])
            }
            Kind::Iban => iban(&rng.text(DIGITS, 18)),
            Kind::Secret | Kind::Name => {
                let core = rng.text(LOWER, 14);
                (core.clone(), vec![core])
            }
        };
        Self { kind, text, needles }
    }
}

fn token(rng: &mut Rng) -> (String, Vec<String>) {
    let (prefix, core) = match rng.below(3) {
        0 => ("ghp_", rng.text(LOWER, 36)),
        1 => ("AKIA", rng.text(UPPER, 16)),
        _ => ("sk_live_", rng.text(LOWER, 24)),
    };
    (format!("{prefix}{core}"), vec![core])
}

/// `body` and its Luhn check digit (ISO/IEC 7812-1).
fn luhn(body: &str) -> String {
    let mut sum = 0;
    for (index, digit) in body.bytes().rev().enumerate() {
        let digit = u32::from(digit.saturating_sub(b'0'));
        let weighed = if index % 2 == 0 { digit * 2 } else { digit };
        sum += weighed / 10 + weighed % 10;
    }
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// A German account number with its check digits (ISO 13616: modulo 97).
fn iban(account: &str) -> (String, Vec<String>) {
    // D and E are 13 and 14, then two zeros in place of the check digits.
    let digits = format!("{account}131400");
    let rest = digits
        .bytes()
        .fold(0, |rest, digit| (rest * 10 + u32::from(digit.saturating_sub(b'0'))) % 97);
    let text = format!("DE{:02}{account}", 98 - rest);
    let spaced = grouped(&text, 4, " ");
    let needles = vec![account.to_owned(), spaced];
    (text, needles)
}

fn grouped(text: &str, size: usize, separator: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let groups: Vec<String> = chars.chunks(size).map(|group| group.iter().collect()).collect();
    groups.join(separator)
}

/// Random lower-case hex digits, for values that are nobody's.
pub(crate) fn harmless_id(rng: &mut Rng) -> String {
    rng.text(HEX, 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_right() {
        assert_eq!(luhn("411111111111111"), "4111111111111111");
        assert_eq!(iban("370400440532013000").0, "DE89370400440532013000");
    }

    #[test]
    fn every_value_holds_its_needle_and_no_two_are_alike() {
        let mut rng = Rng::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for kind in BY_FORM.into_iter().chain([Kind::Secret, Kind::Name]) {
            for _ in 0..200 {
                let canary = Canary::new(kind, &mut rng);
                let held = canary.needles.iter().any(|needle| canary.text.contains(needle));
                assert!(held, "{canary:?}");
                assert!(canary.needles.iter().all(|needle| needle.len() >= 11), "{canary:?}");
                assert!(seen.insert(canary.text));
            }
        }
    }
}
