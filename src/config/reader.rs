//! Takes keys out of the tree one by one, and notes what is wrong instead of stopping.
//!
//! A key that is wrong gives its default, so that the rest can still be checked; the faults decide
//! in the end whether there is a configuration at all.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::context::Context;
use super::fault::{Fault, Place, Problem};
use super::tree::{Entry, Node, Value};
use crate::units;

/// One table of the file.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    entries: &'a [Entry],
    place: Place,
    asked: RefCell<Vec<&'static str>>,
    context: &'a Context,
}

impl<'a> Section<'a> {
    pub(super) fn root(node: &'a Node, context: &'a Context) -> Self {
        Self::of(String::new(), Some(node), Place::File, context)
    }

    fn of(path: String, node: Option<&'a Node>, place: Place, context: &'a Context) -> Self {
        let entries = match node.map(|node| &node.value) {
            Some(Value::Table(entries)) => entries.as_slice(),
            _ => &[],
        };
        Self { path, entries, place, asked: RefCell::new(Vec::new()), context }
    }

    /// The key's path as faults name it.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn find(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        let path = without_numbers(&self.path(key));
        self.context.asked(path);
        self.node(key)
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// True if the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Notes that the value of `key` is wrong and shows it.
    pub(super) fn fault(&self, key: &str, problem: Problem) {
        self.note(key, problem, true);
    }

    /// Notes that the value of `key` is wrong and hides it.
    pub(super) fn secret_fault(&self, key: &str, problem: Problem) {
        self.note(key, problem, false);
    }

    fn note(&self, key: &str, problem: Problem, show: bool) {
        let node = self.node(key);
        self.context.fault(Fault {
            place: node.map_or_else(|| self.place.clone(), |node| node.place.clone()),
            key: self.path(key),
            value: node
                .filter(|_| show && !SECRETS.contains(&key))
                .and_then(Node::shown)
                .map(without_credentials),
            problem,
        });
    }

    pub(super) fn malformed(&self, key: &str, wanted: impl Display) {
        self.fault(key, Problem::Malformed { wanted: wanted.to_string() });
    }

