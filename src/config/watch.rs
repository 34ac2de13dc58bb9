//! Tells when the configuration file, or a transformation beside it, may have changed.
//!
//! Folders are watched, not files: editors and orchestrators replace a file by another. What
//! changed is not told; the listener loads everything again and compares.

use std::path::{Path, PathBuf};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// A folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}", folder.display())]
pub struct WatchError {
    /// The folder.
    pub folder: PathBuf,
    /// The operating system's reason.
    #[source]
    pub source: notify::Error,
}

/// Watches folders until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    changes: mpsc::Receiver<()>,
    // Stops when dropped.
    _watcher: notify::RecommendedWatcher,
}

impl Watcher {
    /// Watches the folder of `file` and `folders`, not what lies deeper.
    ///
    /// # Errors
    /// [`WatchError`] if one of them cannot be watched.
    pub fn new<'a>(
        file: &'a Path,
        folders: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, WatchError> {
        // One waiting change is enough: whoever takes it loads everything.
        let (sender, changes) = mpsc::channel(1);
        let notify = move |event: notify::Result<notify::Event>| {
            let concerns = event.map_or(true, |event| !event.kind.is_access());
            if concerns {
                // Full means that a change is waiting already.
                sender.try_send(()).ok();
            }
        };
        let own = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let failed = |folder: &Path, source| WatchError { folder: folder.to_path_buf(), source };
        let mut watcher =
            notify::recommended_watcher(notify).map_err(|source| failed(own, source))?;
        for folder in std::iter::once(own).chain(folders.into_iter().filter(|other| *other != own))
        {
            watcher
                .watch(folder, RecursiveMode::NonRecursive)
                .map_err(|source| failed(folder, source))?;
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for a change. Several that come close together are told once or twice. May be dropped
    /// and called again without losing one.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
