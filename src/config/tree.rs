//! The configuration as written: a tree of values that know where they stand.
//!
//! Made from the TOML text, then the variables `KEELROW__SECTION__KEY` are put over it; in the
//! strings of both `${NAME}` is replaced. Knows nothing of what the keys mean.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::context::Context;
use super::environment::{Environment, Untold};
use super::fault::{Fault, Place, Problem};

/// A value as written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// A float or a date: no key takes one, so only the spelling is kept.
    Other(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Something was wrong with it and has been reported.
    Faulty,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    /// What was written, where that is not the value: `${NAME}`, or a variable's text.
    pub(super) spelled: Option<String>,
    /// The text of an override, for keys that take text.
    pub(super) raw: Option<String>,
}

/// A member of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) node: Node,
}

/// The whole file.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
}

/// The variables that override keys start so.
const OVERRIDE: &str = "KEELROW__";

impl Tree {
    pub(super) fn read(text: &str, environment: &Environment, context: &Context) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = Lines { text, variable: None, environment, context };
        for error in errors {
            let place = error.span().map_or(Place::File, |span| lines.place(span.start));
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            let problem = Problem::Syntax { message };
            context.fault(Fault { place, key: String::new(), value: None, problem });
        }
        let mut root = lines.table(table.get_ref(), Place::File, "");
        for (name, text) in environment.iter() {
            let Some(path) = name.strip_prefix(OVERRIDE) else { continue };
            match text {
                Some(text) => {
                    let variable = Some(name);
                    put(&mut root, path, &Lines { text, variable, environment, context });
                }
                None => context.fault(Fault {
                    place: Place::Variable(name.to_owned()),
                    key: String::new(),
                    value: None,
                    problem: Problem::NotText { variable: None },
                }),
            }
        }
        Self { root }
    }
}

/// A text in TOML: the file, or what an override holds.
struct Lines<'a> {
    text: &'a str,
    /// The override.
    variable: Option<&'a str>,
    environment: &'a Environment,
    context: &'a Context,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        if let Some(name) = self.variable {
            return Place::Variable(name.to_owned());
        }
        let head = self.text.as_bytes().get(..offset).unwrap_or_default();
        Place::Line(head.iter().filter(|byte| **byte == b'\n').count() + 1)
    }

    fn table(&self, table: &DeTable<'_>, place: Place, path: &str) -> Node {
        let mut entries: Vec<(usize, Entry)> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let dot = if path.is_empty() { "" } else { "." };
                let mut node = self.node(value, &format!("{path}{dot}{name}"));
                node.place = self.place(key.span().start);
                (key.span().start, Entry { key: name, node })
            })
            .collect();
        entries.sort_by_key(|(at, _)| *at);
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Node { value: Value::Table(entries), place, spelled: None, raw: None }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, path: &str) -> Node {
        let place = self.place(value.span().start);
        let mut spelled = None;
        let value = match value.get_ref() {
            DeValue::String(text) => {
                let (value, replaced) = self.substitute(text, &place, path);
                if replaced {
                    spelled = Some(text.to_string());
                }
                value
            }
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Other(number.to_string()), Value::Integer),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Float(number) => Value::Other(number.to_string()),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(list) => Value::List(
                list.iter()
                    .enumerate()
                    .map(|(n, item)| self.node(item, &format!("{path}[{n}]")))
                    .collect(),
            ),
            DeValue::Table(table) => return self.table(table, place, path),
        };
        Node { value, place, spelled, raw: None }
    }

    /// What an override puts at `path`: a TOML value where its text reads as one, else the text.
    fn overriding(&self, path: &str) -> Node {
        match DeValue::parse(self.text) {
            Ok(value) if !matches!(value.get_ref(), DeValue::String(_)) => Node {
                // For a key that takes text.
                raw: self.replace(self.text).ok().map(|(text, _)| text),
                ..self.node(&value, path)
            },
            _ => {
                let place = self.place(0);
                let (value, replaced) = self.substitute(self.text, &place, path);
                let spelled = replaced.then(|| self.text.to_owned());
                let raw = match &value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                };
                Node { value, place, spelled, raw }
            }
        }
    }

    /// Puts variables in for `${NAME}`; tells whether there was any.
    fn substitute(&self, text: &str, place: &Place, path: &str) -> (Value, bool) {
        match self.replace(text) {
            Ok((text, replaced)) => (Value::Text(text), replaced),
            Err(problems) => {
                // Anything beside a variable may be a part of a secret.
                let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
                let value = name.filter(|name| is_variable(name)).map(|_| format!("\"{text}\""));
                for problem in problems {
                    let (place, key, value) = (place.clone(), path.to_owned(), value.clone());
                    self.context.fault(Fault { place, key, value, problem });
                }
                (Value::Faulty, true)
            }
        }
    }

    /// The same without a word about what is wrong.
    fn replace(&self, text: &str) -> Result<(String, bool), Vec<Problem>> {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut replaced, mut problems) = (text, false, Vec::new());
        while let Some((head, tail)) = rest.split_once("${") {
            out.push_str(head);
            replaced = true;
            let Some((name, tail)) = tail.split_once('}').filter(|(name, _)| is_variable(name))
            else {
                problems.push(Problem::NotAVariable);
                rest = tail;
                continue;
            };
            let variable = name.to_owned();
            match self.environment.get(name) {
                Ok(value) => out.push_str(value),
                Err(Untold::NotSet) => problems.push(Problem::NotSet { variable }),
                Err(Untold::NotText) => {
                    problems.push(Problem::NotText { variable: Some(variable) });
                }
            }
            rest = tail;
        }
        out.push_str(rest);
        if problems.is_empty() { Ok((out, replaced)) } else { Err(problems) }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Puts an override over the tree: `HTTP__LISTEN`, or `SOURCE__0__WRITE_KEY` for the first element
/// of a list that is there.
fn put(root: &mut Node, path: &str, lines: &Lines<'_>) {
    let place = lines.place(0);
    let mut node = root;
    let mut shown = String::new();
    for segment in path.split("__") {
        let key = segment.to_ascii_lowercase();
        match &mut node.value {
            Value::List(list) => {
                shown.push_str(&format!("[{key}]"));
                let length = list.len();
                let Some(item) = key.parse().ok().and_then(|n: usize| list.get_mut(n)) else {
                    return lines.context.fault(Fault {
                        place,
                        key: shown,
                        value: None,
                        problem: Problem::OutOfRange {
                            least: "0".to_owned(),
                            most: length.saturating_sub(1).to_string(),
                        },
                    });
                };
                node = item;
            }
            value => {
                if !matches!(value, Value::Table(_)) {
                    *value = Value::Table(Vec::new());
                }
                let Value::Table(entries) = value else { return };
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(&key);
                let at = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                    let (value, place) = (Value::Table(Vec::new()), place.clone());
                    let node = Node { value, place, spelled: None, raw: None };
                    entries.push(Entry { key, node });
                    entries.len() - 1
                });
                let Some(entry) = entries.get_mut(at) else { return };
                node = &mut entry.node;
            }
        }
    }
    *node = lines.overriding(&shown);
}

impl Node {
    /// The value as a fault shows it.
    pub(super) fn shown(&self) -> Option<String> {
        if let Some(spelled) = &self.spelled {
            return Some(format!("\"{spelled}\""));
        }
        match &self.value {
            Value::Text(text) => Some(format!("\"{}\"", clip(text))),
            Value::Integer(number) => Some(number.to_string()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Other(text) => Some(clip(text)),
            Value::List(_) | Value::Table(_) | Value::Faulty => None,
        }
    }
}

/// A fault quotes no more than this of a value.
fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut out: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}
