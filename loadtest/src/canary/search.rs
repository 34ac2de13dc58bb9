//! Looks for canaries: raw bytes of any file, every text of Parquet files, names of files and
//! columns, and answers of endpoints. All needles at once, in any letter case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::Context;
use serde::Serialize;

use super::place::{Form, Placed};
use super::value::Kind;
use crate::lake::{manifest, table};

/// Finds are told apart by these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Find {
    /// What leaked.
    pub(crate) kind: Kind,
    /// How it stood.
    pub(crate) form: Form,
    /// The place it was sent in.
    pub(crate) place: String,
    /// Where it was found.
    pub(crate) found_in: String,
}

/// A search over everything that was sent.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    needles: AhoCorasick,
    /// Which canary a needle belongs to.
    owners: Vec<usize>,
    placed: &'a [Placed],
    /// What was found so far, with how often.
    pub(crate) finds: BTreeMap<Find, u64>,
    /// Canaries found anywhere.
    pub(crate) leaked: BTreeSet<usize>,
    /// Bytes looked at, after decompression.
    pub(crate) bytes: u64,
    /// Files looked at.
    pub(crate) files: u64,
}

impl<'a> Search<'a> {
    /// Prepares the search for `placed`.
    ///
    /// # Errors
    /// When there are too many needles.
    pub(crate) fn new(placed: &'a [Placed]) -> anyhow::Result<Self> {
        let mut needles = Vec::new();
        let mut owners = Vec::new();
        for (owner, placed) in placed.iter().enumerate() {
            for needle in &placed.canary.needles {
                needles.push(needle);
                owners.push(owner);
            }
        }
        let needles = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(needles)
            .context("prepare the search")?;
        let (finds, leaked) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { needles, owners, placed, finds, leaked, bytes: 0, files: 0 })
    }

    /// Looks into `bytes`, which are called `name` in the report.
    pub(crate) fn bytes(&mut self, bytes: &[u8], name: &str) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        for found in self.needles.find_iter(bytes) {
            let Some(owner) = self.owners.get(found.pattern().as_usize()).copied() else {
                continue;
            };
            let Some(placed) = self.placed.get(owner) else { continue };
            let find = Find {
                kind: placed.canary.kind,
                form: placed.form,
                place: placed.place.clone(),
                found_in: name.to_owned(),
            };
            self.leaked.insert(owner);
            *self.finds.entry(find).or_default() += 1;
        }
    }

    /// Looks into every file under `folder`: its path, its raw bytes, and every text if it is a
    /// Parquet file. `name` stands for the folder in the report.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn folder(&mut self, folder: &Path, name: &str) -> anyhow::Result<()> {
        for path in manifest::files_under(folder)? {
            let relative = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            self.files += 1;
            self.bytes(relative.as_bytes(), &format!("{name}: names of files"));
            let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let parquet = relative.ends_with(".parquet");
            let sort = if parquet { "parquet bytes".to_owned() } else { sort_of(&relative) };
            self.bytes(&bytes, &format!("{name}: {sort}"));
            if parquet {
                self.parquet(&path, name, &relative)?;
            }
        }
        Ok(())
    }

    fn parquet(&mut self, path: &Path, name: &str, relative: &str) -> anyhow::Result<()> {
        let shape = table::shape(path)?;
        for text in shape.columns.iter().chain(&shape.notes) {
            self.bytes(text.as_bytes(), &format!("{name}: names of columns"));
        }
        // .../<table>/<year>/<month>/<day>/<hour>/<file>
        let table = relative.split('/').rev().nth(5).unwrap_or("table").to_owned();
        table::each_text(path, |column, text| {
            self.bytes(text.as_bytes(), &format!("{name}: {table}.{column}"));
        })
    }
}

/// What kind of file this is, without its number: finds in a hundred segments are one find.
fn sort_of(relative: &str) -> String {
    let sort: String = relative.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let mut squeezed = String::new();
    for c in sort.chars() {
        if c != '#' || !squeezed.ends_with('#') {
            squeezed.push(c);
        }
    }
    squeezed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::canary::value::Canary;
    use crate::rng::Rng;

    fn placed() -> Vec<Placed> {
        let mut rng = Rng::new(3);
        [Kind::Email, Kind::Card, Kind::Phone]
            .into_iter()
            .map(|kind| Placed {
                canary: Canary::new(kind, &mut rng),
                place: "track.properties.label".to_owned(),
                form: Form::Whole,
            })
            .collect()
    }

    #[test]
    fn canaries_are_found_in_bytes_names_and_compressed_columns() {
        let placed = placed();
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("rudder-datalake/s/tracks/2026/11/21/10");
        std::fs::create_dir_all(&table).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some(placed[1].canary.text.as_str()),
        ]));
        let batch = RecordBatch::try_from_iter([("label", column)]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .build();
        let file = std::fs::File::create(table.join("f.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        std::fs::write(folder.path().join("segment-0001"), b"nothing here").unwrap();
        let named = placed[0].canary.needles[0].to_uppercase();
        std::fs::write(folder.path().join(named), b"x").unwrap();
        let mut search = Search::new(&placed).unwrap();
        search.folder(folder.path(), "lake").unwrap();
        let found: Vec<&str> = search.finds.keys().map(|find| find.found_in.as_str()).collect();
        assert!(found.contains(&"lake: names of files"), "{found:?}");
        assert!(found.contains(&"lake: tracks.label"), "{found:?}");
        assert_eq!(search.leaked.into_iter().collect::<Vec<_>>(), [0, 1], "the phone is nowhere");
        assert_eq!(search.files, 3);
    }

    #[test]
    fn parts_of_a_canary_are_no_find() {
        let placed = placed();
        let mut search = Search::new(&placed).unwrap();
        let card = &placed[1].canary.text;
        search.bytes(&card.as_bytes()[..12], "x");
        search.bytes(b"@canary-mail.com", "x");
        assert!(search.finds.is_empty());
        search.bytes(
            format!("[{}]", super::super::place::percent(&placed[2].canary.text)).as_bytes(),
            "x",
        );
        assert_eq!(search.leaked.len(), 1);
    }
}
