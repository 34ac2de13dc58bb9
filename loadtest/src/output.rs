//! Where the harness writes: answers go to standard output, each whole at once, and progress goes to
//! standard error and only to a terminal, so that a pipe gets the answer alone.

use std::io::{self, IsTerminal, StderrLock, Write};

use anyhow::Context;
use serde::Serialize;

/// Standard output, in the form the caller asked for.
#[derive(Debug)]
pub(crate) struct Output {
    out: io::Stdout,
    json: bool,
}

impl Output {
    /// Standard output.
    pub(crate) fn new(json: bool) -> Self {
        Self { out: io::stdout(), json }
    }

    /// Prints `value` as JSON if a program reads the answer, else the text that `human` makes.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn answer<T: Serialize>(
        &mut self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { human(value) };
        self.line(text.trim_end())
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn line(&mut self, text: &str) -> anyhow::Result<()> {
        let mut out = self.out.lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
        written.and_then(|()| out.flush()).context("write standard output")
    }
}

/// A line of progress that overwrites itself on a terminal and is silent elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    /// A progress line for this process's standard error.
    pub(crate) fn new() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal() }
    }

    /// Shows `text` in place of the last one. A terminal that went away is no reason to stop.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            drop(write_over(&mut io::stderr().lock(), text));
        }
    }

    /// Ends the line, so that what follows starts on its own.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            drop(write_over(&mut io::stderr().lock(), ""));
        }
    }
}

fn write_over(err: &mut StderrLock<'_>, text: &str) -> io::Result<()> {
    err.write_all(b"\r\x1b[K")?;
    err.write_all(text.as_bytes())?;
    err.flush()
}

/// Says on standard error why the command failed. If that cannot be written either, the exit code
/// still says it.
pub(crate) fn failed(fault: &anyhow::Error) {
    say(&format!("{fault:#}"));
}

/// Says `text` on standard error; a terminal that went away is no reason to stop.
pub(crate) fn say(text: &str) {
    drop(io::stderr().lock().write_all(format!("loadtest: {text}\n").as_bytes()));
}
