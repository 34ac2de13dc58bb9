//! Taking over a changed configuration: all of it is checked first and swapped at once; a fault
//! keeps the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::chains::{self, Chains};
use super::{gauges, load, suppression, tls};
use crate::config::{self, Config, Environment, Finding};
use crate::http::tls::Acceptor;
use crate::ingest::{Ingest, Live};
use crate::source::Sources;

/// What files were before they were read, so that a change while they are read is seen afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prints(BTreeMap<PathBuf, [u8; 32]>);

impl Prints {
    /// Of the configuration's file; to be taken before it is read.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self::of([path.to_owned()])
    }

    fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let print = |path: PathBuf| {
            let print = Sha256::digest(content(&path)).into();
            (path, print)
        };
        Self(paths.into_iter().map(print).collect())
    }

    /// Adds those of other files.
    pub(super) fn join(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// The transformations of every source, and the prints of all files that `config` names from before
/// any of them was read; a library, which is known only then, has that of what was read.
///
/// # Errors
/// As of [`chains::compile`].
pub(super) fn compile(config: &Config) -> Result<(Chains, Prints), Vec<Finding>> {
    let mut read = Prints::of(named(config));
    let chains = chains::compile(config)?;
    for (path, text) in chains::libraries(&chains) {
        read.0.entry(path).or_insert_with(|| Sha256::digest(text).into());
    }
    Ok((chains, read))
}

/// The files that transformations are made from, and the certificate with its key.
fn named(config: &Config) -> BTreeSet<PathBuf> {
    let mut paths = chains::paths(config);
    let tls = config.http.tls.as_ref();
    paths.extend(tls.into_iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]));
    paths
}

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
    /// The files as they were before they were read last.
    pub(super) seen: Prints,
    /// What the configuration names that was read last, refused or not: where it waits for a file,
    /// that file is all that changes.
    pub(super) wanted: BTreeSet<PathBuf>,
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
        if self.prints() != self.seen {
            self.reload();
        }
    }

    /// The files that matter, besides the configuration's own.
    fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = named(&self.config);
        paths.extend(self.wanted.iter().cloned());
        paths.extend(chains::libraries(&self.ingest.live().chains).into_keys());
        paths
    }

    /// Those of all files that matter, now: folders tell of changes that are none.
    fn prints(&self) -> Prints {
        Prints::of(self.paths()).join(Prints::of_file(&self.config.file))
    }

    /// Reads, checks and takes over; `false` if the old configuration stays.
    pub fn reload(&mut self) -> bool {
        self.seen = self.prints();
        match self.try_reload() {
            Ok(read) => {
                self.seen = read;
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

    /// The files that matter now, as they were before they were read.
    fn try_reload(&mut self) -> Result<Prints, Vec<String>> {
        // A pipe was read once; empty as it is now it would be a configuration without sources.
        if fs::metadata(&self.config.file).is_ok_and(|meta| !meta.is_file()) {
            let file = self.config.file.display();
            return Err(vec![format!("{file}: not a file that can be read a second time")]);
        }
        let file = Prints::of_file(&self.config.file);
        let config = config::load(&self.config.file, &self.environment)
            .map_err(|faults| vec![faults.to_string()])?;
        self.wanted = named(&config);
        let lines = |faults: Vec<Finding>| Finding::lines(&faults);
        let (chains, read) = compile(&config).map_err(lines)?;
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
        // Of what the edge looks at this alone needs a restart: the pipeline's limit is the same.
        let max_event = self.running.http.max_event;
        self.options.store(Arc::new(config::Http { max_event, ..config.http.clone() }));
        if let (Some(acceptor), Some(pair)) = (&self.tls, pair) {
            acceptor.exchange(pair);
        }
        // Counts from the next batch on, but for what needs a restart.
        let settings =
            load::settings(&Config { load: self.running.load.clone(), ..config.clone() });
        self.settings.store(Arc::new(settings));
        tracing::info!(sources = config.sources.len(), "configuration taken over");
        self.config = config;
        Ok(read.join(file))
    }
}

/// What tells a file from what it was. A long one, which only a suppression list is, is not read at
/// each event of its folder: any change of it changes its time. A pipe is not read either: what is in it
/// can be read once, by whoever asked for it.
fn content(path: &Path) -> Vec<u8> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Vec::new(),
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
    fn what_is_no_file_is_not_read() {
        let (read, mut write) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut write, b"once").unwrap();
        drop(write);
        let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read)));
        assert_eq!(content(&path), b"");
        assert_eq!(fs::read(&path).unwrap(), b"once");
    }

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
