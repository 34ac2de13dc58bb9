//! Lakes made by hand, right ones and wrong ones.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

struct Lake {
    folder: TempDir,
    files: Vec<String>,
    previous: Option<String>,
    number: u64,
}

impl Lake {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), files: Vec::new(), previous: None, number: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Writes a Parquet file of `ids` and remembers it for the next manifest.
    fn table(&mut self, path: &str, schema: &str, table: &str, ids: &[&str]) {
        let full = self.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(ids.to_vec()));
        let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
        let file = File::create(&full).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let (bytes, sum) = (full.metadata().unwrap().len(), sha256(&full).unwrap());
        let rows = ids.len();
        self.files.push(format!(
            r#"{{"path":"{path}","schema":"{schema}","table":"{table}","rows":{rows},
                "bytes":{bytes},"sha256":"{sum}","schema_version":1}}"#
        ));
    }

    fn commit(&mut self, loaded: u64, duplicate: u64, rejected: u64) {
        let received = loaded + duplicate + rejected;
        let previous =
            self.previous.as_ref().map_or_else(|| "null".to_owned(), |sum| format!(r#""{sum}""#));
        let text = format!(
            r#"{{"format":1,"writer":"w","number":{},"previous":{previous},
               "journal":{{"partition":0,"from":{},"to":{}}},"plan":null,
               "events":{{"received":{received},"loaded":{loaded},"duplicate":{duplicate},
               "rejected":{rejected},"dropped":0,"suppressed":0,"damaged":0,"split":0}},
               "files":[{}]}}"#,
            self.number,
            self.number * 100,
            (self.number + 1) * 100,
            self.files.join(",")
        );
        let folder = self.path().join("_keelrow/batches/w");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{:020}.json", self.number)), &text).unwrap();
        self.previous = Some(format!("sha256:{}", manifest::hex(&Sha256::digest(&text))));
        self.number += 1;
        self.files.clear();
    }

    fn ledger(&self, lines: &[(Outcome, &str)]) -> PathBuf {
        let path = self.folder.path().join("ledger.jsonl");
        let mut writer = ledger::Writer::create(&path).unwrap();
        for (outcome, ids) in lines {
            writer.note(*outcome, ids.replace(' ', "\n").as_bytes()).unwrap();
        }
        writer.finish(ledger::End::Complete).unwrap();
        path
    }
}

const TRACKS: &str = "rudder-datalake/s/tracks/2026/11/21/10/w-0-0.parquet";

#[test]
fn a_right_lake_conserves() {
    let mut lake = Lake::new();
    lake.table(TRACKS, "s", "tracks", &["a", "b"]);
    lake.table("rudder-datalake/s/button/2026/11/21/10/w-0-0.parquet", "s", "button", &["a", "b"]);
    lake.table("rudder-datalake/s/rejected/2026/11/21/10/w-0-0.parquet", "s", "rejected", &["c"]);
    lake.table(
        "unified/prod/events/v1/2026/11/21/10/w-0-0.parquet",
        "unified_prod",
        "events",
        &["a", "b"],
    );
    lake.commit(2, 1, 1);
    lake.table("rudder-datalake/s/pages/2026/11/21/10/w-1-0.parquet", "s", "pages", &["d"]);
    lake.commit(1, 0, 0);
    let ledger = lake.ledger(&[
        (Outcome::Acknowledged, "a b c"),
        (Outcome::Unknown, "d e"),
        (Outcome::Refused, "f"),
    ]);
    let report = verify(&lake.path(), &[&ledger]).unwrap();
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.acknowledged, report.loaded_once, report.lost), (3, 3, 0));
    assert_eq!((report.unknown, report.unknown_loaded, report.refused), (2, 1, 1));
    assert_eq!((report.batches, report.files, report.rows), (2, 5, 8));
    assert!(verify(&lake.path(), &[]).unwrap().holds(), "a lake alone is judged by itself");
}

#[test]
fn every_breach_of_conservation_is_found() {
    type Row<'a> = (&'a [(Outcome, &'a str)], &'a [&'a str], &'a str);
    let rows: [Row<'_>; 5] = [
        (&[(Outcome::Acknowledged, "a b")], &["a"], "b was acknowledged and is lost"),
        (&[(Outcome::Acknowledged, "a")], &["a", "a"], "a is loaded more than once"),
        (&[(Outcome::Unknown, "a")], &["a", "a"], "a is loaded more than once"),
        (&[(Outcome::Refused, "a")], &["a"], "a was refused and is loaded"),
        (&[(Outcome::Acknowledged, "a")], &["a", "z"], "z was loaded and never sent"),
    ];
    for (ledger, ids, expected) in rows {
        let mut lake = Lake::new();
        lake.table(TRACKS, "s", "tracks", ids);
        lake.commit(u64::try_from(ids.len()).unwrap(), 0, 0);
        let ledger = lake.ledger(ledger);
        let report = verify(&lake.path(), &[&ledger]).unwrap();
        assert_eq!(report.faults, [expected]);
    }
}

#[test]
fn a_refusal_that_was_taken_in_the_end_is_no_fault() {
    let mut lake = Lake::new();
    lake.table(TRACKS, "s", "tracks", &["a"]);
    lake.commit(1, 0, 0);
    let ledger = lake.ledger(&[(Outcome::Refused, "a"), (Outcome::Acknowledged, "a")]);
    let report = verify(&lake.path(), &[&ledger]).unwrap();
    assert!(report.holds() && report.loaded_once == 1, "{report:?}");
}

#[test]
fn files_that_differ_from_their_manifest_are_found() {
    type Harm = fn(&Lake);
    let damage: [(Harm, &str); 4] = [
        (|lake| fs::remove_file(lake.path().join(TRACKS)).unwrap(), "not there"),
        (|lake| append(&lake.path().join(TRACKS)), "checksum"),
        (|lake| copy(lake), "in no manifest"),
        (
            |lake| append(&lake.path().join("_keelrow/batches/w/00000000000000000000.json")),
            "previous",
        ),
    ];
    for (harm, expected) in damage {
        let mut lake = Lake::new();
        lake.table(TRACKS, "s", "tracks", &["a"]);
        lake.commit(1, 0, 0);
        lake.commit(0, 0, 0);
        harm(&lake);
        let report = verify(&lake.path(), &[]).unwrap();
        assert!(report.faults.iter().any(|fault| fault.contains(expected)), "{report:?}");
    }
}

#[test]
fn books_and_unified_tables_are_judged() {
    let mut lake = Lake::new();
    lake.table(TRACKS, "s", "tracks", &["a", "b"]);
    lake.table("unified/prod/events/v1/x.parquet", "unified_prod", "events", &["a", "a"]);
    lake.table("unified/prod/events/v2/x.parquet", "unified_prod", "events", &["a", "b"]);
    lake.commit(3, 0, 0);
    let report = verify(&lake.path(), &[]).unwrap();
    assert_eq!(report.unified_twice, 1);
    assert_eq!(report.faults.len(), 2, "{report:?}");
    assert!(report.faults.iter().any(|fault| fault.contains("the books 3 loaded")));
}

fn append(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(b' ');
    fs::write(path, bytes).unwrap();
}

fn copy(lake: &Lake) {
    fs::copy(lake.path().join(TRACKS), lake.path().join("rudder-datalake/s/stray.parquet"))
        .unwrap();
}

#[test]
fn a_folder_that_is_no_lake_is_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let fault = verify(folder.path(), &[]).unwrap_err();
    assert!(fault.to_string().contains("is no lake"), "{fault}");
}
