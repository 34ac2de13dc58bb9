//! From the names in a source's `transforms` to compiled transformations.
//!
//! A name is looked for in `transforms/` beside the configuration and beside it, with the endings
//! `.toml` and `.js`; then among the packs built into the program. A path is taken from the
//! configuration's folder. Each pack is compiled once and counts for each source apart; a script is
//! compiled once for each source, so that nothing a script keeps passes from one to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Finding};
pub use crate::ingest::Chains;
use crate::ingest::{Chain, Stage};
use crate::script::Script;
use crate::transform::{self, Pack};

/// Bytes of a pack or script; real ones have a few thousand.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Compiles the transformations of every source.
///
/// # Errors
/// Everything that is wrong, with file, line and reason.
pub fn compile(config: &Config) -> Result<Chains, Vec<Finding>> {
    let mut files = Files::new(config);
    let mut chains = Chains::default();
    for (n, source) in config.sources.iter().enumerate() {
        let mut stages = Vec::new();
        let key = Finding::of_key(&config.file, &format!("source[{n}].transforms"), String::new());
        for name in &source.transforms {
            stages.extend(files.stage(&key, name));
        }
        let stages = files.in_order(stages);
        chains.insert(source.id.clone(), Arc::new(Chain::new(stages)));
    }
    let faults: Vec<Finding> = files.faults.into_iter().collect();
    if faults.is_empty() { Ok(chains) } else { Err(faults) }
}

/// The transformations named `names`, for a caller without a source.
///
/// # Errors
/// As [`compile`].
pub fn compile_names(config: &Config, names: &[String]) -> Result<Chain, Vec<Finding>> {
    let mut files = Files::new(config);
    let key = Finding { key: Some("transformation".to_owned()), ..Finding::default() };
    let stages = names.iter().filter_map(|name| files.stage(&key, name)).collect();
    let stages = files.in_order(stages);
    let faults: Vec<Finding> = files.faults.into_iter().collect();
    if faults.is_empty() { Ok(Chain::new(stages)) } else { Err(faults) }
}

/// The libraries that the scripts of `chains` import, wherever below the script they lie, and what
/// was read of each.
#[must_use]
pub fn libraries(chains: &Chains) -> BTreeMap<PathBuf, &str> {
    let mut files = BTreeMap::new();
    // A script is never among the leading packs.
    for stage in chains.values().flat_map(|chain| chain.rest()) {
        let Stage::Script(script) = stage else { continue };
        let folder = folder_of(Path::new(script.name()));
        let library = |(name, text)| (folder.join(format!("{name}.js")), text);
        files.extend(script.libraries().map(library));
    }
    files
}

/// The files that the sources' transformations come from, scripts beside them and the suppression
/// list with them: a change calls for a reload.
#[must_use]
pub fn paths(config: &Config) -> BTreeSet<PathBuf> {
    let folder = folder_of(&config.file);
    let names = config.sources.iter().flat_map(|source| &source.transforms);
    let mut paths: BTreeSet<PathBuf> = names.filter_map(|name| find(&folder, name)).collect();
    let scripts = paths.iter().filter(|path| is_script(path));
    let folders: BTreeSet<PathBuf> =
        scripts.filter_map(|path| path.parent().map(Path::to_owned)).collect();
    for beside in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()) {
        paths.extend(beside.flatten().map(|entry| entry.path()).filter(|path| is_script(path)));
    }
    paths.extend(config.privacy.suppression_file.clone());
    paths
}

struct Files {
    folder: PathBuf,
    packs: BTreeMap<String, Option<Arc<Pack>>>,
    faults: BTreeSet<Finding>,
}

impl Files {
    fn new(config: &Config) -> Self {
        let folder = folder_of(&config.file);
        Self { folder, packs: BTreeMap::new(), faults: BTreeSet::new() }
    }

    /// The transformation `name`; `key` says in a fault who named it.
    fn stage(&mut self, key: &Finding, name: &str) -> Option<Stage> {
        if let Some(pack) = self.packs.get(name) {
            return pack.as_ref().map(|pack| Stage::Pack(Arc::new(pack.counted_apart())));
        }
        let path = find(&self.folder, name);
        if let Some(path) = path.as_ref().filter(|path| is_script(path)) {
            return self.script(key, name, path).map(|script| Stage::Script(Arc::new(script)));
        }
        let pack = self.pack(key, name, path.as_deref(), 0);
        self.packs.insert(name.to_owned(), pack.clone());
        pack.map(Stage::Pack)
    }

