//! The commands: each turns its options into one report, which `main` prints.

pub(crate) mod compare;
pub(crate) mod crash;
pub(crate) mod privacy;
pub(crate) mod run;
pub(crate) mod verify;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A folder to work in: the user's, kept, or a temporary one, removed at the end.
#[derive(Debug)]
pub(crate) enum Workplace {
    /// Given by the user.
    Kept(PathBuf),
    /// Made by us.
    Temporary(TempDir),
}

impl Workplace {
    /// Takes the user's folder, or makes a temporary one.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new(data: Option<&Path>) -> anyhow::Result<Self> {
        match data {
            None => Ok(Self::Temporary(tempfile::tempdir().context("make a temporary folder")?)),
            Some(data) => {
                let data = std::path::absolute(data).context("find the data folder")?;
                std::fs::create_dir_all(&data)
                    .with_context(|| format!("create {}", data.display()))?;
                Ok(Self::Kept(data))
            }
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Keeps even a temporary folder, as something in it must be looked at.
    pub(crate) fn keep(self) -> PathBuf {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.keep(),
        }
    }
}

/// Median, lowest and highest of some figures.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spread {
    /// The middle one; of an even number the lower middle.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) min: f64,
    /// The highest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; none of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len().saturating_sub(1) / 2;
        Some(Self { median: *sorted.get(middle)?, min: *sorted.first()?, max: *sorted.last()? })
    }

    /// `median [min-max]`.
    pub(crate) fn text(&self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} [{min:.digits$}-{max:.digits$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).unwrap().text(1), "2.0 [1.0-3.0]");
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert!(Spread::of(&[]).is_none());
    }
}
