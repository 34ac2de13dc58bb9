//! A rule pack in the form that events meet: patterns numbered, expressions compiled, rules in order.

mod earlier;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use super::detect::{Detector, Set};
use super::keyname::{Name, Pattern};
use super::select::{Empty, PatternId, Selectors, State};
use super::written::{self, Action, Fault, OnDenied, Placed, Reader, Why};

/// Rules in one pack; the shipped one has about thirty.
const RULES_MAX: usize = 512;
/// Key and path patterns in one pack.
const PATTERNS_MAX: usize = 4_096;
/// Memory that one compiled expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The packs that are built into the program, by name.
const BUILTIN: [(&str, &str); 2] = [
    ("pii", include_str!("../../transforms/pii.toml")),
    ("mattermost", include_str!("../../transforms/mattermost.toml")),
];

/// Detectors that look at identity fields; those of numbers would change every tenth long id.
const IDENTITY: Set = Set::of(&[
    Detector::Email,
    Detector::Phone,
    Detector::Ipv4,
    Detector::Ipv6,
    Detector::Jwt,
    Detector::Token,
]);
/// Detectors that need the sentence around a value and say nothing about a key.
const NOT_FOR_KEYS: Set = Set::of(&[Detector::DeviceOwner, Detector::Name, Detector::Opaque]);

/// A compiled rule pack.
pub struct Pack {
    name: String,
    id: u64,
    pub(super) selectors: Selectors,
    pub(super) rules: Vec<Rule>,
    /// The rules of packs before this one, which may keep something from it.
    earlier: Vec<Rule>,
    /// The rules as they are written, for the packs behind.
    written: Arc<[written::Rule]>,
    pub(super) allow: Option<Vec<PatternId>>,
    pub(super) consent: Vec<Consent>,
    pub(super) drops: Vec<Drop>,
    pub(super) identity: Set,
    names: Vec<String>,
    counters: Vec<AtomicU64>,
}

impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack")
            .field("name", &self.name)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// A rule as it is applied.
#[derive(Clone)]
pub(super) struct Rule {
    /// Keys and paths; empty for every value.
    values: Vec<PatternId>,
    within: Vec<PatternId>,
    except: Vec<PatternId>,
    detect: Set,
    pub(super) pattern: Option<Regex>,
    pub(super) action: Action,
    /// What `redact` leaves; `None` for the detector's own placeholder.
    pub(super) with: Option<String>,
}

/// What happens where one of these purposes was denied.
#[derive(Clone)]
pub(super) struct Consent {
    pub(super) denied: Vec<String>,
    pub(super) rule: usize,
    pub(super) then: Then,
}

/// Drop the event, or run another pack over it too.
#[derive(Clone)]
pub(super) enum Then {
    Drop,
    Run { pack: String, line: usize, linked: Option<Arc<Pack>> },
}

/// Names of events that are dropped.
#[derive(Clone)]
pub(super) struct Drop {
    pub(super) events: Vec<Pattern>,
    pub(super) rule: usize,
}

/// What a pack does with the values in one [`State`].
#[derive(Debug)]
pub(super) struct Decision {
    /// The rule for the whole value.
    pub(super) whole: Option<u16>,
    /// What to look for inside the value.
    pub(super) find: Set,
    /// The rule that each of the detectors belongs to.
    pub(super) by: [u16; Detector::ALL.len()],
    /// Rules whose expression to look for inside the value.
    pub(super) patterns: Box<[u16]>,
    /// False where allow-list mode takes the value out.
    pub(super) allowed: bool,
    /// A value below may be allowed.
    pub(super) descend: bool,
    /// Nothing is to be done for scalars.
    pub(super) idle: bool,
    /// All there is to do is to run detectors.
    pub(super) only_parts: bool,
}