    /// The text of a key, or none where it is absent or wrong.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.find(key)?;
        let text = text_of(node);
        if text.is_none() && !matches!(node.value, Value::Faulty) {
            self.fault(key, Problem::WrongType { wanted: "text in quotes" });
        }
        text
    }

    /// As [`Section::text`], for a value that no fault may show.
    pub(super) fn secret(&self, key: &'static str) -> Option<&'a str> {
        let node = self.find(key)?;
        let text = text_of(node);
        if text.is_none() && !matches!(node.value, Value::Faulty) {
            self.secret_fault(key, Problem::WrongType { wanted: "text in quotes" });
        }
        text
    }

    /// The text of a key, read by `parse`.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(wanted) => {
                self.malformed(key, wanted);
                None
            }
        }
    }

    pub(super) fn bytes(&self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let parse = |text: &str| units::parse_bytes(text).map_err(|e| e.wanted);
        let Some(bytes) = self.parsed(key, parse) else { return default };
        self.within(key, bytes, default, range, |bytes| units::show_bytes(*bytes))
    }

    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let parse = |text: &str| units::parse_duration(text).map_err(|e| e.wanted);
        let Some(time) = self.parsed(key, parse) else { return default };
        self.within(key, time, default, range, |time| units::show_duration(*time))
    }

    fn within<T: PartialOrd>(
        &self,
        key: &str,
        value: T,
        default: T,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> T {
        if range.contains(&value) {
            return value;
        }
        let (least, most) = (show(range.start()), show(range.end()));
        self.fault(key, Problem::OutOfRange { least, most });
        default
    }

    pub(super) fn integer(
        &self,
        key: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(node) = self.find(key) else { return default };
        match node.value {
            Value::Integer(number) => {
                let number = u32::try_from(number).ok().filter(|number| range.contains(number));
                number.unwrap_or_else(|| {
                    let (least, most) = (range.start().to_string(), range.end().to_string());
                    self.fault(key, Problem::OutOfRange { least, most });
                    default
                })
            }
            Value::Faulty => default,
            _ => {
                self.fault(key, Problem::WrongType { wanted: "a whole number" });
                default
            }
        }
    }

    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.find(key) else { return default };
        match node.value {
            Value::Boolean(value) => value,
            Value::Faulty => default,
            _ => {
                self.fault(key, Problem::WrongType { wanted: "true or false" });
                default
            }
        }
    }

    /// The texts of a list; none where it is absent.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<&'a str>> {
        let node = self.find(key)?;
        let wrong = Problem::WrongType { wanted: "a list of texts" };
        let Value::List(list) = &node.value else {
            if !matches!(node.value, Value::Faulty) {
                self.fault(key, wrong);
            }
            return Some(Vec::new());
        };
        let texts: Vec<&str> = list.iter().filter_map(text_of).collect();
        if list.iter().any(|item| !matches!(item.value, Value::Text(_) | Value::Faulty)) {
            self.fault(key, wrong);
        }
        Some(texts)
    }

    /// The texts of a list, or the one text that stands in its place.
    pub(super) fn texts_or_text(&self, key: &'static str) -> Vec<&'a str> {
        match self.node(key) {
            Some(node) if !matches!(node.value, Value::List(_)) => {
                self.text(key).into_iter().collect()
            }
            _ => self.texts(key).unwrap_or_default(),
        }
    }

    /// True if the key holds a list without elements.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.node(key).map(|node| &node.value), Some(Value::List(list)) if list.is_empty())
    }

    /// The texts of a list, each read by `parse`.
    pub(super) fn parsed_list<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let texts = self.texts(key)?;
        let mut out = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(text) {
                Some(value) => out.push(value),
                None => {
                    self.malformed(key, format_args!("{wanted}, not \"{}\"", text.escape_debug()))
                }
            }
        }
        Some(out)
    }

    /// The keys and lists of texts of a table that has keys of the operator's choice.
    pub(super) fn lists_by_name(&self, key: &'static str) -> Vec<(String, Vec<String>)> {
        let Some(node) = self.find(key) else { return Vec::new() };
        let Value::Table(entries) = &node.value else {
            self.fault(key, Problem::WrongType { wanted: "a table of lists" });
            return Vec::new();
        };
        let inner = Self::of(self.path(key), Some(node), node.place.clone(), self.context);
        let mut out = Vec::new();
        for entry in entries {
            let Value::List(list) = &entry.node.value else {
                inner.fault(&entry.key, Problem::WrongType { wanted: "a list of texts" });
                continue;
            };
            let texts = list.iter().filter_map(text_of).map(str::to_owned).collect::<Vec<_>>();
            if texts.len() != list.len() {
                inner.fault(&entry.key, Problem::WrongType { wanted: "a list of texts" });
            }
            out.push((entry.key.clone(), texts));
        }
        out
    }

    /// The table at `key`, empty where it is absent.
    pub(super) fn section(&self, key: &'static str) -> Self {
        let node = self.find(key);
        if node.is_some_and(|node| !matches!(node.value, Value::Table(_) | Value::Faulty)) {
            self.fault(key, Problem::WrongType { wanted: "a table" });
        }
        let place = node.map_or_else(|| self.place.clone(), |node| node.place.clone());
        Self::of(self.path(key), node, place, self.context)
    }

    /// The tables of the list at `key`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.find(key) else { return Vec::new() };
        let Value::List(list) = &node.value else {
            self.fault(key, Problem::WrongType { wanted: "a list of tables" });
            return Vec::new();
        };
        let mut out = Vec::new();
        for (n, item) in list.iter().enumerate() {
            let path = format!("{}[{n}]", self.path(key));
            let section = Self::of(path.clone(), Some(item), item.place.clone(), self.context);
            if matches!(item.value, Value::Table(_)) {
                out.push(section);
            } else {
                let problem = Problem::WrongType { wanted: "a table" };
                let fault = Fault { place: item.place.clone(), key: path, value: None, problem };
                self.context.fault(fault);
            }
        }
        out
    }

    /// Notes every key that nobody asked for. Call it when all keys have been.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for entry in self.entries {
            if !asked.contains(&entry.key.as_str()) {
                let nearest = nearest(&entry.key, &asked);
                // The value may be a secret under a misspelled key.
                self.secret_fault(&entry.key, Problem::UnknownKey { nearest });
            }
        }
    }
}

/// Keys whose value no fault shows, whatever is wrong with it: a key may stand where its hash
/// belongs, or a list may have lost its bracket.
const SECRETS: [&str; 4] = ["write_key", "write_keys", "write_key_sha256", "admin_token"];

/// A URL without what may be a password in it: user, password and query.
fn without_credentials(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let (rest, quote) = rest.strip_suffix('"').map_or((rest, ""), |rest| (rest, "\""));
    let after_user = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let before_query = after_user.split(['?', '#']).next().unwrap_or_default();
    if before_query == rest {
        return text;
    }
    format!("{scheme}://(hidden){before_query}{quote}")
}

fn text_of(node: &Node) -> Option<&str> {
    match (&node.raw, &node.value) {
        (Some(raw), _) => Some(raw),
        (None, Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// `source[3].name` as `source[].name`.
fn without_numbers(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = (inside && *c != ']') || *c == '[';
            !(inside && c.is_ascii_digit())
        })
        .collect()
}

/// The known key within two edits, or the one that the unknown key starts or is started by.
fn nearest(key: &str, known: &[&'static str]) -> Option<String> {
    let best = known.iter().map(|known| (distance(key, known), *known)).min()?;
    (best.0 <= 2 && best.0 < key.chars().count()).then(|| best.1.to_owned())
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (n, l) in left.chars().enumerate() {
        let mut diagonal = n;
        row[0] = n + 1;
        for (m, r) in right.iter().enumerate() {
            let change = diagonal + usize::from(l != *r);
            diagonal = row[m + 1];
            row[m + 1] = change.min(diagonal + 1).min(row[m] + 1);
        }
    }
    row[right.len()]
}
