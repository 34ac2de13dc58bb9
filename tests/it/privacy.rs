//! Personal data that was sent is in no file and in no answer.

use serde_json::Value;

use crate::gateway::{Gateway, golden};
use crate::lake;

const SOURCE: &str = "[[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n";

/// Values of several kinds that no other text of the test contains.
const CANARIES: [&str; 7] = [
    "canary.one@example.org",
    "+1 415 555 0132",
    "5555 5555 5555 4444",
    "203.0.113.77",
    "DE89 3704 0044 0532 0130 00",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeS0xMjM0NTY3ODkw",
    "/home/canaryuser/notes.txt",
];

fn bodies() -> Vec<(&'static str, String)> {
    let mut bodies = Vec::new();
    for canary in CANARIES {
        let text = format!("before {canary} after");
        let event = |kind: &str| {
            serde_json::json!({
                "type": kind, "event": format!("Opened {canary}"), "name": text,
                "userId": "u", "anonymousId": "a", "groupId": "g", "previousId": "p",
                "context": {"note": text, "traits": {"bio": text}, "deep": [{"list": [text]}]},
                "properties": {"note": text, canary: 1, "json": format!("{{\"k\":\"{canary}\"}}")},
                "traits": {"about": text},
                "originalTimestamp": canary,
            })
        };
        for kind in ["track", "identify", "page", "screen", "group", "alias"] {
            bodies.push(("/v1/batch", serde_json::json!({"batch": [event(kind)]}).to_string()));
        }
        let mut bad = event("nonsense");
        bad["userId"] = Value::Null;
        bad["anonymousId"] = Value::Null;
        let good = event("track");
        bodies.push((
            "/v1/batch",
            serde_json::json!({"batch": [bad, canary, 7, good],
            "context": {"shared": text}})
            .to_string(),
        ));
    }
    bodies
}

async fn post_all(gateway: &Gateway) {
    for (path, body) in bodies() {
        gateway.post(path, "wk", &body).await;
    }
    let identity = format!(r#"{{"userId":"{}","event":"identity"}}"#, CANARIES[0]);
    gateway.post("/v1/track", "wk", &identity).await;
}

/// Which canaries are in which kind of place.
fn found(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in lake::files(folder) {
        let bytes = std::fs::read(&path).unwrap();
        for canary in CANARIES {
            if memchr::memmem::find(&bytes, canary.as_bytes()).is_some() {
                found.push(format!("{canary} in {}", path.display()));
            }
        }
    }
    for row in lake::rows(folder) {
        let text = Value::Object(row).to_string();
        for canary in CANARIES.iter().filter(|canary| text.contains(**canary)) {
            found.push(format!("{canary} in a row: {text}"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_never_reaches_disk() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCE).await;
    post_all(&gateway).await;
    gateway.flush().await;
    post_all(&gateway).await;
    gateway.stop().await;
    let found = found(folder.path());
    assert!(found.is_empty(), "{} places, such as {}", found.len(), found[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_transformations_the_same_data_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let off = format!("{SOURCE}transforms = []\n");
    let gateway = Gateway::start(folder.path(), &off).await;
    post_all(&gateway).await;
    gateway.flush().await;
    gateway.stop().await;
    let found = found(folder.path());
    for canary in CANARIES {
        assert!(found.iter().any(|place| place.starts_with(canary)), "{canary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labelled_values_of_the_corpus_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCE).await;
    let requests = golden("corpus/requests.jsonl.zst");
    let labels = golden("corpus/labels.jsonl.zst");
    let mut values = Vec::new();
    for (request, label) in requests.lines().zip(labels.lines()).take(400) {
        let request: Value = serde_json::from_str(request).unwrap();
        let label: Value = serde_json::from_str(label).unwrap();
        for pii in label["pii"].as_array().unwrap() {
            values.push(
                pii["value"].as_str().map_or_else(|| pii["value"].to_string(), str::to_owned),
            );
        }
        let path = request["path"].as_str().unwrap();
        gateway.post(path, "wk", &request["body"].to_string()).await;
    }
    assert!(values.len() > 100, "{} values", values.len());
    gateway.flush().await;
    gateway.stop().await;
    let rows: Vec<String> = lake::rows(&folder.path().join("lake"))
        .into_iter()
        .map(|row| Value::Object(row).to_string())
        .collect();
    let leaked: Vec<&String> = values
        .iter()
        // A few digits stand in many harmless places.
        .filter(|value| value.len() > 5 && rows.iter().any(|row| row.contains(value.as_str())))
        .collect();
    assert!(leaked.len() * 200 <= values.len(), "{} of {}: {leaked:?}", leaked.len(), values.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_finds_is_counted_for_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let other = SOURCE.replace("web", "app").replace("\"wk\"", "\"ak\"");
    let gateway = Gateway::start(folder.path(), &format!("{SOURCE}{other}")).await;
    let body = r#"{"userId":"u","event":"e","properties":{"note":"mail a@b.example.org"}}"#;
    for key in ["wk", "wk", "ak"] {
        gateway.post("/v1/track", key, body).await;
    }
    let hits = |source: &str| {
        format!(
            "keelrow_rule_hits_total{{source=\"{source}\",pack=\"transforms/pii.toml\",rule=\"email\"}}"
        )
    };
    assert_eq!(gateway.metric(&hits("web_prod")).await, 2);
    assert_eq!(gateway.metric(&hits("app_prod")).await, 1);
    gateway.stop().await;
}