impl Pack {
    /// Reads and compiles the pack `name` from `text`.
    ///
    /// # Errors
    /// Every fault of the file, in the order of its lines.
    pub fn compile(name: &str, text: &str) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(name, text);
        let written = reader.read();
        let mut compiler = Compiler { reader, selectors: Selectors::default(), names: Vec::new() };
        let mut rules = Vec::new();
        for rule in &written.rules {
            rules.extend(compiler.rule(rule));
        }
        let allow = written.allow_only.then(|| compiler.allow(&written.allow));
        let mut consent = Vec::new();
        for one in written.consent {
            consent.push(compiler.consent(one));
        }
        let mut drops = Vec::new();
        for one in &written.drops {
            drops.push(compiler.drops(one));
        }
        compiler.check_limits(written.rules.len());
        let Compiler { mut reader, selectors, names } = compiler;
        if !reader.faults.is_empty() {
            reader.faults.sort_by_key(|fault| fault.line);
            return Err(reader.faults);
        }
        let general = |rule: &&Rule| rule.values.is_empty() && rule.within.is_empty();
        let identity = rules
            .iter()
            .filter(general)
            .filter(|rule| rule.action != Action::Keep)
            .fold(Set::NONE, |all, rule| all.with(rule.detect))
            .and(IDENTITY);
        let counters = names.iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            name: name.to_owned(),
            id: content_id(name, text),
            selectors,
            rules,
            earlier: Vec::new(),
            written: written.rules.into(),
            allow,
            consent,
            drops,
            identity,
            names,
            counters,
        })
    }

    /// The pack `name` of those built into the program.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        Self::compile(name, Self::builtin_text(name)?).ok()
    }

    /// The text of the pack `name` of those built into the program.
    #[must_use]
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
    }

    /// The names of the packs built into the program.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|&(name, _)| name)
    }

    /// The same pack with counters of its own, for another source; so have the packs that it runs.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        let mut consent = self.consent.clone();
        for one in &mut consent {
            if let Then::Run { linked: Some(pack), .. } = &mut one.then {
                *pack = Arc::new(pack.counted_apart());
            }
        }
        Self {
            name: self.name.clone(),
            id: self.id,
            selectors: self.selectors.clone(),
            rules: self.rules.clone(),
            earlier: self.earlier.clone(),
            written: Arc::clone(&self.written),
            allow: self.allow.clone(),
            consent,
            drops: self.drops.clone(),
            identity: self.identity,
            names: self.names.clone(),
            counters: self.names.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The packs that it runs where consent was denied.
    pub fn linked(&self) -> impl Iterator<Item = &Arc<Self>> {
        self.consent.iter().filter_map(|one| match &one.then {
            Then::Run { linked, .. } => linked.as_ref(),
            Then::Drop => None,
        })
    }

    /// The pack's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its rules, in the order of their numbers.
    #[must_use]
    pub fn rule_names(&self) -> &[String] {
        &self.names
    }

    /// How often each rule hit since the pack was made, over all threads.
    pub fn hits(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.counters.iter().map(|counter| counter.load(Ordering::Relaxed));
        self.names.iter().map(String::as_str).zip(counts)
    }

    /// True if the rule takes values out as a whole.
    pub(super) fn removes(&self, rule: usize) -> bool {
        self.rules.get(rule).is_some_and(|rule| rule.action == Action::Remove)
    }

    pub(super) fn count(&self, rule: usize, hits: u32) {
        if let Some(counter) = self.counters.get(rule) {
            counter.fetch_add(u64::from(hits), Ordering::Relaxed);
        }
    }

    /// Two packs of the same name and text share the number.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The number of the rule `allow`, which counts what allow-list mode takes out.
    pub(super) const fn allow_rule(&self) -> usize {
        self.rules.len()
    }

    /// True if it has rules for who denied consent.
    #[must_use]
    pub fn asks_for_consent(&self) -> bool {
        !self.consent.is_empty()
    }

    /// The packs that its consent rules run, for [`Pack::link`].
    #[must_use]
    pub fn consent_packs(&self) -> Vec<String> {
        let names = self.consent.iter().filter_map(|one| match &one.then {
            Then::Run { pack, .. } => Some(pack.clone()),
            Then::Drop => None,
        });
        names.collect()
    }

    /// Gives the consent rules the packs they run; call it once, before the pack is used.
    ///
    /// # Errors
    /// A fault for each pack that `find` does not have.
    pub fn link(&mut self, find: impl Fn(&str) -> Option<Arc<Self>>) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for one in &mut self.consent {
            let Then::Run { pack, line, linked } = &mut one.then else { continue };
            *linked = find(pack);
            if linked.is_none() {
                let why = Why::NoPack { name: pack.clone() };
                let key = "consent.pack".to_owned();
                faults.push(Fault { pack: self.name.clone(), line: *line, key, why });
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What to do with values in `state`: rules count in the order they are written in, and a
    /// `keep` ends the list for what it matches.
    pub(super) fn decide(&self, state: &State) -> Decision {
        let mut decision = Decision {
            whole: None,
            find: Set::NONE,
            by: [0; Detector::ALL.len()],
            patterns: Box::default(),
            allowed: self.allow.as_ref().is_none_or(|allow| state.met_any(allow)),
            descend: self.allow.as_ref().is_none_or(|allow| self.selectors.may_meet(state, allow)),
            idle: true,
            only_parts: true,
        };
        let (is_kept, mut kept) = earlier::kept(&self.earlier, state);
        let mut patterns = Vec::new();
        let rules = if is_kept { &[] } else { self.rules.as_slice() };
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.applies(state)) {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let keep = rule.action == Action::Keep;
            if rule.detect.is_empty() && rule.pattern.is_none() {
                decision.whole = (!keep).then_some(number);
                break;
            }
            let new = rule.detect.without(decision.find.with(kept));
            if keep {
                kept = kept.with(new);
                continue;
            }
            decision.find = decision.find.with(new);
            new.iter().for_each(|one| decision.by[one as usize] = number);
            patterns.extend(rule.pattern.is_some().then_some(number));
        }
        decision.idle = decision.whole.is_none() && decision.find.is_empty() && patterns.is_empty();
        decision.only_parts = decision.whole.is_none() && patterns.is_empty();
        decision.patterns = patterns.into();
        decision
    }

    /// What to look for in keys, and the rule that a detector belongs to there.
    pub(super) fn decide_for_keys(&self) -> Decision {
        let mut decision = self.decide(&State::default());
        decision.find = decision.find.without(NOT_FOR_KEYS);
        decision
    }
}

impl Rule {
    fn applies(&self, state: &State) -> bool {
        (self.values.is_empty() || state.met_any(&self.values))
            && (self.within.is_empty() || state.met_any(&self.within))
            && !state.met_any(&self.except)
    }
}

fn content_id(name: &str, text: &str) -> u64 {
    first_bytes(Sha256::new().chain_update(name).chain_update([0]).chain_update(text))
}

fn first_bytes(hash: Sha256) -> u64 {
    hash.finalize().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

struct Compiler<'t> {
    reader: Reader<'t>,
    selectors: Selectors,
    names: Vec<String>,
}

impl Compiler<'_> {
    fn rule(&mut self, rule: &written::Rule) -> Option<Rule> {
        let name = self.name(rule.name.as_deref(), "rule", rule.line);
        let mut values = self.patterns("rule.keys", &rule.keys, Selectors::add_key);
        values.extend(self.patterns("rule.paths", &rule.paths, Selectors::add_path));
        let within = self.patterns("rule.within", &rule.within, Selectors::add_path);
        let except = self.patterns("rule.except", &rule.except, Selectors::add_either);
        let pattern = match &rule.pattern {
            Some(pattern) => Some(self.regex(pattern)?),
            None => None,
        };
        let whole = rule.detect.is_empty() && rule.pattern.is_none();
        let with = match &rule.action {
            Action::Redact(Some(with)) => Some(with.clone()),
            _ if whole || pattern.is_some() => Some(format!("[{name}]")),
            _ => None,
        };
        let (detect, action) = (rule.detect, rule.action.clone());
        Some(Rule { values, within, except, detect, pattern, action, with })
    }

    fn allow(&mut self, paths: &[Placed]) -> Vec<PatternId> {
        self.names.push("allow".to_owned());
        self.patterns("allow", paths, Selectors::add_path)
    }

    fn consent(&mut self, one: written::Consent) -> Consent {
        self.name(one.name.as_deref(), "consent", one.line);
        let then = match one.then {
            OnDenied::Drop => Then::Drop,
            OnDenied::Run(pack) => Then::Run { pack: pack.text, line: pack.line, linked: None },
        };
        Consent { denied: one.denied, rule: self.names.len() - 1, then }
    }

    fn drops(&mut self, one: &written::Drop) -> Drop {
        self.name(one.name.as_deref(), "drop", one.line);
        let mut events = Vec::new();
        for event in &one.events {
            match Pattern::read(&event.text) {
                Some(pattern) => events.push(pattern),
                None => self.empty_pattern("drop.events", event),
            }
        }
        Drop { events, rule: self.names.len() - 1 }
    }

    /// Gives the rule its number and a name of its own.
    fn name(&mut self, name: Option<&str>, kind: &'static str, line: usize) -> String {
        let name = name.map_or_else(|| format!("{kind}-{line}"), str::to_owned);
        if self.names.contains(&name) {
            let why = Why::Duplicate { name: name.clone() };
            self.reader.fault_on(line, &format!("{kind}.name"), why);
        }
        self.names.push(name.clone());
        name
    }

    fn patterns(
        &mut self,
        key: &str,
        list: &[Placed],
        add: impl Fn(&mut Selectors, &str) -> Result<PatternId, Empty>,
    ) -> Vec<PatternId> {
        let mut ids = Vec::new();
        for placed in list {
            match add(&mut self.selectors, &placed.text) {
                Ok(id) => ids.push(id),
                Err(Empty) => self.empty_pattern(key, placed),
            }
        }
        ids.sort_unstable();
        ids
    }

    fn empty_pattern(&mut self, key: &str, placed: &Placed) {
        let why = Why::EmptyPattern { pattern: placed.text.clone() };
        self.reader.fault_on(placed.line, key, why);
    }

    /// Compiles without Unicode classes, which are ten times slower, unless the expression needs
    /// them to stay within UTF-8.
    fn regex(&mut self, pattern: &Placed) -> Option<Regex> {
        let build = |unicode| {
            RegexBuilder::new(&pattern.text).unicode(unicode).size_limit(REGEX_BYTES_MAX).build()
        };
        match build(false).or_else(|_| build(true)) {
            Ok(regex) if regex.is_match("") => {
                let message = "it matches the empty text".to_owned();
                let why = Why::Regex { pattern: pattern.text.clone(), message };
                self.reader.fault_on(pattern.line, "rule.pattern", why);
                None
            }
            Ok(regex) => Some(regex),
            Err(error) => {
                let message = error.to_string().lines().last().unwrap_or_default().to_owned();
                let why = Why::Regex { pattern: pattern.text.clone(), message };
                self.reader.fault_on(pattern.line, "rule.pattern", why);
                None
            }
        }
    }

    fn check_limits(&mut self, rules: usize) {
        if rules > RULES_MAX {
            self.reader.fault_on(1, "rule", Why::TooMany { what: "rules", limit: RULES_MAX });
        }
        if self.selectors.len() > PATTERNS_MAX {
            self.reader.fault_on(1, "rule", Why::TooMany { what: "patterns", limit: PATTERNS_MAX });
        }
    }
}

/// True if the event's name is one of a drop rule's.
pub(super) fn drops_event(drop: &Drop, event: &str, name: &mut Name) -> bool {
    name.read(event);
    drop.events.iter().any(|pattern| pattern.matches(name))
}
