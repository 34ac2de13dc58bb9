//! The variables of the process: what `${NAME}` takes and what overrides keys.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Environment variables by name; those that are no UTF-8 are known by name only.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// No variables at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The text of a variable.
    ///
    /// # Errors
    /// See [`Untold`].
    pub(super) fn get(&self, name: &str) -> Result<&str, Untold> {
        let text = self.0.get(name).ok_or(Untold::NotSet)?;
        text.as_deref().ok_or(Untold::NotText)
    }

    /// All variables in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_deref()))
    }
}

/// Why a variable has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// There is no such variable.
    NotSet,
    /// It is no UTF-8.
    NotText,
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let text = |(name, value): (OsString, OsString)| match name.into_string() {
            Ok(name) => (name, value.into_string().ok()),
            // Nobody can name it, but it may begin like an override.
            Err(name) => (name.to_string_lossy().into_owned(), None),
        };
        Self(variables.into_iter().map(text).collect())
    }
}
