//! Keyed pseudonyms: the same value always becomes the same token, and only the key's holder could
//! find out which value it was.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::PRIVACY_KEY_BYTES_MIN as KEY_BYTES_MIN;

/// What the fingerprint is taken of. Starts with NUL, which no value that is hashed contains.
const FINGERPRINT: &[u8] = b"\0keelrow privacy key";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The secret key is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the privacy key has {bytes} bytes, fewer than {KEY_BYTES_MIN}")]
pub struct KeyTooShort {
    /// How many it has.
    pub bytes: usize,
}

/// HMAC-SHA-256 with a secret key, written `h<key id>_<32 hexadecimal digits>`.
#[derive(Clone)]
pub struct Pseudonyms {
    keyed: Hmac<Sha256>,
    mark: Mark,
}

/// Where it is the same, all pseudonyms are, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    key_id: u32,
    /// Of [`FINGERPRINT`].
    digest: [u8; 16],
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pseudonyms").field("key_id", &self.mark.key_id).finish_non_exhaustive()
    }
}

impl Pseudonyms {
    /// Pseudonyms under `key`, which hashes name `key_id`.
    ///
    /// # Errors
    /// [`KeyTooShort`] if the key has fewer than 16 bytes.
    pub fn new(key: &[u8], key_id: u32) -> Result<Self, KeyTooShort> {
        let short = KeyTooShort { bytes: key.len() };
        if key.len() < KEY_BYTES_MIN {
            return Err(short);
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| short)?;
        let mut pseudonyms = Self { keyed, mark: Mark { key_id, digest: [0; 16] } };
        pseudonyms.mark.digest = pseudonyms.digest(FINGERPRINT);
        Ok(pseudonyms)
    }

    /// What tells these from others.
    pub(super) const fn mark(&self) -> Mark {
        self.mark
    }

    /// The id that the hashes carry.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.mark.key_id
    }

    /// 32 hexadecimal digits that tell whether two nodes have the same key, and nothing else.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut out = String::with_capacity(32);
        write_hex(&self.mark.digest, &mut out);
        out
    }

    /// The first half of the HMAC of `value`.
    pub(super) fn digest(&self, value: &[u8]) -> [u8; 16] {
        let mut keyed = self.keyed.clone();
        keyed.update(value);
        let whole: [u8; 32] = keyed.finalize().into_bytes().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }

    /// Appends the pseudonym of `value`.
    pub fn write(&self, value: &str, out: &mut String) {
        let mut id = itoa::Buffer::new();
        out.push('h');
        out.push_str(id.format(self.mark.key_id));
        out.push('_');
        write_hex(&self.digest(value.as_bytes()), out);
    }

    /// The pseudonym of `value`.
    #[must_use]
    pub fn of(&self, value: &str) -> String {
        let mut out = String::with_capacity(40);
        self.write(value, &mut out);
        out
    }
}

fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_stable_keyed_and_marked_with_the_key() {
        let key = [7; 32];
        let one = Pseudonyms::new(&key, 1).unwrap();
        assert_eq!(one.of("a@b.de"), one.of("a@b.de"));
        assert!(one.of("a@b.de").starts_with("h1_"));
        assert_eq!(one.of("a@b.de").len(), 35);
        let other = Pseudonyms::new(&[8; 32], 2).unwrap();
        assert_ne!(one.of("x").get(3..), other.of("x").get(3..));
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint(), Pseudonyms::new(&key, 9).unwrap().fingerprint());
        assert_eq!(Pseudonyms::new(b"short", 1).unwrap_err(), KeyTooShort { bytes: 5 });
        assert!(!format!("{one:?}").contains('7'));
    }

    #[test]
    fn agrees_with_rfc_4231() {
        // Test case 1.
        let rfc = Pseudonyms::new(&[0x0B; 20], 1).unwrap();
        assert_eq!(rfc.of("Hi There"), "h1_b0344c61d8db38535ca8afceaf0bf12b");
    }
}
