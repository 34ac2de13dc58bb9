//! One value and what a decision makes of it: the actions.

use std::collections::BTreeMap;

use super::detect::{
    Detector, Finder, Found, Set, is_e164, is_pseudonym, json_number, truncated_ip,
};
use super::pack::{Decision, Pack};
use super::pseudonym::Pseudonyms;
use super::scratch::rule_of;
use super::written::Action;

/// How often a text is looked at again after something was found in it.
const ROUNDS_MAX: usize = 8;

/// What stands in the place of a value where nothing else is said.
const REDACTED: &str = "[redacted]";

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays as it is.
    Same,
    /// It goes, with its key.
    Removed,
    /// It is the text in the output buffer now.
    Text,
}

/// Applies actions to values; the text that comes of it is left in `out`.
pub(super) struct Cleaner<'a> {
    pub(super) pack: &'a Pack,
    pub(super) pseudonyms: &'a Pseudonyms,
    pub(super) finder: &'a mut Finder,
    pub(super) out: &'a mut String,
    pub(super) hits: &'a mut Vec<u32>,
}

/// A place in a text and the rule that is to be applied there.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
    rule: u16,
    what: Option<Detector>,
    encoded: bool,
}

impl Cleaner<'_> {
    pub(super) fn hit(&mut self, rule: usize) {
        if let Some(hits) = self.hits.get_mut(rule) {
            *hits = hits.saturating_add(1);
        }
    }

    /// A string value.
    #[inline]
    pub(super) fn text(&mut self, text: &str, decision: &Decision) -> Outcome {
        if let Some(rule) = decision.whole {
            return self.whole_text(text, rule, decision);
        }
        if decision.patterns.is_empty() {
            return self.found_parts(text, decision);
        }
        let outcome = self.mixed_parts(text, decision);
        if outcome == Outcome::Text {
            let left = std::mem::take(self.out);
            if self.found_parts(&left, decision) == Outcome::Same {
                *self.out = left;
            }
        }
        outcome
    }

    fn whole_text(&mut self, text: &str, rule: u16, decision: &Decision) -> Outcome {
        if !decision.find.is_empty() {
            // An earlier rule for a part comes first where that part is all there is.
            let covers = |one: &&Found| one.start == 0 && one.end == text.len();
            let all = self.finder.find(text, decision.find).first().filter(covers).copied();
            if all.is_some() {
                return self.found_parts(text, decision);
            }
        }
        self.whole(text, usize::from(rule))
    }

    /// A value that a rule takes as a whole.
    pub(super) fn whole(&mut self, text: &str, rule: usize) -> Outcome {
        let pack = self.pack;
        let Some(written) = pack.rules.get(rule) else { return Outcome::Same };
        // Whoever wraps a password in brackets has not hidden it.
        let secret = || written.with.as_deref() == Some(Detector::Secret.placeholder());
        if written.action != Action::Remove && is_done(text) && !(secret() && self.is_foreign(text))
        {
            return Outcome::Same;
        }
        self.out.clear();
        match &written.action {
            Action::Keep => return Outcome::Same,
            Action::Remove => {
                self.hit(rule);
                return Outcome::Removed;
            }
            Action::Redact(_) => self.out.push_str(written.with.as_deref().unwrap_or(REDACTED)),
            Action::Mask(keep) => mask(text, *keep, self.out),
            Action::Hash => self.pseudonyms.write(text, self.out),
            Action::Truncate => {
                if !truncate(text, self.out) {
                    self.out.push_str(written.with.as_deref().unwrap_or(REDACTED));
                }
            }
        }
        if self.out == text {
            return Outcome::Same;
        }
        self.hit(rule);
        Outcome::Text
    }

    /// True for what stands in brackets and is no placeholder of a detector or of this pack.
    fn is_foreign(&self, text: &str) -> bool {
        let known = |one: &str| one == text;
        text.starts_with('[')
            && text != REDACTED
            && !Detector::ALL.iter().any(|one| known(one.placeholder()))
            && !self.pack.rules.iter().any(|rule| rule.with.as_deref().is_some_and(known))
    }

    /// The way of most texts: detectors only, without a list of parts.
    #[inline]
    fn found_parts(&mut self, text: &str, decision: &Decision) -> Outcome {
        if self.finder.find(text, decision.find).is_empty() {
            self.finder.remember(text, decision.find);
            return Outcome::Same;
        }
        self.replace_parts(text, decision)
    }

    fn replace_parts(&mut self, text: &str, decision: &Decision) -> Outcome {
        if !self.replace_found(text, decision) {
            return Outcome::Same;
        }
        // What stood glued to a part that is gone now stands alone and may be found: look again,
        // so that a second run finds nothing. Each round leaves less; a few are enough.
        for _ in 0..ROUNDS_MAX {
            let before = std::mem::take(self.out);
            if !self.replace_found(&before, decision) {
                *self.out = before;
                break;
            }
        }
        if self.out == text { Outcome::Same } else { Outcome::Text }
    }

    /// Writes `text` with what is found in it replaced; false if it stays as it is.
    fn replace_found(&mut self, text: &str, decision: &Decision) -> bool {
        let count = self.finder.find(text, decision.find).len();
        if count == 0 {
            return false;
        }
        self.out.clear();
        let mut from = 0;
        for at in 0..count {
            let Some(&one) = self.finder.last().get(at) else { break };
            let rule = rule_of(decision, one.what);
            self.out.push_str(text.get(from..one.start).unwrap_or_default());
            let Found { start, end, what, encoded } = one;
            self.part(text, Part { start, end, rule, what: Some(what), encoded });
            from = end;
        }
        self.out.push_str(text.get(from..).unwrap_or_default());
        self.out != text
    }

    /// Detectors and expressions; where two overlap, the rule that is written first wins.
    fn mixed_parts(&mut self, text: &str, decision: &Decision) -> Outcome {
        let found = self.finder.find(text, decision.find).iter();
        let mut parts: Vec<Part> = found
            .map(|&Found { start, end, what, encoded }| Part {
                start,
                end,
                rule: rule_of(decision, what),
                what: Some(what),
                encoded,
            })
            .collect();
        for &rule in &decision.patterns {
            let pattern =
                self.pack.rules.get(usize::from(rule)).and_then(|one| one.pattern.as_ref());
            for captures in pattern.iter().flat_map(|pattern| pattern.captures_iter(text)) {
                let named = pattern.iter().flat_map(|p| p.capture_names()).flatten().next();
                let span = named.and_then(|name| captures.name(name)).or_else(|| captures.get(0));
                let Some(span) = span.filter(|span| !span.is_empty()) else { continue };
                let (start, end) = (span.start(), span.end());
                parts.push(Part { start, end, rule, what: None, encoded: false });
            }
        }
        self.write_parts(text, parts)
    }

    fn write_parts(&mut self, text: &str, mut parts: Vec<Part>) -> Outcome {
        parts.sort_by_key(|part| (part.rule, part.start));
        let mut kept: BTreeMap<usize, Part> = BTreeMap::new();
        for part in parts {
            // Those kept do not overlap, so that the last one that starts before the end tells.
            let before = kept.range(..part.end).next_back();
            if before.is_none_or(|(_, other)| other.end <= part.start) {
                kept.insert(part.start, part);
            }
        }
        self.out.clear();
        let mut from = 0;
        for &part in kept.values() {
            self.out.push_str(text.get(from..part.start).unwrap_or_default());
            self.part(text, part);
            from = part.end;
        }
        self.out.push_str(text.get(from..).unwrap_or_default());
        if self.out == text { Outcome::Same } else { Outcome::Text }
    }

    /// Appends what comes in the place of a part.
    fn part(&mut self, text: &str, part: Part) {
        let pack = self.pack;
        let Some(rule) = pack.rules.get(usize::from(part.rule)) else { return };
        let value = text.get(part.start..part.end).unwrap_or_default();
        let before = self.out.len();
        if part.encoded {
            let plain = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            let mut made = String::new();
            self.act(&rule.action, rule.with.as_deref(), part.what, &plain, &mut made);
            percent_encode(&made, self.out);
        } else {
            let mut out = std::mem::take(self.out);
            self.act(&rule.action, rule.with.as_deref(), part.what, value, &mut out);
            *self.out = out;
        }
        if self.out.get(before..) != Some(value) {
            self.hit(usize::from(part.rule));
        }
    }

    fn act(
        &self,
        action: &Action,
        with: Option<&str>,
        what: Option<Detector>,
        value: &str,
        out: &mut String,
    ) {
        let placeholder = with.or_else(|| what.map(Detector::placeholder)).unwrap_or(REDACTED);
        match action {
            Action::Keep => out.push_str(value),
            Action::Remove => {}
            Action::Redact(_) => out.push_str(placeholder),
            Action::Mask(keep) => mask(value, *keep, out),
            Action::Hash if is_pseudonym(value.as_bytes()) => out.push_str(value),
            Action::Hash => self.pseudonyms.write(value, out),
            Action::Truncate => {
                if !truncate(value, out) {
                    out.push_str(placeholder);
                }
            }
        }
    }

    /// An identity field: hashed whole when a personal value is found in it, or a rule takes it.
    pub(super) fn identity(&mut self, text: &str, decision: &Decision) -> Outcome {
        if text.is_empty() || is_pseudonym(text.as_bytes()) {
            return Outcome::Same;
        }
        let rule = match decision.whole {
            Some(rule) => rule,
            None => {
                let mut find = self.pack.identity.and(decision.find);
                if !text.trim_start().starts_with('+') {
                    find = find.without(Set::of(&[Detector::Phone]));
                }
                let found = self.finder.find(text, find).iter();
                let counts = |one: &&Found| one.what != Detector::Phone || is_e164(text.trim());
                let Some(one) = found.copied().find(|one| counts(&one)) else {
                    return Outcome::Same;
                };
                rule_of(decision, one.what)
            }
        };
        self.out.clear();
        self.pseudonyms.write(text, self.out);
        self.hit(usize::from(rule));
        Outcome::Text
    }

    /// A number, by its spelling. True in the answer: the output is a number again, not a string.
    pub(super) fn number(&mut self, spelled: &str, decision: &Decision) -> (Outcome, bool) {
        if let Some(rule) = decision.whole {
            let action = self.pack.rules.get(usize::from(rule)).map(|rule| &rule.action);
            if action == Some(&Action::Truncate) {
                return (self.coordinate(spelled, usize::from(rule)), true);
            }
            return (self.whole(spelled, usize::from(rule)), false);
        }
        if !decision.find.any(Set::of(&[Detector::Card, Detector::Imei])) {
            return (Outcome::Same, false);
        }
        let Some(what) = json_number(spelled).filter(|&what| decision.find.has(what)) else {
            return (Outcome::Same, false);
        };
        self.out.clear();
        let (start, end, rule) = (0, spelled.len(), rule_of(decision, what));
        self.part(spelled, Part { start, end, rule, what: Some(what), encoded: false });
        (if self.out == spelled { Outcome::Same } else { Outcome::Text }, false)
    }

    fn coordinate(&mut self, spelled: &str, rule: usize) -> Outcome {
        self.out.clear();
        if !one_decimal(spelled, self.out) {
            // `1e1`
            let degrees = spelled.parse().ok().filter(|degrees: &f64| degrees.abs() < 1_000.0);
            let cut = degrees.map_or(0.0, |degrees| (degrees * 10.0).trunc() / 10.0);
            self.out.push_str(&cut.to_string());
        }
        if self.out == spelled {
            return Outcome::Same;
        }
        self.hit(rule);
        Outcome::Text
    }
}

