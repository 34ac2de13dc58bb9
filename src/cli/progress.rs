//! How far long work has come, for whoever watches.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Width of the bar in characters.
const WIDTH: u64 = 30;

/// A bar on the terminal; nothing where there is none. Its line ends when it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    is_watched: bool,
    has_begun: Cell<bool>,
}

impl Progress {
    /// Nothing is shown `for_programs`, either.
    pub(super) fn new(for_programs: bool) -> Self {
        let is_watched = io::stderr().is_terminal() && !for_programs;
        Self { is_watched, has_begun: Cell::new(false) }
    }

    /// Shows the bar for `done` of `all`, and `text` behind it.
    pub(super) fn show(&self, done: u64, all: u64, text: impl Display) {
        if self.is_watched {
            self.has_begun.set(true);
            // The work does not end because nobody can watch it.
            write!(io::stderr(), "\r{} {text} ", bar(done, all)).ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.has_begun.get() {
            writeln!(io::stderr()).ok();
        }
    }
}

fn bar(done: u64, all: u64) -> String {
    let filled = done.saturating_mul(WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    let line: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
    format!("[{line}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_nothing_to_all() {
        let filled = |done, all| bar(done, all).matches('#').count();
        let bars = [(0, 9), (3, 9), (9, 9), (10, 9), (0, 0)].map(|(done, all)| filled(done, all));
        assert_eq!(bars, [0, 10, 30, 30, 30]);
    }
}
