//! What can be wrong with a configuration, and how it is told.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, nowhere in particular: something is missing.
    File,
    /// In the file, on this line, counted from one.
    Line(usize),
    /// In this environment variable.
    Variable(String),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {kind}")]
    Unreadable {
        /// The operating system's reason.
        kind: io::ErrorKind,
    },
    /// The file is longer than anyone's configuration.
    #[error("has {bytes} bytes, at most {most} are read")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// It is not TOML.
    #[error("not TOML: {message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// There is no such key.
    #[error("unknown key{}", nearest.as_ref().map(|key| format!(", did you mean {key}?")).unwrap_or_default())]
    UnknownKey {
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// The value is of another type.
    #[error("must be {wanted}")]
    WrongType {
        /// The type it must have.
        wanted: &'static str,
    },
    /// The text does not follow its form.
    #[error("must be {wanted}")]
    Malformed {
        /// The form, with an example.
        wanted: String,
    },
    /// The value lies outside what is allowed.
    #[error("must be from {least} to {most}")]
    OutOfRange {
        /// The least value.
        least: String,
        /// The greatest value.
        most: String,
    },
    /// A key without default is not there.
    #[error("missing: {wanted}")]
    Missing {
        /// What to write.
        wanted: &'static str,
    },
    /// The environment variable in `${NAME}` is not set.
    #[error("the environment variable {variable} is not set")]
    NotSet {
        /// The variable.
        variable: String,
    },
    /// An environment variable cannot be read.
    #[error("{}is not UTF-8", variable.as_ref().map(|name| format!("the environment variable {name} ")).unwrap_or_default())]
    NotText {
        /// The variable in `${NAME}`; none for an override.
        variable: Option<String>,
    },
    /// `${` begins something else than a variable.
    #[error("${{ must be followed by the name of an environment variable and }}")]
    NotAVariable,
    /// It does not go together with another key.
    #[error("{why} ({with})")]
    Conflict {
        /// The other key.
        with: String,
        /// Why not.
        why: &'static str,
    },
}

/// One thing that is wrong, where and with which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the value was written.
    pub place: Place,
    /// The path of the key, such as `source[0].schema`; empty for the file as a whole.
    pub key: String,
    /// The value as written; none for secrets.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Everything that is wrong with a configuration; at least one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: PathBuf,
    list: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(file: &Path, mut list: Vec<Fault>) -> Self {
        list.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.key.cmp(&b.key)));
        list.dedup();
        Self { file: file.to_path_buf(), list }
    }

    pub(super) fn one(file: &Path, fault: Fault) -> Self {
        Self::new(file, vec![fault])
    }

    /// The faults, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
}

impl Faults {
    /// The faults as they are told, in the order of the file.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.list.iter().map(|fault| {
            let (file, line, variable) = match &fault.place {
                Place::File => (Some(&self.file), None, None),
                Place::Line(line) => (Some(&self.file), Some(*line), None),
                Place::Variable(name) => (None, None, Some(name.clone())),
            };
            let key = (!fault.key.is_empty()).then(|| fault.key.clone());
            Finding {
                file: file.map(|file| file.display().to_string()),
                line,
                variable,
                value: fault.value.clone().filter(|_| key.is_some()),
                key,
                reason: fault.problem.to_string(),
            }
        })
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    /// One line for each fault: `file:line: key = value: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.findings().map(|finding| finding.to_string()).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Something that is wrong with a configuration or with a file that it names, as it is told to people
/// (as text, on one line) and to programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file; none where a variable is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The path of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The value as written; none for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl Finding {
    /// What is wrong with what `key` of the configuration in `file` says or names.
    #[must_use]
    pub fn of_key(file: &Path, key: &str, reason: String) -> Self {
        let file = Some(file.display().to_string());
        Self { file, key: Some(key.to_owned()), reason, ..Self::default() }
    }

    /// The findings as text, a line each.
    #[must_use]
    pub fn lines(findings: &[Self]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
            write!(f, "{file}{line}: ")?;
        }
        if let Some(name) = &self.variable {
            write!(f, "environment variable {name}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}")?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, ": ")?;
        }
        f.write_str(&self.reason)
    }
}
