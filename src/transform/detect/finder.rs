//! One text: what is harmless at sight, what was seen before, and else every reading of it that the
//! detectors are to scan.

use std::cmp::Reverse;

use super::class::{self, AT, COLON, DIGIT, EQUALS, HIGH, OTHER, PERCENT, PLUS, SLASH, UPPER};
use super::percent::Decoded;
use super::scan::{NUMBER_MIN, Scan, TOKEN_MIN};
use super::seen::Seen;
use super::{Detector, Found, Set, shape};

/// No text shorter than this holds anything that a detector finds.
const SHORTEST: usize = 5;

/// Texts from this length on are looked for among those seen before anything else. Shorter ones may
/// be ids, hashes or times, which never get there.
const SEEN_FIRST: usize = 65;

/// Runs the detectors over texts; keeps its buffers.
#[derive(Default)]
pub struct Finder {
    found: Vec<Found>,
    decoded: Decoded,
    seen: Seen,
    /// The last text was no harmless one.
    searched: bool,
}

impl std::fmt::Debug for Finder {
    /// Shows a count only: the buffers may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder").field("found", &self.found.len()).finish_non_exhaustive()
    }
}

impl Finder {
    /// Where `text` holds what `want` looks for, in order and without overlaps.
    #[inline]
    pub fn find(&mut self, text: &str, want: Set) -> &[Found] {
        self.found.clear();
        let candidate = candidate(text.as_bytes(), want);
        self.searched = candidate.is_some();
        if let Some(classes) = candidate {
            self.search(text, want, classes);
        }
        &self.found
    }

    /// How many texts are remembered.
    #[cfg(test)]
    pub(in crate::transform) fn remembered(&self) -> usize {
        self.seen.count()
    }

    /// As [`Finder::find`], without the sieve.
    #[cfg(test)]
    pub(super) fn find_all(&mut self, text: &str, want: Set) -> &[Found] {
        self.found.clear();
        self.search(text, want, class::of_all(text.as_bytes()));
        &self.found
    }

    /// Remembers `text`, in which the last [`Finder::find`] found nothing of `want`. Only for a
    /// value that stays as it is: one that is hidden as a whole must not be kept here either.
    pub(in crate::transform) fn remember(&mut self, text: &str, want: Set) {
        if self.searched && self.found.is_empty() {
            self.seen.note(text.as_bytes(), want);
        }
    }

    /// True if `text`, a value that stays as it is if so, holds nothing of `want`. Remembers it as
    /// [`Finder::remember`] does.
    #[inline]
    pub(in crate::transform) fn is_clean(&mut self, text: &str, want: Set) -> bool {
        let bytes = text.as_bytes();
        // The longer a text, the less a look at what was seen costs of what it may save.
        if bytes.len() >= SEEN_FIRST && self.seen.has(bytes, want) {
            return true;
        }
        let Some(classes) = candidate(bytes, want) else { return true };
        if bytes.len() < SEEN_FIRST && self.seen.has(bytes, want) {
            return true;
        }
        self.found.clear();
        self.search(text, want, classes);
        let clean = self.found.is_empty();
        if clean {
            self.seen.note(bytes, want);
        }
        clean
    }

    /// What the last [`Finder::find`] found.
    #[must_use]
    pub fn last(&self) -> &[Found] {
        &self.found
    }

    fn search(&mut self, text: &str, want: Set, classes: u16) {
        Scan::new(text, want, &mut self.found).run(classes);
        let decoded = classes & PERCENT != 0 && self.decoded.decode(text);
        if decoded {
            let classes = self.search_decoded(want, true);
            if classes & HIGH != 0 && self.decoded.fold_decoded() {
                self.search_decoded(want, true);
            }
        }
        if classes & PLUS != 0 && (decoded || classes & EQUALS != 0) {
            if !decoded {
                self.decoded.load(text);
            }
            if self.decoded.read_plus_as_blank() {
                self.search_decoded(want, true);
            }
        }
        let escapes = || classes & SLASH != 0 && memchr::memchr(b'\\', text.as_bytes()).is_some();
        if (classes & HIGH != 0 || escapes()) && self.decoded.fold(text) {
            self.search_decoded(want, false);
        }
        self.resolve();
    }

    /// Looks at what was decoded; the answer is its classes.
    fn search_decoded(&mut self, want: Set, percent: bool) -> u16 {
        let first = self.found.len();
        let text = self.decoded.text();
        let classes = class::of_all(text.as_bytes());
        Scan::new(text, want, &mut self.found).run(classes);
        for found in self.found.iter_mut().skip(first) {
            let (start, end, encoded) = self.decoded.original(found.start, found.end);
            *found = Found { start, end, what: found.what, encoded: encoded && percent };
        }
        classes
    }

    /// Puts what was found in order and makes one of what overlaps: the earlier one, reaching as
    /// far as both do, so that nothing found by either is left.
    fn resolve(&mut self) {
        if self.found.len() < 2 {
            return;
        }
        self.found.sort_unstable_by_key(|one| (one.start, Reverse(one.end), one.what));
        let mut last = 0;
        for at in 1..self.found.len() {
            let one = self.found[at];
            let kept = &mut self.found[last];
            if one.start >= kept.end {
                last += 1;
                self.found[last] = one;
                continue;
            }
            // `pass@host` in `https://user:pass@host/` is no address, and `https://x-access-token:...@`
            // ends its secret: the host may stay.
            let host = kept.what == Detector::Credentials
                && matches!(one.what, Detector::Email | Detector::Secret);
            if !host {
                kept.end = kept.end.max(one.end);
            }
            kept.encoded |= one.encoded;
        }
        self.found.truncate(last + 1);
    }
}

/// The classes of a text that something may be found in.
#[inline]
fn candidate(bytes: &[u8], want: Set) -> Option<u16> {
    // The unspecified address is the most frequent candidate of all in SDK traffic.
    if bytes.len() < SHORTEST || want.is_empty() || bytes == b"0.0.0.0" {
        return None;
    }
    if shape::is_usual(bytes) {
        return None;
    }
    let classes = class::of_all(bytes);
    let may = may_hold(bytes.len(), classes, want) && !shape::is_harmless(bytes, classes);
    may.then_some(classes)
}

/// The first sieve, by length and classes alone: two thirds of the strings of real events stop here.
#[inline]
const fn may_hold(length: usize, classes: u16, want: Set) -> bool {
    // Characters beyond ASCII may be plain ones in disguise.
    const SIGNS: u16 = AT | COLON | EQUALS | PERCENT | SLASH | HIGH;
    if classes & SIGNS != 0 || want.any(BARE) {
        return true;
    }
    if classes == DIGIT {
        // All other numbers have words, separators or signs around or in them.
        return LONE_NUMBER_MIN <= length && length <= LONE_NUMBER_MAX;
    }
    if classes & DIGIT != 0 {
        return length >= NUMBER_MIN;
    }
    classes & UPPER != 0 && (length >= TOKEN_MIN || classes & OTHER != 0 && length >= NUMBER_MIN)
}

/// Digits of the shortest card and the longest.
const LONE_NUMBER_MIN: usize = 13;
const LONE_NUMBER_MAX: usize = 19;
/// Detectors that find something in texts of nothing but letters.
const BARE: Set = Set::of(&[Detector::DeviceOwner, Detector::Opaque]);
