//! The loop against a lake that fails and a process that dies at every step.

mod again;
mod books;
mod crash;
mod cut;
mod damaged;
mod familiar;
mod formats;
mod kept;
mod mapped;
mod rebuilt;
mod resume;
mod running;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

/// All files below a folder, with their paths in it.
fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
