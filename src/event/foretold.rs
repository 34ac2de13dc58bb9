//! Which key comes next: events of a site have their members in the same order, so nearly all keys
//! are read by comparing their bytes with those of the one that is expected.

use super::keys::KeyId;
use super::simd;

/// Longest text of an expected key; the longest that SDKs send have 24 letters.
const TEXT_BYTES: usize = 32;
/// Places for them; an event of an SDK takes some fifty, and most are the same in all its events.
const PLACES: usize = 1_024;

/// By [`Last`]: the key that came behind those two before.
#[derive(Debug, Default)]
pub(super) struct Foretold(Vec<Follow>);

/// A key as it was spelled, with its quotes and its colon.
#[derive(Clone, Copy, Debug)]
struct Follow {
    text: [u8; TEXT_BYTES],
    /// A bit for each byte of `text` that counts.
    mask: u32,
    id: KeyId,
    bytes: u8,
}

/// The two keys that were read last, by which the next one is foretold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    before: u32,
    place: u32,
}

impl Last {
    #[inline]
    pub(super) const fn push(&mut self, id: KeyId) {
        const MIX: u32 = 0x9E37_79B1;
        // As in a Fibonacci hash; what two pairs share, they take from each other.
        self.place = (self.before ^ id.0).wrapping_mul(MIX) >> (u32::BITS - PLACES.ilog2());
        self.before = id.0.wrapping_mul(MIX);
    }
}

impl Follow {
    /// What is behind no key: no text has such bytes.
    const NONE: Self = Self { text: [0xff; TEXT_BYTES], mask: u32::MAX, id: KeyId::NONE, bytes: 0 };
}

impl Foretold {
    /// The key at `at` and where it ends, if it is the one that came behind `last` before.
    #[inline]
    pub(super) fn key(&self, last: Last, bytes: &[u8], at: usize) -> Option<(KeyId, usize)> {
        let follow = self.0.get(last.place as usize)?;
        let block = bytes.get(at..)?.first_chunk()?;
        let same = simd::unequal(block, &follow.text) & follow.mask == 0;
        same.then_some((follow.id, at + usize::from(follow.bytes)))
    }

    /// Notes that behind `last` came the key `id`, which is `text` with its quotes and its colon; one
    /// that is too long is not expected.
    #[cold]
    pub(super) fn note(&mut self, last: Last, id: KeyId, text: &[u8]) {
        let Some(bytes) = u8::try_from(text.len()).ok().filter(|_| text.len() <= TEXT_BYTES) else {
            return;
        };
        if self.0.is_empty() {
            self.0 = vec![Follow::NONE; PLACES];
        }
        let Some(follow) = self.0.get_mut(last.place as usize) else { return };
        let Some(place) = follow.text.get_mut(..text.len()) else { return };
        place.copy_from_slice(text);
        follow.mask = u32::MAX >> (TEXT_BYTES - text.len());
        (follow.id, follow.bytes) = (id, bytes);
    }

    /// Forgets all, since the ids are void.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parser;
    use super::super::tests::told;

    /// Letters of the longest key that is expected.
    const FOLLOWED: usize = super::TEXT_BYTES - 3;

    #[test]
    fn keys_that_are_expected_are_read_like_all_others() {
        let bodies = [
            r#"{"a":1,"b":{"c":2,"d":3},"e":4}"#.to_owned(),
            r#"{"a":1,"b":{"c":2,"d":3},"e":4}"#.to_owned(),
            r#"{"a":1,"b" :{"c":2,"d": 3}, "e":4}"#.to_owned(),
            r#"{"a":1,"bb":{"c":2,"d":3},"e":4}"#.to_owned(),
            r#"{"a":1,"b\u0000":{"c":2,"\u0064":3},"e":4}"#.to_owned(),
            r#"{"a":1,"b":{"c":2,"c":3},"a":4}"#.to_owned(),
            format!(r#"{{"a":1,"{}":2,"b":3}}"#, "k".repeat(40)),
            format!(r#"{{"a":1,"{}":2,"b":3}}"#, "k".repeat(FOLLOWED)),
            format!(r#"{{"a":1,"{}":2,"b":3}}"#, "k".repeat(FOLLOWED + 1)),
            r#"{"a":1,"b"}"#.to_owned(),
            r#"{"a":1,"b""#.to_owned(),
            r#"{"a":1,"b":"#.to_owned(),
        ];
        let mut parser = Parser::new();
        for body in bodies.iter().chain(&bodies).chain(bodies.iter().rev()) {
            // With and without room for more behind it.
            for body in [format!("[{body},{body}{}]", " ".repeat(40)), body.clone()] {
                assert_eq!(told(&mut parser, &body), told(&mut Parser::new(), &body), "{body}");
            }
        }
    }

    #[test]
    fn keys_that_are_forgotten_are_not_expected() {
        let mut parser = Parser::new();
        let told_as_ever = |parser: &mut Parser, body: &str| {
            // Keys at the very end of a body are not expected.
            let body = &format!("{body}{}", " ".repeat(40));
            assert_eq!(told(parser, body), told(&mut Parser::new(), body), "{body}");
        };
        told_as_ever(&mut parser, r#"{"a":1,"b":1,"c":1}"#);
        // More keys than are kept, and too long to be expected, so that the others still are.
        let flood: Vec<String> = (0..17_000).map(|n| format!(r#""{n:040}":1"#)).collect();
        told_as_ever(&mut parser, &format!("{{{}}}", flood.join(",")));
        // Now `x` has the number that `b` had, and `b` that of `c`.
        for body in [r#"{"a":1}"#, r#"{"x":1,"b":1}"#, r#"{"a":1,"x":1,"c":1}"#] {
            told_as_ever(&mut parser, body);
        }
    }
}