    /// The stages, each pack behind those before it. What a script leaves is looked at anew.
    fn in_order(&mut self, stages: Vec<Stage>) -> Vec<Stage> {
        let mut earlier: Vec<Arc<Pack>> = Vec::new();
        let mut ordered = Vec::new();
        for stage in stages {
            match stage {
                Stage::Script(_) => {
                    earlier.clear();
                    ordered.push(stage);
                }
                Stage::Pack(pack) if earlier.is_empty() => {
                    earlier.push(Arc::clone(&pack));
                    ordered.push(Stage::Pack(pack));
                }
                Stage::Pack(pack) => match pack.behind(&earlier) {
                    Ok(pack) => {
                        let pack = Arc::new(pack);
                        earlier.push(Arc::clone(&pack));
                        ordered.push(Stage::Pack(pack));
                    }
                    Err(fault) => drop(self.faults.insert(in_pack(&fault))),
                },
            }
        }
        ordered
    }

    /// Compiles a pack and those that its consent rules name, which may name none themselves.
    fn pack(
        &mut self,
        key: &Finding,
        name: &str,
        path: Option<&Path>,
        depth: usize,
    ) -> Option<Arc<Pack>> {
        let compiled = match path {
            Some(path) => Pack::compile(&path.display().to_string(), &self.read(key, name, path)?),
            None => match Pack::builtin_text(name) {
                Some(text) => Pack::compile(name, text),
                None => {
                    let known: Vec<&str> = Pack::builtin_names().collect();
                    let folder = self.folder.join("transforms");
                    let (folder, known) = (folder.display(), known.join(", "));
                    let reason = format!("is neither in {folder} nor built in ({known})");
                    self.faults.insert(named(key, name, reason));
                    return None;
                }
            },
        };
        let mut pack = match compiled {
            Ok(pack) => pack,
            Err(faults) => {
                self.faults.extend(faults.iter().map(in_pack));
                return None;
            }
        };
        let mut linked = BTreeMap::new();
        if depth == 0 {
            for other in pack.consent_packs() {
                let path = find(&self.folder, &other).filter(|path| !is_script(path));
                if let Some(found) = self.pack(key, &other, path.as_deref(), 1) {
                    linked.insert(other, found);
                }
            }
        }
        if let Err(faults) = pack.link(|name| linked.get(name).map(Arc::clone)) {
            self.faults.extend(faults.iter().map(in_pack));
            return None;
        }
        Some(Arc::new(pack))
    }

    fn script(&mut self, key: &Finding, name: &str, path: &Path) -> Option<Script> {
        let text = self.read(key, name, path)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let library = |name: &str| {
            let path = folder.join(format!("{name}.js"));
            let small = fs::metadata(&path).ok()?.len() <= FILE_BYTES_MAX;
            small.then(|| fs::read_to_string(&path).ok()).flatten()
        };
        match Script::load(&path.display().to_string(), &text, &library) {
            Ok(script) => Some(script),
            Err(fault) => {
                let line = fault.line.and_then(|line| usize::try_from(line).ok());
                let (file, reason) = (Some(fault.file), fault.reason);
                self.faults.insert(Finding { file, line, reason, ..Finding::default() });
                None
            }
        }
    }

    fn read(&mut self, key: &Finding, name: &str, path: &Path) -> Option<String> {
        let read = fs::metadata(path).and_then(|meta| {
            if meta.len() > FILE_BYTES_MAX {
                return Err(std::io::Error::other("larger than 1 MiB"));
            }
            fs::read_to_string(path)
        });
        match read {
            Ok(text) => Some(text),
            Err(error) => {
                let reason = format!("cannot read {}: {error}", path.display());
                self.faults.insert(named(key, name, reason));
                None
            }
        }
    }
}

/// What is wrong with the transformation `name`.
fn named(key: &Finding, name: &str, reason: String) -> Finding {
    Finding { value: Some(format!("{name:?}")), reason, ..key.clone() }
}

fn in_pack(fault: &transform::Fault) -> Finding {
    let key = (!fault.key.is_empty()).then(|| fault.key.clone());
    let (file, line) = (Some(fault.pack.clone()), Some(fault.line));
    Finding { file, line, key, reason: fault.why.to_string(), ..Finding::default() }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}

fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "js")
}

/// The file that `name` means; `None` leaves the built-in packs.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let is_path = name.contains('/') || name.ends_with(".toml") || name.ends_with(".js");
    if is_path {
        return Some(folder.join(name));
    }
    [folder.join("transforms"), folder.to_owned()]
        .into_iter()
        .flat_map(|folder| ["toml", "js"].map(|ending| folder.join(format!("{name}.{ending}"))))
        .find(|path| path.try_exists().unwrap_or(false))
}
