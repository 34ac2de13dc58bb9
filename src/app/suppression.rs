//! From the file of suppressed users to the list in force.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::Config;
use crate::transform::{Pseudonyms, Suppression};

/// Largest list: seven million ids of 36 characters. Read anew at each reload, beside the one in force.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The text of a list.
///
/// # Errors
/// The file cannot be read, is no text or is too large.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        let reason = format!("{bytes} bytes are more than {FILE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    fs::read_to_string(path)
}

/// Users whose events are dropped; nobody without a list.
pub(super) fn load(config: &Config, pseudonyms: &Pseudonyms) -> Result<Suppression, Vec<String>> {
    let Some(path) = &config.privacy.suppression_file else { return Ok(Suppression::default()) };
    let text = read(path)
        .map_err(|error| vec![format!("privacy.suppression_file {}: {error}", path.display())])?;
    let list = Suppression::read(&text, pseudonyms);
    if list.unusable() > 0 {
        tracing::warn!(lines = list.unusable(), "suppression list names hashes of another key");
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_list_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        fs::write(&path, "u-1\n").unwrap();
        assert_eq!(read(&path).unwrap(), "u-1\n");
        // Sparse: it takes no room.
        fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("are more than"), "{error}");
    }
}