/// Nothing to hide: empty, or what hiding left before.
fn is_done(text: &str) -> bool {
    let placeholder = || {
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inside.is_some_and(|word| {
            (2..=24).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
        })
    };
    text.is_empty() || is_pseudonym(text.as_bytes()) || placeholder()
}

/// Letters and digits but the last `keep` become `*`.
fn mask(text: &str, keep: usize, out: &mut String) {
    let marks = text.chars().filter(|ch| ch.is_alphanumeric()).count();
    let mut left = marks.saturating_sub(keep);
    for ch in text.chars() {
        let hidden = ch.is_alphanumeric() && left > 0;
        left -= usize::from(hidden);
        out.push(if hidden { '*' } else { ch });
    }
}

/// Cuts an address to its network, a date to its year, a coordinate to one decimal; false if the
/// text is none of these.
fn truncate(text: &str, out: &mut String) -> bool {
    let trimmed = text.trim();
    if let Some(network) = truncated_ip(trimmed) {
        out.push_str(&network.to_string());
        return true;
    }
    if let Some(year) = year(trimmed) {
        out.push_str(year);
        return true;
    }
    one_decimal(trimmed, out)
}

/// The year of a date in figures, or of a year alone: four digits beside two groups of one or two.
fn year(text: &str) -> Option<&str> {
    let date = text.split(['T', ' ']).next()?;
    let figures = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let is_year = |group: &str| group.len() == 4 && group.starts_with(['1', '2']) && figures(group);
    if is_year(text) {
        return Some(text);
    }
    let groups: [&str; 3] = {
        let mut parts = date.split(['-', '/', '.']);
        let three = [parts.next()?, parts.next()?, parts.next()?];
        parts.next().is_none().then_some(three)?
    };
    let small = |group: &&str| (1..=2).contains(&group.len()) && figures(group);
    match groups {
        [year, a, b] | [a, b, year] if is_year(year) && small(&a) && small(&b) => Some(year),
        _ => None,
    }
}

