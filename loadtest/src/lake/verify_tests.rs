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

    /// Writes a Parquet file of `ids` and remembers it for the next manifest. Tracks have a name after
    /// a colon if they have any; rows of unified tables have the table they come from there.
    fn table(&mut self, path: &str, schema: &str, table: &str, ids: &[&str]) {
        let full = self.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        let words = |at| ids.iter().map(move |id| id.split([':', '.']).nth(at));
        let column = |at| -> ArrayRef { Arc::new(words(at).collect::<StringArray>()) };
        let mut columns = vec![("id", column(0))];
        match table {
            "tracks" => columns.push(("event", column(1))),
            "identifies" => columns.push(("user_id", column(1))),
            _ if path.starts_with("unified/") => {
                columns.extend([("_source_schema", column(1)), ("_source_table", column(2))]);
            }
            _ => {}
        }
        let batch = RecordBatch::try_from_iter(columns).unwrap();
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

    /// The same in a table of the schema `s`.
    fn rows(&mut self, table: &str, ids: &[&str]) {
        self.table(&format!("rudder-datalake/s/{table}/w-0-0.parquet"), "s", table, ids);
    }

    /// The same in the unified table `name` of prod.
    fn unified(&mut self, name: &str, generation: u32, ids: &[&str]) {
        let path = format!("unified/prod/{name}/v{generation}/w-0-0.parquet");
        self.table(&path, "unified_prod", name, ids);
    }

    fn faults(&self, without: &[&str]) -> Vec<String> {
        let without: Vec<String> = without.iter().map(|&table| table.to_owned()).collect();
        verify(&self.path(), &[], &without).unwrap().faults
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
        writer.finish(End::Complete).unwrap();
        path
    }
}

const TRACKS: &str = "rudder-datalake/s/tracks/w-0-0.parquet";

#[test]
fn a_right_lake_conserves() {
    let mut lake = Lake::new();
    lake.rows("tracks", &["a:button", "b:button"]);
    lake.rows("button", &["a", "b"]);
    lake.rows("rejected", &["c"]);
    lake.unified("user_events", 1, &["a:s.button", "b:s.button"]);
    lake.commit(2, 1, 1);
    lake.table("rudder-datalake/s/pages/w-1-0.parquet", "s", "pages", &["d"]);
    lake.table(
        "unified/prod/user_events/v1/x.parquet",
        "unified_prod",
        "user_events",
        &["d:s.pages"],
    );
    lake.commit(1, 0, 0);
    let ledger = lake.ledger(&[
        (Outcome::Acknowledged, "a b c"),
        (Outcome::Unknown, "d e"),
        (Outcome::Refused, "f"),
    ]);
    let report = verify(&lake.path(), &[&ledger], &[]).unwrap();
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.acknowledged, report.loaded_once, report.lost), (3, 3, 0));
    assert_eq!((report.unknown, report.unknown_loaded, report.refused), (2, 1, 1));
    assert_eq!((report.batches, report.files, report.rows), (2, 6, 9));
    assert_eq!((report.event_rows, report.unified_rows), (2, 3));
    assert!(verify(&lake.path(), &[], &[]).unwrap().holds(), "a lake alone is judged by itself");
}

/// Tables of events' names and the unified one, right but for one change.
#[test]
fn every_row_that_a_table_lacks_or_has_too_many_is_found() {
    type Tables<'a> = [(&'a str, &'a [&'a str]); 5];
    let right: Tables<'_> = [
        ("tracks", &["a:button", "b:select", "c:rare", "n"]),
        ("button", &["a"]),
        ("_select", &["b"]),
        ("other_events", &["c"]),
        ("user_events", &["a:s.button", "b:s._select", "c:s.other_events", "p:s.pages"]),
    ];
    let rows: [(&str, &[&str], &[&str]); 11] = [
        ("button", &["a"], &[]),
        ("button", &[], &["s.button: 1 missing: a"]),
        ("button", &["a", "a"], &["s.button: 1 too many: a"]),
        ("button", &["a", "z"], &["s.button: 1 not its own: z"]),
        ("_select", &[], &["s.select: 1 missing: b"]),
        ("other_events", &["c", "a"], &["s.button: 1 too many: a"]),
        // A row in the wrong table is missing in the right one.
        ("_select", &["a"], &["s._select: 1 not its own: a", "s.select: 1 missing: b"]),
        // The track is lost, and its other rows tell its table.
        (
            "tracks",
            &["b:select", "c:rare", "n"],
            &[
                "the tables hold 4 events, the books 5 loaded and 0 rejected",
                "s.button: 1 not its own: a",
                "unified_prod.user_events: 1 not its own: a",
            ],
        ),
        (
            "user_events",
            &["a:s.button", "b:s._select", "c:s.other_events"],
            &["unified_prod.user_events: 1 missing: p"],
        ),
        (
            "user_events",
            &["a:s.button", "a:s.button", "b:s._select", "c:s.other_events", "p:s.pages"],
            &["unified_prod.user_events: 1 too many: a"],
        ),
        (
            "user_events",
            &["a:s._select", "b:s._select", "c:s.other_events", "p:s.pages", "z:s.pages"],
            &["unified_prod.user_events: 2 not its own: a, z"],
        ),
    ];
    for (changed, ids, expected) in rows {
        let mut lake = Lake::new();
        for (table, right) in right {
            let ids = if table == changed { ids } else { right };
            if table == "user_events" { lake.unified(table, 1, ids) } else { lake.rows(table, ids) }
        }
        lake.rows("pages", &["p"]);
        lake.commit(5, 0, 0);
        assert_eq!(lake.faults(&[]), expected, "{changed} of {ids:?}");
    }
}

