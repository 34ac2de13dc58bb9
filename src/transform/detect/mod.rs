//! Detectors: where a text holds personal data or a secret.
//!
//! Each is written from the definition of its type (checksums, ranges, prefixes, context), over
//! ASCII bytes by hand. One pass finds which kinds of bytes there are; most texts stop there. They
//! know nothing of events, rules or actions; `transform::text` calls them.

mod birth;
mod class;
mod crypto;
mod email;
mod finder;
mod iban;
mod net;
mod number;
mod owner;
mod path;
mod percent;
mod phone;
mod scan;
mod secret;
mod seen;
mod shape;
mod spoken;
mod token;
mod words;

#[cfg(test)]
pub(super) mod tests;

pub use finder::Finder;
pub(super) use net::truncated_ip;
pub(super) use number::{JSON_NUMBER_MIN, json_number};
pub(super) use phone::is_e164;
pub(super) use shape::is_pseudonym;

/// A type of personal data or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Detector {
    /// An e-mail address.
    Email,
    /// A telephone number in international form, in the North American form, or with context.
    Phone,
    /// A payment card number: issuer range and Luhn.
    Card,
    /// An international bank account number: country, length and mod 97.
    Iban,
    /// A US social security number: issued ranges.
    Ssn,
    /// An IPv4 address; versions of four parts are not.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A hardware address.
    Mac,
    /// A mobile device's IMEI: reporting body and Luhn.
    Imei,
    /// A JSON Web Token.
    Jwt,
    /// A key or token that a vendor's prefix or `Bearer` marks.
    Token,
    /// A private key in PEM armour.
    Pem,
    /// The user and password of a URL.
    Credentials,
    /// The user's folder name in a path.
    UserPath,
    /// The same, but a text that may as well be the path of a page only where it leads to a file.
    UserFile,
    /// The value behind `password=`, `"token": ` and their like.
    Secret,
    /// A wallet address: checksums where the type has one.
    Crypto,
    /// A date with `born`, `dob` and their like before it.
    BirthDate,
    /// A person's name with context: before an address in brackets, after `my name is`.
    Name,
    /// The owner in a device's name, as in `Anna's iPhone`.
    DeviceOwner,
    /// A whole value that looks random. For rules that say where such a value is a secret.
    Opaque,
}

impl Detector {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Ssn,
        Self::Ipv4,
        Self::Ipv6,
        Self::Mac,
        Self::Imei,
        Self::Jwt,
        Self::Token,
        Self::Pem,
        Self::Credentials,
        Self::UserPath,
        Self::UserFile,
        Self::Secret,
        Self::Crypto,
        Self::BirthDate,
        Self::Name,
        Self::DeviceOwner,
        Self::Opaque,
    ];

    /// Its name in a rule.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mac => "mac",
            Self::Imei => "imei",
            Self::Jwt => "jwt",
            Self::Token => "token",
            Self::Pem => "pem",
            Self::Credentials => "credentials",
            Self::UserPath => "user_path",
            Self::UserFile => "user_file",
            Self::Secret => "secret",
            Self::Crypto => "crypto",
            Self::BirthDate => "birth_date",
            Self::Name => "name",
            Self::DeviceOwner => "device_owner",
            Self::Opaque => "opaque",
        }
    }

    /// What `redact` leaves in its place.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Email => "[email]",
            Self::Phone => "[phone]",
            Self::Card => "[card]",
            Self::Iban => "[iban]",
            Self::Ssn => "[ssn]",
            Self::Ipv4 | Self::Ipv6 => "[ip]",
            Self::Mac => "[mac]",
            Self::Imei => "[imei]",
            Self::Jwt | Self::Token => "[token]",
            Self::Pem => "[key]",
            Self::Credentials => "[credentials]",
            Self::UserPath | Self::UserFile => "[user]",
            Self::Secret | Self::Opaque => "[secret]",
            Self::Crypto => "[wallet]",
            Self::BirthDate => "[birth_date]",
            Self::Name | Self::DeviceOwner => "[name]",
        }
    }

    /// The detectors that `name` stands for in a rule; `ip` is both kinds of address.
    #[must_use]
    pub fn named(name: &str) -> Option<Set> {
        if name == "ip" {
            return Some(Set::of(&[Self::Ipv4, Self::Ipv6]));
        }
        Self::ALL.into_iter().find(|one| one.name() == name).map(|one| Set::of(&[one]))
    }
}

/// A set of detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set(u32);

impl Set {
    /// No detector.
    pub const NONE: Self = Self(0);

    /// The set of the detectors listed.
    #[must_use]
    pub const fn of(list: &[Detector]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < list.len() {
            bits |= 1 << list[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// True if `one` is in it.
    #[must_use]
    pub const fn has(self, one: Detector) -> bool {
        self.0 & (1 << one as u32) != 0
    }

    /// True if nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True if any of `other` is in it.
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Its detectors.
    pub fn iter(self) -> impl Iterator<Item = Detector> {
        Detector::ALL.into_iter().filter(move |&one| self.has(one))
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Offset of its first byte.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
    /// What it is.
    pub what: Detector,
    /// It stood there percent-encoded, so its replacement is to be as well.
    pub encoded: bool,
}
