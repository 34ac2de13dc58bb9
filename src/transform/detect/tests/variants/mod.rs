//! Values made from the definitions of their types, in many spellings and surroundings, and values
//! that only look alike: an adversary of the detectors that knows none of the labelled rows.
//!
//! Seeded, so that a failure can be seen again. Each kind has its own floor, and the failing
//! texts are shown; `personal` makes what has to go, `harmless` what has to stay.

mod dice;
mod frames;
mod harmless;
mod numbers;
mod people;
mod personal;
mod said;
mod secrets;
mod sums;

use super::*;
use dice::Dice;

/// Texts of each kind; a kind with more spellings than that is seen in part.
const ROUNDS: usize = 400;
/// Failures that are shown of each kind.
const SHOWN: usize = 6;

/// Some values of every type that is found by itself, with the type's name.
pub(in crate::transform) fn samples(seed: u64, each: usize) -> Vec<(&'static str, String)> {
    let mut dice = Dice::new(seed);
    let alone = personal::KINDS.iter().filter(|kind| std::ptr::eq(kind.frames, frames::ANY));
    let many = alone.flat_map(|kind| std::iter::repeat_n(kind, each));
    many.map(|kind| (kind.name, (kind.make)(&mut dice))).collect()
}

/// What a text must not hold afterwards, and what it must.
struct Case {
    before: String,
    value: String,
    after: String,
}

fn all() -> Set {
    Set::of(&Detector::ALL).without(Set::of(&[
        Detector::DeviceOwner,
        Detector::Opaque,
        Detector::UserFile,
    ]))
}

fn cleaned(finder: &mut Finder, text: &str) -> String {
    cleaned_of(all(), finder, text)
}

/// What went wrong with the texts of one kind.
#[derive(Default)]
struct Tally {
    leaked: Vec<String>,
    overdone: Vec<String>,
}

impl Tally {
    fn judge(&mut self, case: &Case, out: &str) {
        let text = format!("{}{}{}", case.before, case.value, case.after);
        if out.contains(&case.value) {
            self.leaked.push(format!("{text:?}"));
        } else if !(out.starts_with(&case.before) && out.ends_with(&case.after)) {
            self.overdone.push(format!("{text:?} -> {out:?}"));
        }
    }

    fn fault(&self, kind: &str) -> Option<String> {
        // One in a hundred may leak, and as many may take a neighbour with them: what is
        // ambiguous by its definition, such as a digit behind a number.
        let allowed = ROUNDS / 100;
        let shown =
            |list: &[String]| list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n    ");
        (self.leaked.len() > allowed || self.overdone.len() > allowed).then(|| {
            format!(
                "{kind}: {} of {ROUNDS} leaked, {} cut too much\n    {}\n    {}",
                self.leaked.len(),
                self.overdone.len(),
                shown(&self.leaked),
                shown(&self.overdone)
            )
        })
    }
}

#[test]
fn what_is_personal_goes_in_every_spelling() {
    let mut finder = Finder::default();
    let mut faults = Vec::new();
    for (number, kind) in personal::KINDS.iter().enumerate() {
        let mut dice = Dice::new(number as u64 + 1);
        let mut tally = Tally::default();
        for _ in 0..ROUNDS {
            let value = (kind.make)(&mut dice);
            let (before, after) = frames::around(&mut dice, kind.frames);
            let case = Case { before, value, after };
            let text = format!("{}{}{}", case.before, case.value, case.after);
            tally.judge(&case, &cleaned(&mut finder, &text));
        }
        faults.extend(tally.fault(kind.name));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_is_personal_goes_in_whole_sentences() {
    let mut finder = Finder::default();
    let mut faults = Vec::new();
    for (number, (name, make, sentences)) in said::SAID.iter().enumerate() {
        let mut dice = Dice::new(number as u64 + 3_001);
        for sentence in *sentences {
            let mut tally = Tally::default();
            for _ in 0..ROUNDS / 4 {
                let (before, after) = sentence.split_once("{}").unwrap();
                let value = make(&mut dice);
                let case = Case { before: before.to_owned(), value, after: after.to_owned() };
                let text = format!("{before}{}{after}", case.value);
                tally.judge(&case, &cleaned(&mut finder, &text));
            }
            faults.extend(tally.fault(&format!("{name}, {sentence:?}")));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_is_personal_goes_in_queries_too() {
    let mut finder = Finder::default();
    let mut faults = Vec::new();
    for (number, kind) in personal::KINDS.iter().enumerate() {
        let mut dice = Dice::new(number as u64 + 1_001);
        let mut tally = Tally::default();
        for _ in 0..ROUNDS {
            let plain = (kind.make)(&mut dice);
            let (before, after) = kind.query;
            let value = frames::encoded(&mut dice, &plain);
            let before = format!("https://shop.example.com/a/b?page=2&{before}");
            let case = Case { before, value, after: format!("{after}&lang=de") };
            let text = format!("{}{}{}", case.before, case.value, case.after);
            let out = cleaned(&mut finder, &text);
            tally.judge(&case, &out);
        }
        faults.extend(tally.fault(kind.name));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_is_personal_goes_in_typesetting_too() {
    let mut finder = Finder::default();
    let mut faults = Vec::new();
    // Base 64 and paths have no other spelling.
    let spoken = personal::KINDS.iter().take(10);
    for (number, kind) in spoken.enumerate() {
        let mut dice = Dice::new(number as u64 + 3_001);
        let mut tally = Tally::default();
        for _ in 0..ROUNDS {
            let plain = (kind.make)(&mut dice);
            let value = frames::typeset(&mut dice, &plain);
            let (before, after) = frames::around(&mut dice, kind.frames);
            let case = Case { before, value, after };
            let text = format!("{}{}{}", case.before, case.value, case.after);
            tally.judge(&case, &cleaned(&mut finder, &text));
        }
        faults.extend(tally.fault(kind.name));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_only_looks_alike_stays() {
    let mut finder = Finder::default();
    let mut faults = Vec::new();
    for (number, (name, make)) in harmless::KINDS.iter().enumerate() {
        let mut dice = Dice::new(number as u64 + 2_001);
        let mut tally = Tally::default();
        for _ in 0..ROUNDS {
            let text = make(&mut dice);
            let out = cleaned(&mut finder, &text);
            if out != text {
                tally.overdone.push(format!("{text:?} -> {out:?}"));
            }
        }
        faults.extend(tally.fault(name));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
