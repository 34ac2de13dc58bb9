//! Taking over a changed configuration: all of it is checked first and swapped at once; a fault
//! keeps the old one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::{chains, gauges, load, suppression, tls};
use crate::config::{self, Config, Environment, Finding};
use crate::http::tls::Acceptor;
use crate::ingest::{Ingest, Live};
use crate::source::Sources;

/// Reads the configuration again when it is told to.
#[derive(Debug)]
pub struct Reloader {
    /// What the program was started with: what needs a restart is in force as it stands here.
    pub(super) running: Config,
    /// What was taken over last.
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) ingest: Arc<Ingest>,
    pub(super) sources: Arc<ArcSwap<Sources>>,
    pub(super) options: Arc<ArcSwap<config::Http>>,
    pub(super) tls: Option<Acceptor>,
    pub(super) settings: load::Shared,
    pub(super) counts: Arc<gauges::Reloads>,
    pub(super) seen: [u8; 32],
}

impl Reloader {
    /// The file that is read, and the folders whose changes matter.
    #[must_use]
    pub fn watched(&self) -> (&Path, BTreeSet<PathBuf>) {
        let folders = self
            .paths()
            .into_iter()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
            .filter(|folder| folder.is_dir())
            .collect();
        (&self.config.file, folders)
    }

    /// As [`Reloader::reload`], if the files are not what they were when they were last read.
    pub fn reload_if_changed(&mut self) {
        if self.fingerprint() != self.seen {
            self.reload();
        }
    }

    /// The files that transformations are made from, and the certificate with its key.
    fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = chains::paths(&self.config);
        paths.extend(chains::libraries(&self.ingest.live().chains));
        let tls = self.config.http.tls.as_ref();
        paths.extend(tls.into_iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]));
        paths
    }

    /// A hash of all files that matter: folders tell of changes that are none.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let (file, _) = self.watched();
        let paths = self.paths();
        for path in std::iter::once(file).chain(paths.iter().map(PathBuf::as_path)) {
            hash.update(content(path));
            hash.update([0xff]);
        }
        hash.finalize().into()
    }

    /// Reads, checks and takes over; `false` if the old configuration stays.
    pub fn reload(&mut self) -> bool {
        self.seen = self.fingerprint();
        match self.try_reload() {
            Ok(()) => {
                // Other files may matter now.
                self.seen = self.fingerprint();
                self.counts.done.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(faults) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    faults = faults.join("; "),
                    "new configuration refused, old one stays"
                );
                false
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), Vec<String>> {
        let config = config::load(&self.config.file, &self.environment)
            .map_err(|faults| vec![faults.to_string()])?;
        let lines = |faults: Vec<Finding>| Finding::lines(&faults);
        let chains = chains::compile(&config).map_err(lines)?;
        let pair = tls::read(&config).map_err(lines)?;
        // At each reload anew: a change that was put back is none, one that waits is told again.
        let restart = config::needs_restart(&self.running, &config);
        if !restart.is_empty() {
            tracing::warn!(keys = restart.join(", "), "these changes need a restart");
        }
        let sources = Arc::new(Sources::new(&config.sources));
        let suppression = suppression::load(&config, self.ingest.pseudonyms())?;
        // The pipeline first: whoever the edge lets in has a chain then.
        self.ingest.reload(Live { sources: Arc::clone(&sources), chains, suppression });
        self.sources.store(sources);
        self.options.store(Arc::new(config.http.clone()));
        if let (Some(acceptor), Some(pair)) = (&self.tls, pair) {
            acceptor.exchange(pair);
        }
        // Counts from the next batch on, but for what needs a restart.
        let settings =
            load::settings(&Config { load: self.running.load.clone(), ..config.clone() });
        self.settings.store(Arc::new(settings));
        tracing::info!(sources = config.sources.len(), "configuration taken over");
        self.config = config;
        Ok(())
    }
}

/// What tells a file from what it was. A long one, which only a suppression list is, is not read at
/// each event of its folder: any change of it changes its time.
fn content(path: &Path) -> Vec<u8> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > chains::FILE_BYTES_MAX => {
            format!("{} {} {}.{}", meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()).into()
        }
        _ => fs::read(path).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_told_by_its_time_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        fs::write(&path, "u-1\n").unwrap();
        assert_eq!(content(&path), b"u-1\n");
        // Sparse: it takes no room.
        let file = fs::File::create(&path).unwrap();
        file.set_len(chains::FILE_BYTES_MAX + 1).unwrap();
        let before = content(&path);
        assert!(before.len() < 100);
        assert_eq!(content(&path), before);
        file.set_len(chains::FILE_BYTES_MAX + 2).unwrap();
        assert_ne!(content(&path), before);
    }
}
