//! The comparison inside a page that people write: between two marks, everything else untouched.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

const BEGIN: &str = "<!-- loadtest compare: begin -->\n";
const END: &str = "<!-- loadtest compare: end -->";

/// Asks whether [`put`] will do: to be asked before an hour of measuring.
///
/// # Errors
/// As [`put`].
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    with(path, "")?;
    let opened = std::fs::OpenOptions::new().write(true).open(path);
    opened.map(drop).with_context(|| format!("write {}", path.display()))
}

/// Puts `text` between the marks of the page at `path`.
///
/// # Errors
/// When it cannot be read or written, or has no marks.
pub(super) fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let page = with(path, text)?;
    std::fs::write(path, page).with_context(|| format!("write {}", path.display()))
}

/// The page at `path` with `text` between its marks.
fn with(path: &Path, text: &str) -> anyhow::Result<String> {
    let name = path.display();
    let page = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    replaced(&page, text).with_context(|| format!("{name} has no {}", BEGIN.trim_end()))
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{text}{END}{after}"))
}

/// The commit of the working tree, `+` behind it where it was changed since; none outside of one.
pub(super) fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let answer = Command::new("git").args(arguments).output().ok()?;
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}+") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("# A\n{BEGIN}old\n{END}\ntext\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), format!("# A\n{BEGIN}new\n{END}\ntext\n"));
        assert_eq!(replaced("# A\n", "new"), None);
    }
}
