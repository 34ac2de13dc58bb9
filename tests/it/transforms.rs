//! Transformations from outside: what becomes of events, books and keys.

use std::path::Path;

use serde_json::{Map, Value};

use crate::gateway::Gateway;
use crate::lake;

type Row = Map<String, Value>;

/// A source `name` with these transformations, whose files are written into `folder`.
fn source(folder: &Path, name: &str, files: &[(&str, &str)], more: &[&str]) -> String {
    let mut names = Vec::new();
    for (file, text) in files {
        let path = folder.join(file);
        std::fs::write(&path, text).unwrap();
        names.push(format!("{:?}", path.display().to_string()));
    }
    names.extend(more.iter().map(|name| format!("{name:?}")));
    format!(
        "[[source]]\nname = \"{name}\"\nenvironment = \"prod\"\nwrite_key = \"{name}\"\n\
         transforms = [{}]\n",
        names.join(", ")
    )
}

/// The rows of one table of a source, by the last part of its folder's name.
fn table(folder: &Path, source: &str, table: &str) -> Vec<Row> {
    let below = folder.join("lake");
    let part = format!("/{source}_prod/{table}/");
    let named = |path: &std::path::PathBuf| {
        lake::is_parquet(path) && path.display().to_string().contains(&part)
    };
    lake::files(&below)
        .iter()
        .filter(|path| named(path))
        .flat_map(|path| lake::rows_of(path))
        .collect()
}

