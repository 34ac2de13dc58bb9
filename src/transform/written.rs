//! A rule pack as its author wrote it, read from TOML with every fault named at once.
//!
//! This is the form of the file; `pack` makes from it the form that events meet.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::detect::{Detector, Set};

/// What is wrong with a pack, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The pack's name or file.
    pub pack: String,
    /// The line, from 1.
    pub line: usize,
    /// The key in the file, as in `rule.action`; empty where no key is to blame.
    pub key: String,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.pack, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.why)
    }
}

/// Why a pack is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// The key means nothing here.
    #[error("unknown key; known are {known}")]
    UnknownKey {
        /// The keys that there are.
        known: String,
    },
    /// The value is of another type.
    #[error("must be {expected}")]
    Type {
        /// What it must be.
        expected: &'static str,
    },
    /// The value is none of those allowed.
    #[error("`{value}` is not one of {allowed}")]
    Choice {
        /// What was given.
        value: String,
        /// What may be given.
        allowed: String,
    },
    /// Something is missing.
    #[error("{what} is missing")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// Two keys do not go together.
    #[error("{what}")]
    Conflict {
        /// What does not go together.
        what: &'static str,
    },
    /// A key or path pattern names nothing.
    #[error("`{pattern}` matches nothing")]
    EmptyPattern {
        /// The pattern.
        pattern: String,
    },
    /// The regular expression does not compile or is too large.
    #[error("`{pattern}` is no usable regular expression: {message}")]
    Regex {
        /// The expression.
        pattern: String,
        /// What the engine says.
        message: String,
    },
    /// Another rule has this name.
    #[error("another rule is named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There are more rules or patterns than a pack may have.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// A pack that is to be run instead does not exist.
    #[error("there is no pack `{name}`")]
    NoPack {
        /// The pack's name.
        name: String,
    },
}

/// What a rule does with the values it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Key and value go; of a text, the part that was found.
    Remove,
    /// A placeholder comes in its place.
    Redact(Option<String>),
    /// All but the last letters and digits become `*`.
    Mask(usize),
    /// The keyed pseudonym comes in its place.
    Hash,
    /// Addresses are cut to their network, coordinates to one decimal, dates to the year.
    Truncate,
    /// Nothing: what it matches is safe from the rules behind it.
    Keep,
}

/// Text with the line it stands on.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) text: String,
    pub(super) line: usize,
}

/// One `[[rule]]`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) name: Option<String>,
    pub(super) keys: Vec<Placed>,
    pub(super) paths: Vec<Placed>,
    pub(super) within: Vec<Placed>,
    pub(super) except: Vec<Placed>,
    pub(super) detect: Set,
    pub(super) pattern: Option<Placed>,
    pub(super) action: Action,
}

/// What happens to an event whose sender denied a purpose.
#[derive(Clone, Debug)]
pub(super) enum OnDenied {
    Drop,
    Run(Placed),
}

/// One `[[consent]]`.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) line: usize,
    pub(super) name: Option<String>,
    pub(super) denied: Vec<String>,
    pub(super) then: OnDenied,
}

/// One `[[drop]]`.
#[derive(Clone, Debug)]
pub(super) struct Drop {
    pub(super) line: usize,
    pub(super) name: Option<String>,
    pub(super) events: Vec<Placed>,
}

/// A whole pack.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) allow_only: bool,
    pub(super) allow: Vec<Placed>,
    pub(super) rules: Vec<Rule>,
    pub(super) consent: Vec<Consent>,
    pub(super) drops: Vec<Drop>,
}

/// Reads a pack and collects faults on the way.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    pack: &'t str,
    text: &'t str,
    pub(super) faults: Vec<Fault>,
}

const TOP_KEYS: [&str; 6] = ["description", "mode", "allow", "rule", "consent", "drop"];
const RULE_KEYS: [&str; 11] = [
    "name",
    "keys",
    "paths",
    "detect",
    "pattern",
    "within",
    "except",
    "action",
    "with",
    "keep_last",
    "why",
];
const ACTIONS: [&str; 6] = ["remove", "redact", "mask", "hash", "truncate", "keep"];

impl<'t> Reader<'t> {
    pub(super) const fn new(pack: &'t str, text: &'t str) -> Self {
        Self { pack, text, faults: Vec::new() }
    }

