//! The ledger: what became of every message id, as the sender knows it. One JSON line a request,
//! written as requests end, so that a run of any length needs no memory for it; a last line says how
//! the run ended. Written by `run` and `crash`, read by `verify`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::misuse::misuse;

/// What a sender knows of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Refused: must not be loaded.
    Refused,
    /// No answer: may be loaded once.
    Unknown,
    /// Answered 200: must be loaded once.
    Acknowledged,
}

/// How what is noted came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// As planned.
    Complete,
    /// By a signal, before its time; all that was sent is noted.
    CutShort,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Last {
    end: End,
}

/// One request's line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Its fate.
    pub(crate) outcome: Outcome,
    /// The message ids in it.
    pub(crate) ids: Vec<String>,
}

/// Writes a ledger.
#[derive(Debug)]
pub(crate) struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    /// Makes the file, in place of one that is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Notes the fate of a request; `ids` are ended by line feeds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn note(&mut self, outcome: Outcome, ids: &[u8]) -> anyhow::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = String::from_utf8_lossy(ids).lines().map(str::to_owned).collect();
        serde_json::to_writer(&mut self.file, &Line { outcome, ids })
            .context("write the ledger")?;
        self.file.write_all(b"\n").context("write the ledger")
    }

    /// Notes the end and hands everything to the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finish(mut self, end: End) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.file, &Last { end }).context("write the ledger")?;
        self.file.write_all(b"\n").context("write the ledger")?;
        self.file.flush().context("write the ledger")
    }
}

/// Calls `each` for every request's line of the ledger at `path`; answers how it ended, none for one
/// whose writer died.
///
/// # Errors
/// When the file cannot be read or a line is not a ledger's.
pub(crate) fn read(path: &Path, mut each: impl FnMut(Line)) -> anyhow::Result<Option<End>> {
    let mut end = None;
    let file = File::open(path).with_context(|| format!("open {}", path.display()));
    let file = file.map_err(misuse)?;
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        lines.read_line(&mut line).with_context(|| format!("read {}", path.display()))?;
        // What has no end was being written when the writer died.
        let Some(line) = line.strip_suffix('\n') else { break };
        let at = || format!("{} line {number}", path.display());
        if line.starts_with(r#"{"end""#) {
            end = Some(serde_json::from_str::<Last>(line).with_context(at)?.end);
        } else {
            each(serde_json::from_str(line).with_context(at)?);
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut writer = Writer::create(&path).unwrap();
        writer.note(Outcome::Acknowledged, b"a\nb\n").unwrap();
        writer.note(Outcome::Refused, b"").unwrap();
        writer.note(Outcome::Unknown, b"c\n").unwrap();
        writer.finish(End::CutShort).unwrap();
        let mut seen = Vec::new();
        let end = read(&path, |line| seen.push((line.outcome, line.ids.join(",")))).unwrap();
        assert_eq!(end, Some(End::CutShort));
        let expected =
            [(Outcome::Acknowledged, "a,b".to_owned()), (Outcome::Unknown, "c".to_owned())];
        assert_eq!(seen, expected);
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        for cut in ["", &format!("{first}\n"), &format!("{first}\n{}", first.get(..9).unwrap())] {
            std::fs::write(&path, cut).unwrap();
            let mut seen = 0;
            assert_eq!(read(&path, |_| seen += 1).unwrap(), None, "its writer died");
            assert_eq!(seen, cut.lines().count().min(1), "{cut}");
        }
        std::fs::write(&path, "{}\n").unwrap();
        read(&path, |_| {}).unwrap_err();
    }
}