#[test]
fn a_unified_table_that_is_not_there_is_missed_unless_it_is_left_out() {
    let mut lake = Lake::new();
    lake.rows("tracks", &["a:button"]);
    lake.rows("button", &["a"]);
    lake.commit(1, 0, 0);
    assert_eq!(lake.faults(&[]), ["user_events of s: 1 missing: a"]);
    assert_eq!(lake.faults(&["user_events"]), [""; 0]);
}

#[test]
fn a_schema_without_tracks_is_judged_by_its_tables_of_names() {
    let mut lake = Lake::new();
    lake.rows("button", &["a", "b"]);
    lake.unified("user_events", 1, &["a:s.button"]);
    lake.commit(2, 0, 0);
    assert_eq!(lake.faults(&["s.tracks"]), ["unified_prod.user_events: 1 missing: b"]);
    assert!(lake.faults(&["t.tracks"]).iter().any(|fault| fault.starts_with("s.button: 2")));
    let ledger = lake.ledger(&[(Outcome::Acknowledged, "a b c")]);
    let without = ["tracks".to_owned(), "user_events".to_owned()];
    let report = verify(&lake.path(), &[&ledger], &without).unwrap();
    assert_eq!((report.loaded_once, report.lost), (2, 1));
    assert_eq!(report.faults, ["c was acknowledged and is lost"]);
}

#[test]
fn every_identify_of_a_user_is_among_the_users() {
    let rows: [(&[&str], &[&str]); 3] = [
        (&["u", "u", "v"], &[]),
        (&["u", "v"], &["s.users: 1 missing"]),
        (&["u", "u", "v", "w"], &["s.users: 1 too many"]),
    ];
    for (users, expected) in rows {
        let mut lake = Lake::new();
        lake.rows("identifies", &["a:u", "b:u", "c:v", "d", "e: "]);
        lake.rows("users", users);
        lake.commit(5, 0, 0);
        assert_eq!(lake.faults(&[]), expected);
        assert_eq!(lake.faults(&["users"]), [""; 0]);
    }
}

#[test]
fn environments_share_no_unified_table() {
    let mut lake = Lake::new();
    lake.rows("tracks", &["a:button", "b:button"]);
    lake.rows("button", &["a", "b"]);
    lake.unified("user_events", 1, &["a:s.button"]);
    lake.table("unified/qa/user_events/v1/w.parquet", "unified_qa", "user_events", &["b:s.button"]);
    lake.commit(2, 0, 0);
    assert_eq!(lake.faults(&[]), ["unified_qa.user_events: 1 not its own: b"]);
}

#[test]
fn a_ledger_tells_how_its_run_ended() {
    let mut lake = Lake::new();
    lake.rows("pages", &["a"]);
    lake.unified("user_events", 1, &["a:s.pages"]);
    lake.commit(1, 0, 0);
    let path = lake.ledger(&[(Outcome::Acknowledged, "a")]);
    let notes = || verify(&lake.path(), &[&path], &[]).unwrap().notes;
    assert_eq!(notes(), [""; 0]);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("complete", "cut_short")).unwrap();
    assert!(notes()[0].contains("cut short"));
    fs::write(&path, text.lines().next().unwrap()).unwrap();
    assert!(notes()[0].contains("has no end"));
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
        lake.rows("tracks", ids);
        lake.commit(u64::try_from(ids.len()).unwrap(), 0, 0);
        let ledger = lake.ledger(ledger);
        let report = verify(&lake.path(), &[&ledger], &[]).unwrap();
        assert_eq!(report.faults, [expected]);
    }
}

#[test]
fn a_refusal_that_was_taken_in_the_end_is_no_fault() {
    let mut lake = Lake::new();
    lake.table(TRACKS, "s", "tracks", &["a"]);
    lake.commit(1, 0, 0);
    let ledger = lake.ledger(&[(Outcome::Refused, "a"), (Outcome::Acknowledged, "a")]);
    let report = verify(&lake.path(), &[&ledger], &[]).unwrap();
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
        let report = verify(&lake.path(), &[], &[]).unwrap();
        assert!(report.faults.iter().any(|fault| fault.contains(expected)), "{report:?}");
    }
}

#[test]
fn books_and_generations_of_unified_tables_are_judged() {
    let mut lake = Lake::new();
    lake.rows("pages", &["a", "b"]);
    lake.unified("mine", 1, &["a:s.pages", "a:s.pages"]);
    // A later generation begins with a later batch, or has all of them once again.
    lake.unified("user_events", 1, &["a:s.pages"]);
    lake.unified("user_events", 2, &["a:s.pages", "b:s.pages"]);
    lake.commit(3, 0, 0);
    assert_eq!(
        lake.faults(&[]),
        [
            "the tables hold 2 events, the books 3 loaded and 0 rejected",
            "unified_prod.mine: 1 too many: a"
        ]
    );
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
    let fault = verify(folder.path(), &[], &[]).unwrap_err();
    assert!(fault.to_string().contains("is no lake"), "{fault}");
}