/// `37.774929` becomes `37.7`; false if it is no plain decimal.
fn one_decimal(text: &str, out: &mut String) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let figures = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > 3 || !figures(digits) || !figures(fraction) {
        return false;
    }
    out.push_str(whole);
    if let Some(first) = fraction.get(..1) {
        out.push('.');
        out.push_str(first);
    }
    true
}

fn percent_encode(text: &str, out: &mut String) {
    const KEEP: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'*');
    out.extend(percent_encoding::utf8_percent_encode(text, KEEP));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated(text: &str) -> Option<String> {
        let mut out = String::new();
        truncate(text, &mut out).then_some(out)
    }

    #[test]
    fn truncation_knows_its_types() {
        assert_eq!(truncated("203.0.113.7").as_deref(), Some("203.0.113.0"));
        assert_eq!(truncated("2001:db8:1:2::3").as_deref(), Some("2001:db8:1::"));
        assert_eq!(truncated("::ffff:203.0.113.7").as_deref(), Some("::ffff:203.0.113.0"));
        assert_eq!(truncated("1981-08-22").as_deref(), Some("1981"));
        assert_eq!(truncated("22.08.1981").as_deref(), Some("1981"));
        assert_eq!(truncated("1981-08-22T10:00:00Z").as_deref(), Some("1981"));
        assert_eq!(truncated("-122.419416").as_deref(), Some("-122.4"));
        assert_eq!(truncated("forty"), None);
        assert_eq!(truncated("fe80::b85:978c"), None);
    }

    #[test]
    fn masks_keep_the_last_ones() {
        let mut out = String::new();
        mask("4111 1111 1111 1234", 4, &mut out);
        assert_eq!(out, "**** **** **** 1234");
    }
}