fn ids(rows: &[Row]) -> Vec<String> {
    let mut ids: Vec<String> =
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

const SCRIPT: &str = "
    import { twice } from 'library';
    export async function transformEvent(event, metadata) {
        const { sourceId, sourceName, messageId, eventName } = metadata(event);
        await null;
        log('seen', messageId);
        delete event.properties.masked;
        switch (event.event) {
            case 'drop': return null;
            case 'split': return [1, 2, 3].map((n) => ({ ...event, event: 'part', properties: { n } }));
            case 'throw': throw new Error(event.properties.word);
            case 'loop': while (true);
            case 'bomb': { const all = []; while (true) all.push(new Array(1000).fill(1)); }
            case 'large': event.properties.text = 'x'.repeat(10_000_000); return event;
            case 'wrong': return 'text';
        }
        event.properties = { ...event.properties, sourceId, sourceName, eventName, twice: twice(2) };
        return event;
    }";

#[tokio::test(flavor = "multi_thread")]
async fn a_script_keeps_splits_drops_and_fails_closed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("library.js"), "export const twice = (n) => 2 * n").unwrap();
    let scripted = source(folder.path(), "scripted", &[("own.js", SCRIPT)], &["pii"]);
    let other = source(folder.path(), "other", &[], &["pii"]);
    let gateway = Gateway::start(folder.path(), &format!("{scripted}{other}")).await;
    let names = ["keep", "drop", "split", "throw", "loop", "bomb", "large", "wrong"];
    let event = |name: &str| {
        format!(
            r#"{{"type":"track","event":"{name}","messageId":"m-{name}","userId":"u-77",
                "properties":{{"word":"canary-4711","amount":1.10,"big":12345678901234567890}}}}"#
        )
    };
    let mut batch: Vec<String> = names.iter().map(|name| event(name)).collect();
    // Rejected for another reason: the script sees it, and its payload is kept.
    batch.push(
        event("keep")
            .replace("\"track\"", "\"nonsense\"")
            .replace("m-keep", "m-nonsense")
            .replace("\"word\"", "\"masked\""),
    );
    gateway.post("/v1/batch", "scripted", &format!("{{\"batch\":[{}]}}", batch.join(","))).await;
    gateway.post("/v1/track", "other", &event("keep")).await;
    gateway.flush().await;

    let kept = &table(folder.path(), "scripted", "keep")[0];
    assert_eq!(
        (kept["source_id"].as_str(), kept["source_name"].as_str()),
        (Some("scripted_prod"), Some("scripted"))
    );
    assert_eq!((kept["event_name"].as_str(), kept["twice"].as_i64()), (Some("keep"), Some(4)));
    assert_eq!(kept["word"], "canary-4711");
    assert_eq!(
        ids(&table(folder.path(), "scripted", "part")),
        ["m-split", "m-split#1", "m-split#2"]
    );
    assert_eq!(ids(&table(folder.path(), "other", "keep")), ["m-keep"]);

    let (failed, nonsense): (Vec<Row>, Vec<Row>) = table(folder.path(), "scripted", "rejected")
        .into_iter()
        .partition(|row| row["reason"].as_str().unwrap().starts_with("script"));
    let mut reasons: Vec<&str> = failed.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    let [error, limit] = ["script_error", "script_limit"];
    assert_eq!(reasons, [error, error, error, limit, limit]);
    for row in &failed {
        let text = Value::Object(row.clone()).to_string();
        assert!(!text.contains("canary-4711") && !text.contains("u-77"), "{text}");
        assert!(text.contains("string(11)"), "not the shape: {text}");
    }
    let text = Value::Object(nonsense[0].clone()).to_string();
    assert!(text.contains("unknown_type") && text.contains("1.10"), "{text}");
    assert!(!text.contains("canary-4711"), "the script did not see it: {text}");
    let books = [("received", 9), ("split", 2), ("dropped", 1), ("rejected", 6), ("loaded", 4)];
    for (outcome, count) in books {
        assert_eq!(gateway.book("scripted_prod", outcome).await, count, "{outcome}");
    }
    for (reason, count) in [("script_error", 3), ("script_limit", 2)] {
        let labels = format!("{{source=\"scripted_prod\",reason=\"{reason}\"}}");
        let line = format!("keelrow_transformation_failures_total{labels}");
        assert_eq!(gateway.metric(&line).await, count);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_behind_a_script_see_what_is_put_back_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "export function transformEvent(event) {
        if (event.event === 'throw') throw new Error('no');
        return event.event === 'split' ? [event, { ...event, event: 'part' }] : event;
    }";
    let scripted = source(folder.path(), "scripted", &[("own.js", script)], &["pii"]);
    let gateway = Gateway::start(folder.path(), &scripted).await;
    let event = |name: &str, kind: &str, id: &str| {
        format!(
            r#"{{"type":"{kind}","event":"{name}","messageId":"{id}@example.com","userId":"u"}}"#
        )
    };
    let batch = [
        event("plain", "track", "anna"),
        event("split", "track", "bob"),
        event("throw", "erin@example.com", "carl"),
        event("throw", "Track", "dora"),
        event("split", "nonsense", "emil"),
    ];
    let body = format!("{{\"batch\":[{}]}}", batch.join(","));
    gateway.post("/v1/batch", "scripted", &body).await;
    gateway.flush().await;
    let tables = ["plain", "split", "part", "tracks", "rejected"];
    let rows: Vec<Row> =
        tables.iter().flat_map(|name| table(folder.path(), "scripted", name)).collect();
    let text: String = rows.iter().map(|row| Value::Object(row.clone()).to_string()).collect();
    assert!(!text.contains("example.com"), "{text}");
    let plain = ids(&table(folder.path(), "scripted", "plain"));
    assert!(plain[0].starts_with("h1_"), "{plain:?}");
    let (first, part) = (
        ids(&table(folder.path(), "scripted", "split")),
        ids(&table(folder.path(), "scripted", "part")),
    );
    assert_eq!(part, [format!("{}#1", first[0])]);
    let rejected = table(folder.path(), "scripted", "rejected");
    let mut kinds: Vec<&str> = rejected
        .iter()
        .filter(|row| row["reason"] == "script_error")
        .map(|row| row.get("type").and_then(Value::as_str).unwrap_or_default())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["", "track"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_past_the_ack_limit_end_with_504_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let slow = "export function transformEvent(event) { while (true); }";
    let slow = source(folder.path(), "slow", &[("slow.js", slow)], &[]);
    let other = source(folder.path(), "other", &[], &["pii"]);
    let limits = "[scripts]\ncpu_per_call = \"1s\"\n";
    let gateway = Gateway::start_with(
        folder.path(),
        "ack_timeout = \"1s\"",
        &format!("{limits}{slow}{other}"),
    )
    .await;
    let events = vec![r#"{"type":"track","event":"e","userId":"u"}"#; 50].join(",");
    let body = format!("{{\"batch\":[{events}]}}");
    let quick = r#"{"event":"e","userId":"u"}"#;
    let (late, in_time) = tokio::join!(
        gateway.try_post("/v1/batch", "slow", &body),
        gateway.try_post("/v1/track", "other", quick)
    );
    assert_eq!((late.status, late.text().trim()), (504, "gateway timeout"));
    assert_eq!(in_time.status, 200);
    gateway.flush().await;
    assert_eq!(gateway.book("other_prod", "loaded").await, 1);
    gateway.stop().await;
    assert!(table(folder.path(), "slow", "rejected").is_empty());
    assert!(table(folder.path(), "slow", "tracks").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_consent_and_suppression_decide_what_stays() {
    let folder = tempfile::tempdir().unwrap();
    let allow = "mode = \"allow\"\nallow = [\"properties.plan\", \"context.app\"]\n";
    let consent = "[[consent]]\ndenied = [\"C0004\"]\naction = \"drop\"\n\
                   [[consent]]\ndenied = [\"C0002\"]\naction = \"run\"\npack = \"mattermost\"\n";
    let strict = source(folder.path(), "strict", &[("allow.toml", allow)], &["pii"]);
    let asked = source(folder.path(), "asked", &[("consent.toml", consent)], &["pii"]);
    let list = folder.path().join("forget.txt");
    std::fs::write(&list, "# asked to be forgotten\nu-gone\n").unwrap();
    let privacy = format!("[privacy]\nsuppression_file = {:?}\n", list.display().to_string());
    let gateway = Gateway::start(folder.path(), &format!("{privacy}{strict}{asked}")).await;
    let event = r#"{"event":"e","userId":"u","messageId":"m1",
        "properties":{"plan":"pro","note":"new"},"context":{"app":{"name":"x"},"os":{"name":"y"}}}"#;
    gateway.post("/v1/track", "strict", event).await;
    for denied in [
        r#"{"consentManagement":{"deniedConsentIds":["C0004"]}}"#,
        r#"{"consentManagement":{"provider":"ketch","deniedConsentIds":{"C0004":true}}}"#,
        r#"{"consent":{"categoryPreferences":{"C0004":false,"C0001":true}}}"#,
        r#"{"consentManagement":{"deniedConsentIds":["C0002"]}}"#,
        r#"{"consentManagement":{"allowedConsentIds":["C0004"],"deniedConsentIds":[]}}"#,
    ] {
        let body = format!(
            r#"{{"event":"e","userId":"u","context":{denied},"properties":{{"tf_message":"hello"}}}}"#
        );
        gateway.post("/v1/track", "asked", &body).await;
    }
    gateway.post("/v1/track", "asked", r#"{"event":"e","userId":"u-gone"}"#).await;
    // Said once for a batch, of an event that no table could have.
    let denied = r#"{"context":{"consentManagement":{"deniedConsentIds":["C0004"]}},
        "batch":[{"type":"nonsense","userId":"u","secret":"canary-5"}]}"#;
    gateway.post("/v1/batch", "asked", denied).await;
    gateway.flush().await;

    let row = &table(folder.path(), "strict", "e")[0];
    assert_eq!((row["plan"].as_str(), row["context_app_name"].as_str()), (Some("pro"), Some("x")));
    assert!(!row.contains_key("note") && !row.contains_key("context_os_name"), "{row:?}");
    let allow = folder.path().join("allow.toml");
    let dropped = format!(
        "keelrow_rule_hits_total{{source=\"strict_prod\",pack=\"{}\",rule=\"allow\"}}",
        allow.display()
    );
    assert!(gateway.metric(&dropped).await >= 2);
    let rows = table(folder.path(), "asked", "e");
    let with_message = rows.iter().filter(|row| row.contains_key("tf_message")).count();
    assert_eq!((rows.len(), with_message), (2, 1), "the stricter pack takes the message of one");
    for (outcome, count) in [("dropped", 4), ("suppressed", 1), ("loaded", 2), ("rejected", 0)] {
        assert_eq!(gateway.book("asked_prod", outcome).await, count, "{outcome}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_knows_its_key_and_a_new_key_has_a_new_id() {
    let folder = tempfile::tempdir().unwrap();
    let web = source(folder.path(), "web", &[], &["pii"]);
    let with = |key: &str, id: u32| format!("[privacy]\nkey = \"{key}\"\nkey_id = {id}\n{web}");
    let (first, second) = ("first secret key of the test", "second secret key of the test");
    let send = async |gateway: &Gateway, id: &str| {
        let body = format!(r#"{{"event":"e","userId":"kim@example.org","messageId":"{id}"}}"#);
        gateway.post("/v1/track", "web", &body).await;
        gateway.flush().await;
    };
    let gateway = Gateway::start(folder.path(), &with(first, 1)).await;
    send(&gateway, "m1").await;
    gateway.stop().await;
    assert!(folder.path().join("lake/_keelrow/keys/1.json").is_file());
    let refused = Gateway::try_start(folder.path(), &with(second, 1)).await;
    let Err(why) = refused else { panic!("started with another key under the same id") };
    assert!(!format!("{why} {why:?}").contains(second), "the key is told");
    let gateway = Gateway::start(folder.path(), &with(second, 2)).await;
    send(&gateway, "m2").await;
    gateway.stop().await;
    let users: Vec<String> = table(folder.path(), "web", "e")
        .iter()
        .map(|row| row["user_id"].as_str().unwrap().chars().take(3).collect())
        .collect();
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(users.contains(&"h1_".to_owned()) && users.contains(&"h2_".to_owned()), "{users:?}");
}
