//! `keelrow journal` on the folder of a gateway: beside it, after it, and on damaged files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::commands::{run, text};
use crate::gateway::Gateway;

const SOURCES: &str = r#"
[[source]]
name = "web"
environment = "prod"
write_key = "wk"
"#;

/// The configuration of a gateway on `folder`, as a file.
fn configuration(folder: &Path) -> String {
    let file = folder.join("keelrow.toml");
    let text = format!(
        "[journal]\npath = \"{0}/journal\"\n[storage]\nurl = \"{0}/lake\"\n{SOURCES}",
        folder.display()
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Exit code and JSON lines of a command.
fn json(arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(arguments, "");
    let lines = text(&output.stdout);
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The file that holds `needle`, and where in it.
fn find(journal: &Path, needle: &[u8]) -> (PathBuf, usize) {
    for entry in std::fs::read_dir(journal).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return (path, at);
        }
    }
    panic!("nowhere below {}", journal.display());
}

/// Changes a file's bytes and puts the old ones back afterwards.
fn with_change(path: &Path, change: impl FnOnce(&mut Vec<u8>), check: impl FnOnce()) {
    let good = std::fs::read(path).unwrap();
    let mut bytes = good.clone();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
    check();
    std::fs::write(path, good).unwrap();
}

async fn fill(gateway: &Gateway) {
    for id in ["m-1", "m-2", "m-3"] {
        let body = format!(
            r#"{{"userId":"u","event":"e","messageId":"{id}","properties":{{"note":"secret-{id}"}}}}"#
        );
        gateway.post("/v1/track", "wk", &body).await;
    }
    let mixed = "{\"batch\":[{\"type\":\"page\",\"userId\":\"u\",\"messageId\":\"m-4\\u001b[2J\"},\
                 {\"type\":\"sing\",\"userId\":\"u\",\"messageId\":\"m-5\"}]}";
    gateway.post("/v1/batch", "wk", mixed).await;
}

/// A gateway whose events are in the lake.
async fn loaded(folder: &Path) -> Gateway {
    let gateway = Gateway::start(folder, SOURCES).await;
    fill(&gateway).await;
    gateway.flush().await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_verified_and_shown_beside_the_gateway() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let none = run(&["journal", "verify", "--config", &file], "");
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stderr));
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    fill(&gateway).await;
    let (code, answer) = json(&["journal", "verify", "--json", "--config", &file]);
    assert_eq!((code, &answer[0]["records"]), (Some(0), &Value::from(5)), "{answer:?}");
    assert_eq!(answer[0]["damaged_records"], 0);
    assert_eq!(answer[0]["writer_lost"], false);
    let (code, lines) = json(&["journal", "dump", "--json", "--config", &file]);
    assert_eq!((code, lines.len()), (Some(0), 5));
    let first = &lines[0];
    assert_eq!((&first["position"], &first["source"]), (&0.into(), &"web_prod".into()));
    assert_eq!((&first["environment"], &first["type"]), (&"prod".into(), &"track".into()));
    assert_eq!((&first["messageId"], first.get("payload")), (&"m-1".into(), None));
    assert_eq!(lines[4]["reason"], "unknown_type");
    let output = run(&["journal", "dump", "--from", "3", "--limit", "1", "--config", &file], "");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("3 20") && shown.lines().count() == 1, "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.contains("m-4"), "{shown:?}");
    let output = run(&["journal", "dump", "--payload", "--config", &file], "");
    assert!(text(&output.stdout).contains("secret-m-1"));
    let past = run(&["journal", "dump", "--from", "6", "--config", &file], "");
    assert_eq!(past.status.code(), Some(2), "{}", text(&past.stderr));
    // What opens the journal waits until nobody else has it.
    let replay = run(&["replay", "--from", "1", "--to", "1", "--config", &file], "");
    assert_eq!(replay.status.code(), Some(75), "{}", text(&replay.stderr));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_the_journal_left_as_it_is() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    fill(&gateway).await;
    gateway.stop().await;
    let journal = folder.path().join("journal");
    let (segment, at) = find(&journal, b"secret-m-2");
    let verify = ["journal", "verify", "--json", "--config", &file];
    with_change(
        &segment,
        |bytes| bytes[at] ^= 1,
        || {
            let damaged = std::fs::read(&segment).unwrap();
            let (code, answer) = json(&verify);
            assert_eq!((code, &answer[0]["damaged_records"]), (Some(1), &Value::from(1)));
            let loss = answer[0]["segments"].as_array().unwrap().iter();
            let loss = loss.flat_map(|segment| segment["damaged"].as_array().unwrap()).next();
            assert_eq!(loss.unwrap()["source"], "web_prod");
            let output = run(&verify[..2], "");
            assert_eq!(output.status.code(), Some(2), "there is no keelrow.toml here");
            let output = run(&["journal", "verify", "--config", &file], "");
            assert!(text(&output.stdout).contains("record"), "{}", text(&output.stdout));
            let (code, lines) = json(&["journal", "dump", "--json", "--config", &file]);
            assert_eq!((code, &lines[1]["state"]), (Some(0), &"damaged".into()));
            assert_eq!(std::fs::read(&segment).unwrap(), damaged);
        },
    );
    let writer = journal.join("writer");
    with_change(
        &writer,
        |bytes| bytes[0] ^= 1,
        || {
            let (code, answer) = json(&verify);
            assert_eq!((code, &answer[0]["writer_lost"]), (Some(1), &Value::from(true)));
            assert_eq!(answer[0]["damaged_records"], 0);
        },
    );
    assert_eq!(json(&verify).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_is_loaded_is_no_alarm() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let gateway = loaded(folder.path()).await;
    gateway.stop().await;
    let (segment, at) = find(&folder.path().join("journal"), b"secret-m-2");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, answer) = json(&["journal", "verify", "--json", "--config", &file]);
    let counts = ["damaged_records", "damaged_loaded_records"].map(|name| &answer[0][name]);
    assert_eq!((code, counts), (Some(1), [&Value::from(1), &Value::from(1)]));
    let output = run(&["journal", "verify", "--config", &file], "");
    assert!(text(&output.stdout).contains("1 of the damaged ones were loaded before"));
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    assert_eq!(gateway.metric("keelrow_journal_damaged_records_total").await, 0);
    assert_eq!(gateway.metric("keelrow_journal_damaged_loaded_records_total").await, 1);
    assert_eq!(gateway.book("web_prod", "damaged").await, 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_removed_under_the_gateway_loses_nothing() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let gateway = loaded(folder.path()).await;
    let event = r#"{"userId":"u","event":"e","messageId":"m-6"}"#;
    gateway.post("/v1/track", "wk", event).await;
    // Under its own name the gateway may add a segment while it is being removed.
    std::fs::rename(folder.path().join("journal"), folder.path().join("gone")).unwrap();
    std::fs::remove_dir_all(folder.path().join("gone")).unwrap();
    for _ in 0..2 {
        let refused = gateway.try_post("/v1/track", "wk", &event.replace("m-6", "m-7")).await;
        assert_eq!((refused.status, refused.text().trim_end()), (503, "Service Unavailable"));
        assert!(refused.headers.contains_key("retry-after"));
    }
    let ready = gateway.admin("/health/ready").await;
    assert_eq!((ready.status, ready.text().as_str()), (503, "not ready: log_gone\n"));
    assert_eq!(gateway.send("GET", "/health", &[], Vec::new()).await.status, 503);
    assert_eq!(gateway.metric("keelrow_journal_gone").await, 1);
    assert_eq!(gateway.metric("keelrow_journal_accepting").await, 0);
    // What was acknowledged is loaded from the files that are still open.
    gateway.stop().await;
    let lake = folder.path().join("lake");
    let received = || -> u64 {
        let manifests = crate::lake::manifests(&lake);
        manifests.iter().map(|manifest| manifest["events"]["received"].as_u64().unwrap()).sum()
    };
    assert_eq!(received(), 6);
    // The next start has a journal, and a writer, of its own.
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    gateway.post("/v1/track", "wk", &event.replace("m-6", "m-7")).await;
    gateway.flush().await;
    assert_eq!(received(), 7);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_stops_at_the_start_leaves_the_books_to_be_seen() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let gateway = loaded(folder.path()).await;
    gateway.stop().await;
    let lake = folder.path().join("lake");
    let kept = folder.path().join("kept");
    std::fs::rename(lake.join("_keelrow/batches"), &kept).unwrap();
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    assert_eq!(gateway.metric("keelrow_loader_stopped").await, 1);
    gateway.post("/v1/track", "wk", r#"{"userId":"u","event":"e","messageId":"m-6"}"#).await;
    let mut books = Vec::new();
    for outcome in ["received", "loaded", "rejected"] {
        books.push(gateway.book("web_prod", outcome).await);
    }
    assert_eq!(books, [6, 4, 1]);
    assert_eq!(gateway.metric("keelrow_events_waiting{").await, 1);
    assert_eq!(gateway.metric("keelrow_loader_lag_records").await, 1);
    gateway.stop().await;
    // The same once the manifests are back, and then it is loaded.
    std::fs::rename(kept, lake.join("_keelrow/batches")).unwrap();
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    gateway.flush().await;
    assert_eq!(gateway.book("web_prod", "loaded").await, 5);
    gateway.stop().await;
}

/// The data files of the lake with their bytes.
fn data_files(lake: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = crate::lake::files(lake).into_iter();
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "parquet"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_verifies_restores_and_writes_elsewhere() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let gateway = loaded(folder.path()).await;
    let replay = ["replay", "--from", "1", "--to", "1", "--json", "--config", &file];
    let beside = run(&replay, "");
    assert_eq!(beside.status.code(), Some(75), "{}", text(&beside.stderr));
    gateway.stop().await;
    let lake = folder.path().join("lake");
    let before = data_files(&lake);
    assert!(before.len() > 3, "{}", before.len());
    let fates =
        |lines: &[Value], fate: &str| lines.iter().filter(|line| line["fate"] == fate).count();
    let (code, lines) = json(&replay);
    assert_eq!((code, fates(&lines, "verified")), (Some(0), before.len()), "{lines:?}");
    // A lost file comes back under its name, with its bytes; so it does where the journal is small.
    let small = std::fs::read_to_string(&file).unwrap().replace("1GiB", "32MiB");
    std::fs::write(&file, small).unwrap();
    std::fs::remove_file(&before[0].0).unwrap();
    let (code, lines) = json(&replay);
    assert_eq!((code, fates(&lines, "restored")), (Some(0), 1), "{lines:?}");
    assert_eq!(data_files(&lake), before);
    // A damaged one is told and left.
    std::fs::write(&before[0].0, b"other").unwrap();
    let (code, lines) = json(&replay);
    assert_eq!((code, fates(&lines, "damaged")), (Some(1), 1), "{lines:?}");
    assert_eq!(std::fs::read(&before[0].0).unwrap(), b"other");
    let out = folder.path().join("out");
    let elsewhere = run(
        &["replay", "--from", "1", "--to", "1", "--out", out.to_str().unwrap(), "--config", &file],
        "",
    );
    assert_eq!(elsewhere.status.code(), Some(0), "{}", text(&elsewhere.stderr));
    for (path, bytes) in &before {
        let written = out.join(path.strip_prefix(&lake).unwrap());
        assert_eq!(&std::fs::read(written).unwrap(), bytes, "{}", path.display());
    }
    // Nothing new is made.
    let none = run(&["replay", "--from", "1", "--to", "2", "--config", &file], "");
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stderr));
    assert_eq!(crate::lake::manifests(&lake).len(), 1);
}
