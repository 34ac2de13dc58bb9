//! Ties a server to this program, so that it does not outlive it however that ends: this program is
//! started again, asks the kernel to be killed with its parent, and becomes the server. Same process id,
//! no code between fork and exec.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// The word that asks for it.
const NAME: &str = "tied";

/// The command that becomes `program`, tied to this process if asked and the system can do that. It is in a
/// process group of its own: Ctrl-C is for the harness, which decides what becomes of its servers.
pub(crate) fn command(program: &Path, tied: bool) -> Command {
    let mut command = if tied && cfg!(target_os = "linux") {
        // Also after a new build has taken this program's place.
        let mut command = Command::new("/proc/self/exe");
        command.args([NAME, &std::process::id().to_string()]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.process_group(0);
    command
}

/// Becomes the program that `words`, those of this program's command line, ask for; returns only if
/// they ask for none, or with why that failed. Read by hand: a child is not to wait for a whole command
/// line to be set up.
///
/// # Errors
/// When the parent is gone already, or the program cannot be started.
pub(crate) fn become_if_asked(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    if words.nth(1).is_none_or(|word| word != NAME) {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL)).context("tie to the parent")?;
        // It may have ended before it could be tied to.
        let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
        let asked = words.next();
        anyhow::ensure!(parent.map(OsString::from) == asked, "the parent is gone");
    }
    let program = words.next().context("no program to become")?;
    let fault = Command::new(&program).args(words).exec();
    Err(fault).with_context(|| format!("start {}", program.to_string_lossy()))
}
