//! All detectors over any text: no panic, places in order, none cuts a character.

#![no_main]

use keelrow::transform::detect::{Detector, Finder, Set};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut finder = Finder::default();
    let mut end = 0;
    for one in finder.find(text, Set::of(&Detector::ALL)) {
        assert!(one.start >= end && one.end > one.start);
        assert!(text.get(one.start..one.end).is_some());
        end = one.end;
    }
});