    /// Reads the whole file.
    pub(super) fn read(&mut self) -> Written {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let why = Why::Syntax { message: error.message().replace('\n', " ") };
            self.fault(at, "", why);
        }
        let mut written = Written::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "description" => drop(self.text_of("description", value)),
                "mode" => {
                    written.allow_only = self.choice("mode", value, &["deny", "allow"]) == Some(1)
                }
                "allow" => written.allow = self.texts("allow", value),
                "rule" => written.rules = self.tables("rule", value, Self::rule),
                "consent" => written.consent = self.tables("consent", value, Self::consent),
                "drop" => written.drops = self.tables("drop", value, Self::drop_rule),
                _ => self.unknown("", key, &TOP_KEYS),
            }
        }
        if written.allow_only && written.allow.is_empty() {
            self.fault(0, "allow", Why::Missing { what: "the list of paths that survive" });
        }
        if !written.allow_only && !written.allow.is_empty() {
            let what = "`allow` needs `mode = \"allow\"`";
            self.fault(0, "allow", Why::Conflict { what });
        }
        written
    }

    fn rule(&mut self, line: usize, at: usize, table: &DeTable<'_>) -> Option<Rule> {
        let mut rule = Rule {
            line,
            name: None,
            keys: Vec::new(),
            paths: Vec::new(),
            within: Vec::new(),
            except: Vec::new(),
            detect: Set::NONE,
            pattern: None,
            action: Action::Keep,
        };
        let (mut action, mut with, mut keep_last) = (None, None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => rule.name = self.text_of("rule.name", value),
                "why" => drop(self.text_of("rule.why", value)),
                "keys" => rule.keys = self.texts("rule.keys", value),
                "paths" => rule.paths = self.texts("rule.paths", value),
                "within" => rule.within = self.texts("rule.within", value),
                "except" => rule.except = self.texts("rule.except", value),
                "detect" => rule.detect = self.detectors(value),
                "pattern" => {
                    let line = self.line(value.span().start);
                    rule.pattern =
                        self.text_of("rule.pattern", value).map(|text| Placed { text, line });
                }
                "action" => action = self.choice("rule.action", value, &ACTIONS),
                "with" => with = self.text_of("rule.with", value),
                "keep_last" => keep_last = self.count("rule.keep_last", value),
                _ => self.unknown("rule.", key, &RULE_KEYS),
            }
        }
        if rule.keys.is_empty()
            && rule.paths.is_empty()
            && rule.detect.is_empty()
            && rule.pattern.is_none()
        {
            let what = "which values: one of `keys`, `paths`, `detect`, `pattern`";
            self.fault(at, "rule", Why::Missing { what });
        }
        if !table.contains_key("action") {
            self.fault(at, "rule.action", Why::Missing { what: "what to do" });
        }
        if with.is_some() && action.is_some_and(|a| ACTIONS[a] != "redact") {
            self.fault(at, "rule.with", Why::Conflict { what: "`with` goes with `redact` only" });
        }
        if keep_last.is_some() && action.is_some_and(|a| ACTIONS[a] != "mask") {
            let what = "`keep_last` goes with `mask` only";
            self.fault(at, "rule.keep_last", Why::Conflict { what });
        }
        rule.action = match ACTIONS[action?] {
            "remove" => Action::Remove,
            "redact" => Action::Redact(with),
            "mask" => Action::Mask(keep_last.unwrap_or(0)),
            "hash" => Action::Hash,
            "truncate" => Action::Truncate,
            _ => Action::Keep,
        };
        Some(rule)
    }

    fn consent(&mut self, line: usize, at: usize, table: &DeTable<'_>) -> Option<Consent> {
        let (mut name, mut denied, mut action, mut pack) = (None, Vec::new(), None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name = self.text_of("consent.name", value),
                "denied" => denied = self.texts("consent.denied", value),
                "action" => action = self.choice("consent.action", value, &["drop", "run"]),
                "pack" => {
                    let line = self.line(value.span().start);
                    pack = self.text_of("consent.pack", value).map(|text| Placed { text, line });
                }
                _ => self.unknown("consent.", key, &["name", "denied", "action", "pack"]),
            }
        }
        if denied.is_empty() {
            self.fault(at, "consent.denied", Why::Missing { what: "the ids of purposes" });
        }
        if !table.contains_key("action") {
            self.fault(at, "consent.action", Why::Missing { what: "what to do" });
        }
        let then = match (action?, pack) {
            (0, None) => OnDenied::Drop,
            (1, Some(pack)) => OnDenied::Run(pack),
            _ => {
                let what = "`pack` goes with `action = \"run\"`, and only with it";
                self.fault(at, "consent.pack", Why::Conflict { what });
                return None;
            }
        };
        let denied = denied.into_iter().map(|placed| placed.text).collect();
        Some(Consent { line, name, denied, then })
    }

    fn drop_rule(&mut self, line: usize, at: usize, table: &DeTable<'_>) -> Option<Drop> {
        let (mut name, mut events) = (None, Vec::new());
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name = self.text_of("drop.name", value),
                "events" => events = self.texts("drop.events", value),
                _ => self.unknown("drop.", key, &["name", "events"]),
            }
        }
        if events.is_empty() {
            self.fault(at, "drop.events", Why::Missing { what: "the names of events" });
            return None;
        }
        Some(Drop { line, name, events })
    }

    fn detectors(&mut self, value: &Spanned<DeValue<'_>>) -> Set {
        let mut set = Set::NONE;
        for (text, at) in self.spanned_texts("rule.detect", value) {
            match Detector::named(&text) {
                Some(named) => set = set.with(named),
                None => {
                    let names: Vec<&str> =
                        Detector::ALL.iter().map(|one| one.name()).chain(["ip"]).collect();
                    let why = Why::Choice { value: text, allowed: names.join(", ") };
                    self.fault(at, "rule.detect", why);
                }
            }
        }
        set
    }

    fn tables<T>(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        read: impl Fn(&mut Self, usize, usize, &DeTable<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(array) = value.get_ref().as_array() else {
            self.fault(
                value.span().start,
                key,
                Why::Type { expected: "tables, each under `[[...]]`" },
            );
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in array {
            let at = item.span().start;
            match item.get_ref().as_table() {
                Some(table) => list.extend(read(self, self.line(at), at, table)),
                None => self.fault(at, key, Why::Type { expected: "a table" }),
            }
        }
        list
    }

    fn text_of(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.fault(value.span().start, key, Why::Type { expected: "a string" });
        }
        text
    }

    fn count(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<usize> {
        let number = value.get_ref().as_integer().and_then(|n| n.as_str().parse().ok());
        if number.is_none() {
            self.fault(value.span().start, key, Why::Type { expected: "a number from 0 on" });
        }
        number
    }

    fn texts(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<Placed> {
        let texts = self.spanned_texts(key, value);
        texts.into_iter().map(|(text, at)| Placed { text, line: self.line(at) }).collect()
    }

    fn spanned_texts(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<(String, usize)> {
        const EXPECTED: Why = Why::Type { expected: "a list of strings" };
        let Some(array) = value.get_ref().as_array() else {
            self.fault(value.span().start, key, EXPECTED);
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in array {
            match item.get_ref().as_str() {
                Some(text) => list.push((text.to_owned(), item.span().start)),
                None => self.fault(item.span().start, key, EXPECTED),
            }
        }
        list
    }

    fn choice(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        allowed: &[&str],
    ) -> Option<usize> {
        let text = self.text_of(key, value)?;
        let found = allowed.iter().position(|&one| one == text);
        if found.is_none() {
            let why = Why::Choice { value: text, allowed: allowed.join(", ") };
            self.fault(value.span().start, key, why);
        }
        found
    }

    fn unknown(&mut self, table: &str, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str]) {
        let path = format!("{table}{}", key.get_ref());
        self.fault(key.span().start, &path, Why::UnknownKey { known: known.join(", ") });
    }

    fn fault(&mut self, at: usize, key: &str, why: Why) {
        let line = self.line(at);
        self.fault_on(line, key, why);
    }

    /// Notes a fault on a line.
    pub(super) fn fault_on(&mut self, line: usize, key: &str, why: Why) {
        self.faults.push(Fault { pack: self.pack.to_owned(), line, key: key.to_owned(), why });
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        1 + memchr::memchr_iter(b'\n', before).count()
    }
}
