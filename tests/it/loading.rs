//! From requests to rows: every accepted event once, where it belongs, and the books balance.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::gateway::{Gateway, golden};
use crate::lake;

/// Sources of the reference set-up by write key, as tests/golden/corpus has them.
fn sources() -> Vec<Value> {
    serde_json::from_str(&golden("corpus/sources.json")).unwrap()
}

fn configuration() -> String {
    sources().iter().fold(String::new(), |text, source| {
        let text_of = |key: &str| source[key].as_str().unwrap();
        let platform = match text_of("kind") {
            "portal" => "web",
            kind => kind,
        };
        text + &format!(
            "[[source]]\nname = \"{}\"\nenvironment = \"{}\"\nplatform = \"{platform}\"\n\
             schema = \"{}\"\nwrite_key = \"{}\"\n",
            text_of("kind"),
            text_of("env"),
            text_of("schema"),
            text_of("writeKey"),
        )
    })
}

struct Request {
    path: String,
    key: String,
    body: Value,
}

fn corpus() -> Vec<Request> {
    golden("corpus/requests.jsonl.zst")
        .lines()
        .map(|line| {
            let request: Value = serde_json::from_str(line).unwrap();
            Request {
                path: request["path"].as_str().unwrap().to_owned(),
                key: request["writeKey"].as_str().unwrap().to_owned(),
                body: request["body"].clone(),
            }
        })
        .collect()
}

fn events(body: &Value) -> Vec<&Value> {
    body["batch"].as_array().map_or_else(|| vec![body], |batch| batch.iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_one_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &configuration()).await;
    let environments: HashMap<String, String> = sources()
        .iter()
        .map(|s| (s["writeKey"].as_str().unwrap().into(), s["env"].as_str().unwrap().into()))
        .collect();
    let names: HashMap<String, String> = sources()
        .iter()
        .map(|s| (s["writeKey"].as_str().unwrap().into(), s["kind"].as_str().unwrap().into()))
        .collect();
    // (source, messageId) -> environment: an id is an event's own only within its source.
    let mut sent: BTreeMap<(String, String), String> = BTreeMap::new();
    let (mut received, mut refused) = (0, 0);
    for request in corpus() {
        let answer = gateway.try_post(&request.path, &request.key, &request.body.to_string()).await;
        if answer.status != 200 {
            refused += 1;
            assert_eq!(answer.text(), "request neither has anonymousId nor userId\n");
            continue;
        }
        for event in events(&request.body) {
            received += 1;
            let Some(id) = event["messageId"].as_str() else { continue };
            let of_source = (names[&request.key].clone(), id.to_owned());
            sent.entry(of_source).or_insert_with(|| environments[&request.key].clone());
        }
    }
    assert!(refused < 20, "{refused} requests refused");
    gateway.flush().await;
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for source in sources() {
        let id =
            format!("{}_{}", source["kind"].as_str().unwrap(), source["env"].as_str().unwrap());
        let labels = format!("keelrow_events_waiting{{source=\"{id}\"}}");
        assert_eq!(gateway.metric(&labels).await, 0, "{id}");
        for outcome in ["received", "loaded", "duplicate", "rejected"] {
            *totals.entry(outcome).or_default() += gateway.book(&id, outcome).await;
        }
    }
    assert_eq!(totals["received"], received);
    assert_eq!(
        totals["received"],
        totals["loaded"] + totals["duplicate"] + totals["rejected"],
        "{totals:?}"
    );
    gateway.stop().await;
    let lake = folder.path().join("lake");
    each_event_is_in_its_environment_once(&lake, &sent);
    the_manifests_say_what_is_there(&lake, received);
}

