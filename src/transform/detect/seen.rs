//! Texts that the detectors found nothing in, so that the next event with the same user agent, time
//! zone or page is not searched again.
//!
//! A text counts as seen only where all of its bytes and all that was looked for are the same, so
//! the answer is what a search would give. Bounded: each text has one place, and takes it from the
//! one before. `transform::clean` says which texts may be kept at all.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::Set;

/// Places. A site's pages, its users' browsers and time zones: the reference traffic has 200.
const PLACES: usize = 512;
/// Longest text kept; user agents and most URLs are shorter.
const TEXT_BYTES_MAX: usize = 208;

#[derive(Clone, Copy)]
struct Place {
    want: Set,
    bytes: u8,
    text: [u8; TEXT_BYTES_MAX],
}

/// The texts of one worker.
#[derive(Default)]
pub(super) struct Seen {
    hasher: RandomState,
    /// Empty until there is a first text.
    places: Vec<Place>,
}

impl Seen {
    /// True if a search of `text` for `want` found nothing before.
    #[inline]
    pub(super) fn has(&self, text: &[u8], want: Set) -> bool {
        if text.len() > TEXT_BYTES_MAX || self.places.is_empty() {
            return false;
        }
        let place = &self.places[self.at(text)];
        place.want == want && place.text.get(..usize::from(place.bytes)) == Some(text)
    }

    /// Remembers that a search of `text` for `want` found nothing.
    pub(super) fn note(&mut self, text: &[u8], want: Set) {
        let Some(bytes) = u8::try_from(text.len()).ok().filter(|_| text.len() <= TEXT_BYTES_MAX)
        else {
            return;
        };
        if self.places.is_empty() {
            let none = Place { want: Set::NONE, bytes: 0, text: [0; TEXT_BYTES_MAX] };
            self.places.resize(PLACES, none);
        }
        let at = self.at(text);
        let place = &mut self.places[at];
        (place.want, place.bytes) = (want, bytes);
        place.text[..text.len()].copy_from_slice(text);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.places.iter().filter(|place| !place.want.is_empty()).count()
    }

    #[inline]
    fn at(&self, text: &[u8]) -> usize {
        usize::try_from(self.hasher.hash_one(text)).unwrap_or_default() % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::super::Detector;
    use super::*;

    const MAIL: Set = Set::of(&[Detector::Email]);
    const PHONE: Set = Set::of(&[Detector::Phone]);

    #[test]
    fn only_the_same_bytes_searched_for_the_same_are_seen() {
        let mut seen = Seen::default();
        assert!(!seen.has(b"Europe/Berlin", MAIL), "nothing was noted yet");
        seen.note(b"Europe/Berlin", MAIL);
        assert!(seen.has(b"Europe/Berlin", MAIL));
        assert!(!seen.has(b"Europe/Berlin", PHONE));
        assert!(!seen.has(b"Europe/Berlin", MAIL.with(PHONE)));
        for other in [&b"Europe/Berli"[..], b"Europe/Berlin ", b"Europe/Berlim", b""] {
            assert!(!seen.has(other, MAIL), "{other:?}");
        }
    }

    #[test]
    fn a_text_takes_the_place_of_another_and_long_ones_get_none() {
        let mut seen = Seen::default();
        let texts: Vec<String> = (0..10 * PLACES).map(|n| format!("/page/{n}")).collect();
        for text in &texts {
            seen.note(text.as_bytes(), MAIL);
            assert!(seen.has(text.as_bytes(), MAIL));
        }
        let kept = texts.iter().filter(|text| seen.has(text.as_bytes(), MAIL)).count();
        assert!((1..=PLACES).contains(&kept), "{kept}");
        assert_eq!(seen.places.len(), PLACES);
        for (length, fits) in [(TEXT_BYTES_MAX, true), (TEXT_BYTES_MAX + 1, false), (300, false)] {
            let text = vec![b'a'; length];
            seen.note(&text, MAIL);
            assert_eq!(seen.has(&text, MAIL), fits, "{length}");
        }
    }
}
