//! `keelrow schema diff` of lakes that a gateway wrote, against the configuration it had.

use serde_json::{Value, json};

use crate::commands::{configuration, run, text};
use crate::gateway::Gateway;

const DIALECTS: [&str; 7] =
    ["datalake", "snowflake", "bigquery", "redshift", "postgres", "clickhouse", "databricks"];

/// Events with values that stand elsewhere than in the column of their name.
fn events() -> Vec<Value> {
    let event = |kind: &str, name: &str, values: Value| {
        let mut event = json!({"type": kind, "userId": "u", "groupId": "g", "name": name});
        event["event"] = name.into();
        let part = if kind == "group" { "traits" } else { "properties" };
        event[part] = values;
        event
    };
    let long = "long ".repeat(26);
    let wide: serde_json::Map<_, _> = (0..1_700).map(|n| (format!("k{n}"), n.into())).collect();
    vec![
        // A pinned column takes one and not the other.
        event("track", "done", json!({"price": 9_007_199_254_740_993_u64})),
        event("track", "done", json!({"price": 1.5})),
        // One table's whole numbers, another's fractions, a third's text.
        event("page", "home", json!({"size": 9_007_199_254_740_993_u64})),
        event("track", "a", json!({"size": 1.5})),
        event("track", "b", json!({"size": "large"})),
        // What the core has, given by others.
        event("page", "home", json!({"event": "x".repeat(900)})),
        event("page", "home", json!({"event": true})),
        event("track", "a", json!({"type": 5, "platform": "p", "session_id": "s"})),
        // A name that is cut to make room for the type.
        event("track", "a", json!({long.clone(): 5})),
        event("track", "b", json!({long: "text"})),
        // Rows that are no events of the unified table, in a table that BigQuery calls otherwise.
        event("group", "", json!({"plan": "gold ".repeat(200), "seats": 5})),
        // More columns than a table has.
        event("track", "wide", wide.into()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_is_no_other_than_its_configuration_makes_it() {
    let source = "[[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n";
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let rest = format!(
            "transforms = []\n[load]\ndialect = \"{dialect}\"\n\
             [[column]]\ntable = \"*\"\nname = \"price\"\ntype = \"float\"\n"
        );
        let file = folder.path().join("keelrow.toml");
        std::fs::write(&file, configuration(folder.path()) + &rest).unwrap();
        let gateway = Gateway::start(folder.path(), &format!("{source}{rest}")).await;
        // A batch for each half: what was known of a column meets what is new.
        let events = events();
        for half in events.chunks(events.len().div_ceil(2)) {
            gateway.post("/v1/batch", "wk", &json!({ "batch": half }).to_string()).await;
            gateway.flush().await;
        }
        gateway.stop().await;
        let (file, lake) = (file.to_str().unwrap(), folder.path().join("lake"));
        let lake = lake.to_str().unwrap();
        for (old, new) in [(lake, file), (file, lake), (file, file)] {
            let output = run(&["schema", "diff", old, new], "");
            let told = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(told, "no difference\n", "{dialect}: {old} {new}");
            assert_eq!(output.status.code(), Some(0), "{dialect}");
        }
    }
}