fn each_event_is_in_its_environment_once(
    lake: &std::path::Path,
    sent: &BTreeMap<(String, String), String>,
) {
    let mut found: BTreeMap<(String, String, String), String> = BTreeMap::new();
    let in_tables = lake::rows(&lake.join("rudder-datalake"));
    for environment in ["prod", "rc", "qa"] {
        let folder = lake.join("unified").join(environment).join("user_events");
        for row in lake::rows(&folder) {
            assert_eq!(row["environment"], environment);
            let day_later = row["received_at"].as_i64().unwrap() + 24 * 3_600 * 1_000_000;
            assert!(row["timestamp"].as_i64().unwrap() <= day_later, "{row:?}");
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let id = (text("source_name"), text("id"), text("_source_schema"));
            let before = found.insert(id, environment.to_owned());
            assert_eq!(before, None, "{row:?}");
        }
    }
    assert!(found.len() > 1_000, "{} unified rows", found.len());
    let per_environment = |environment: &str| found.values().filter(|e| *e == environment).count();
    assert!(["prod", "rc", "qa"].iter().all(|environment| per_environment(environment) > 50));
    for ((name, id, schema), environment) in &found {
        // The schema tells the write key, and so where the event was sent to.
        let source = sources().into_iter().find(|s| s["schema"] == schema.as_str()).unwrap();
        assert_eq!(
            (&source["env"], &source["kind"]),
            (&environment.as_str().into(), &name.as_str().into())
        );
        assert!(sent.contains_key(&(name.clone(), id.clone())) || id.len() == 36, "{id}");
    }
    // Identifies, groups and aliases are in their own tables only.
    let others: std::collections::BTreeSet<&str> =
        in_tables.iter().filter_map(|row| row.get("id")?.as_str()).collect();
    for (_, id) in sent.keys() {
        assert!(others.contains(id.as_str()), "{id} is in no table");
    }
}

fn the_manifests_say_what_is_there(lake: &std::path::Path, received: u64) {
    let manifests = lake::manifests(lake);
    let total: u64 = manifests.iter().map(|m| m["events"]["received"].as_u64().unwrap()).sum();
    assert_eq!(total, received);
    for file in manifests.iter().flat_map(|m| m["files"].as_array().unwrap()) {
        let path = lake.join(file["path"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, file["bytes"].as_u64().unwrap(), "{}", path.display());
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(file["sha256"].as_str().unwrap().ends_with(&hex), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_and_still_knows_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let source = "[[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n";
    let event = |id: &str| {
        format!(
            r#"{{"userId":"u","event":"e","messageId":"{id}","originalTimestamp":"2026-01-01"}}"#
        )
    };
    let gateway = Gateway::start(folder.path(), source).await;
    gateway.post("/v1/track", "wk", &event("m-1")).await;
    gateway.flush().await;
    gateway.post("/v1/track", "wk", &event("m-2")).await;
    gateway.stop().await;
    let gateway = Gateway::start(folder.path(), source).await;
    gateway.post("/v1/track", "wk", &event("m-1")).await;
    gateway.post("/v1/track", "wk", &event("m-3")).await;
    let other = event("m-2").replace("\"e\"", "\"another event\"");
    gateway.post("/v1/track", "wk", &other).await;
    gateway.flush().await;
    for (outcome, events) in
        [("received", 5), ("loaded", 3), ("duplicate", 1), ("rejected", 1), ("dropped", 0)]
    {
        assert_eq!(gateway.book("web_prod", outcome).await, events, "{outcome}");
    }
    gateway.stop().await;
    let tables = folder.path().join("lake/rudder-datalake/web_prod");
    let mut ids: Vec<String> = lake::rows(&tables.join("tracks"))
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["m-1", "m-2", "m-3"]);
    let rejected = lake::rows(&tables.join("rejected"));
    assert_eq!(rejected[0]["reason"], "message_id_reused");
}

/// A batch may have 1 GiB and five minutes by default: there is no use in waiting for either while
/// the journal has no room.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_less_room_than_a_batch_goes_on_taking_events() {
    const EVENTS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [journal]\npath = \"{0}/journal\"\nmax_bytes = \"1MiB\"\n[storage]\nurl = \"{0}/lake\"\n\
         [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"k\"\ntransforms = []\n",
        folder.path().display()
    );
    let config = keelrow::config::parse(&text, "k.toml".as_ref(), &Default::default()).unwrap();
    let gateway = Gateway::of(config).await.unwrap();
    let long = "x".repeat(60_000);
    for n in 0..EVENTS {
        let event =
            format!("{{\"userId\":\"u\",\"event\":\"e\",\"messageId\":\"{n}\",\"x\":\"{long}\"}}");
        // An SDK comes again after a while; the loader is given as much of it as it takes.
        let mut refused = 0;
        while gateway.try_post("/v1/track", "k", &event).await.status == 503 {
            refused += 1;
            assert!(refused < 20_000, "event {n} finds no room");
        }
    }
    gateway.flush().await;
    assert_eq!(gateway.book("web_prod", "loaded").await, EVENTS as u64);
    gateway.stop().await;
}
