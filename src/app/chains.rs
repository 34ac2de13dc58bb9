//! From the names in a source's `transforms` to compiled transformations.
//!
//! A name is looked for in `transforms/` beside the configuration and beside it, with the endings
//! `.toml` and `.js`; then among the packs built into the program. A path is taken from the
//! configuration's folder. Each pack is compiled once and counts for each source apart; a script is
//! compiled once for each source, so that nothing a script keeps passes from one to another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::ingest::{Chain, Stage};
use crate::script::Script;
use crate::transform::Pack;

/// Bytes of a pack or script; real ones have a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Compiles the transformations of every source.
///
/// # Errors
/// Everything that is wrong, a line each, with file, line and reason.
pub fn compile(config: &Config) -> Result<HashMap<String, Arc<Chain>>, Vec<String>> {
    let mut files = Files::new(config);
    let mut chains = HashMap::new();
    for (n, source) in config.sources.iter().enumerate() {
        let mut stages = Vec::new();
        let key = format!("{}: source[{n}].transforms", config.file.display());
        for name in &source.transforms {
            match files.stage(&key, name) {
                Some(stage) => stages.push(stage),
                None => continue,
            }
        }
        chains.insert(source.id.clone(), Arc::new(Chain::new(stages)));
    }
    let faults: Vec<String> = files.faults.into_iter().collect();
    if faults.is_empty() { Ok(chains) } else { Err(faults) }
}

/// The transformations named `names`, for a caller without a source.
///
/// # Errors
/// As [`compile`].
pub fn compile_names(config: &Config, names: &[String]) -> Result<Chain, Vec<String>> {
    let mut files = Files::new(config);
    let stages = names.iter().filter_map(|name| files.stage("transformation", name)).collect();
    let faults: Vec<String> = files.faults.into_iter().collect();
    if faults.is_empty() { Ok(Chain::new(stages)) } else { Err(faults) }
}

/// The libraries that the scripts of `chains` import, wherever below the script they lie.
#[must_use]
pub fn libraries(chains: &HashMap<String, Arc<Chain>>) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for stage in chains.values().flat_map(|chain| chain.stages()) {
        let Stage::Script(script) = stage else { continue };
        let folder = folder_of(Path::new(script.name()));
        paths.extend(script.libraries().map(|name| folder.join(format!("{name}.js"))));
    }
    paths
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
    faults: BTreeSet<String>,
}

impl Files {
    fn new(config: &Config) -> Self {
        let folder = folder_of(&config.file);
        Self { folder, packs: BTreeMap::new(), faults: BTreeSet::new() }
    }

    /// The transformation `name`; `key` says in a fault who named it.
    fn stage(&mut self, key: &str, name: &str) -> Option<Stage> {
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

    /// Compiles a pack and those that its consent rules name, which may name none themselves.
    fn pack(
        &mut self,
        key: &str,
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
                    self.faults.insert(format!(
                        "{key} = {name:?}: is neither in {} nor built in ({})",
                        folder.display(),
                        known.join(", ")
                    ));
                    return None;
                }
            },
        };
        let mut pack = match compiled {
            Ok(pack) => pack,
            Err(faults) => {
                self.faults.extend(faults.iter().map(ToString::to_string));
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
            self.faults.extend(faults.iter().map(ToString::to_string));
            return None;
        }
        Some(Arc::new(pack))
    }

    fn script(&mut self, key: &str, name: &str, path: &Path) -> Option<Script> {
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
                self.faults.insert(fault.to_string());
                None
            }
        }
    }

    fn read(&mut self, key: &str, name: &str, path: &Path) -> Option<String> {
        let read = fs::metadata(path).and_then(|meta| {
            if meta.len() > FILE_BYTES_MAX {
                return Err(std::io::Error::other("larger than 1 MiB"));
            }
            fs::read_to_string(path)
        });
        match read {
            Ok(text) => Some(text),
            Err(error) => {
                let path = path.display();
                self.faults.insert(format!("{key} = {name:?}: cannot read {path}: {error}"));
                None
            }
        }
    }
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
