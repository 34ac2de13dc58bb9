//! A transformation as it was read: its source, the libraries it imports, and that both run.
//!
//! Loading happens once, at start or reload; every thread's runtime then builds its own instance
//! from the same checked source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::instance::{BuildError, Instance};
use super::terms::Limits;

/// Libraries that one script may import, those of its libraries included.
pub const LIBRARIES_MAX: usize = 64;
/// Bytes of a script's source, those of its libraries included.
pub const SOURCES_BYTES_MAX: usize = 4 << 20;
/// What the top of a script and its libraries may take: tables are built there, once.
pub(super) const LOAD_CPU: Duration = Duration::from_secs(1);
/// Bytes of a library's name.
const NAME_BYTES_MAX: usize = 128;

/// How a script takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `transformEvent(event, metadata)`, one event a call.
    Event,
    /// `transformBatch(events, metadata)`, up to [`super::BATCH_MAX`] events a call.
    Batch,
}

/// What is wrong with a script. Texts come from the script's source and the engine, never from
/// an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", line.map_or_else(String::new, |line| format!(":{line}")))]
pub struct Fault {
    /// The script's name or that of its library, with the ending.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<u32>,
    /// Why it cannot be used.
    pub reason: String,
}

/// A script that was checked. Cheap to clone; clones share one instance in each runtime.
///
/// What a script keeps in its module's variables is seen by all events of one instance. Load the
/// file once for each source, and nothing passes from source to source.
#[derive(Clone)]
pub struct Script(Arc<Source>);

/// What an instance is built from.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// By name without ending.
    pub(super) libraries: BTreeMap<String, String>,
    kind: Kind,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("name", &self.0.name)
            .field("kind", &self.0.kind)
            .field("libraries", &self.0.libraries.len())
            .finish_non_exhaustive()
    }
}

impl Script {
    /// Reads `source`, whose messages call it `name` (a file name, with its ending).
    ///
    /// `libraries` is asked for the source of each import, directly or by a library, under its name
    /// without a leading `./` and without the ending `.js`; `import` at the top and inside
    /// functions (`import("x")` with a library that is imported at some top too) find the same.
    /// The code at the top of the modules runs once here, for a second of CPU time at most.
    ///
    /// # Errors
    /// The first [`Fault`]: wrong syntax, an import that `libraries` does not have or whose name
    /// leads out of the folder, an error at a module's top, not exactly one of `transformEvent` and
    /// `transformBatch` exported, a limit of this module passed.
    pub fn load(
        name: &str,
        source: &str,
        libraries: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Fault> {
        let fault = |reason: String| Fault { file: name.to_owned(), line: None, reason };
        let mut bytes = 0;
        check_source(name, source, &mut bytes)?;
        let mut draft = Source {
            name: name.to_owned(),
            text: source.to_owned(),
            libraries: BTreeMap::new(),
            kind: Kind::Event,
        };
        loop {
            match Instance::build(&draft, &Limits::default()) {
                Ok(instance) => {
                    draft.kind = instance.kind();
                    return Ok(Self(Arc::new(draft)));
                }
                Err(BuildError::Missing { import, importer }) => {
                    let found = libraries(&import).ok_or_else(|| Fault {
                        line: line_of_import(&draft, &importer, &import),
                        reason: format!("there is no library {import:?} beside this file"),
                        file: importer,
                    })?;
                    check_source(&import, &found, &mut bytes)?;
                    if draft.libraries.len() >= LIBRARIES_MAX {
                        return Err(fault(format!("more than {LIBRARIES_MAX} libraries")));
                    }
                    draft.libraries.insert(import, found);
                }
                Err(BuildError::Fault(fault)) => return Err(fault),
                Err(BuildError::Engine) => {
                    return Err(fault("the JavaScript engine has no memory".to_owned()));
                }
            }
        }
    }

    /// The name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How it takes events.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The libraries it was loaded with, by name without ending, and what was read: the files whose
    /// change calls for loading it again.
    pub fn libraries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.libraries.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.0
    }
}

/// Adds the source to `bytes`, those of the script so far.
fn check_source(name: &str, text: &str, bytes: &mut usize) -> Result<(), Fault> {
    *bytes = bytes.saturating_add(text.len());
    let reason = if *bytes > SOURCES_BYTES_MAX {
        format!("{bytes} bytes of source with the libraries, {SOURCES_BYTES_MAX} are the most")
    } else if text.contains('\0') {
        "a NUL byte in the source".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault { file: name.to_owned(), line: None, reason })
}

/// The name that a library is asked for by: `./hash.js` and `hash` are one. `None` for a name that
/// could lead out of the folder.
pub(super) fn library_name(import: &str) -> Option<&str> {
    let name = import.strip_prefix("./").unwrap_or(import);
    let name = name.strip_suffix(".js").unwrap_or(name);
    let inside = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !name.bytes().any(|byte| byte < 0x20 || matches!(byte, b'\\' | b':'));
    inside.then_some(name)
}

/// The first line of `importer` that names `import` in quotes.
fn line_of_import(source: &Source, importer: &str, import: &str) -> Option<u32> {
    let text = if importer == source.name {
        &source.text
    } else {
        source.libraries.get(importer.strip_suffix(".js").unwrap_or(importer))?
    };
    let names = |line: &str| {
        line.split(['"', '\''])
            .skip(1)
            .step_by(2)
            .any(|quoted| library_name(quoted) == Some(import))
    };
    let at = text.lines().position(names)?;
    u32::try_from(at + 1).ok()
}
