//! The documentation held against the program.

use std::collections::BTreeSet;

use crate::gateway::Gateway;
use crate::lake;

/// Words in backquotes, and what stands between commas in them.
fn named(path: &str) -> BTreeSet<String> {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.flat_map(|words| words.split(',')).map(|word| word.trim().to_owned()).collect()
}

/// An event of each kind without anything of its own, with all that the layout adds.
const BATCH: &str = r#"{"batch":[
    {"type":"track","event":"Done","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"page","name":"Home","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"screen","name":"Main","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"identify","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"group","groupId":"g","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"alias","previousId":"p","userId":"u","anonymousId":"a","channel":"web"},
    {"type":"merge","mergeProperties":[{"type":"email","value":"1"},{"type":"phone","value":"2"}]},
    {"type":"track","event":"Done","userId":"u","context":{"ip":"192.0.2.7"},"properties":{"id":"mine"}},
    {"type":"track","event":"No ids"}
]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_column_the_layout_fills_is_explained() {
    let mut explained = named("docs/warehouse-layout.md");
    explained.extend(named("docs/unified.md"));
    for dialect in ["datalake", "bigquery"] {
        let folder = tempfile::tempdir().unwrap();
        let sources = format!(
            "[load]\ndialect = \"{dialect}\"\n\
             [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n\
             platform = \"web\"\nlayout = {{ store_full_event = true, identity_rules = true }}\n"
        );
        let gateway = Gateway::start(folder.path(), &sources).await;
        gateway.post("/v1/batch", "wk", BATCH).await;
        gateway.flush().await;
        gateway.stop().await;
        let mut columns = BTreeSet::new();
        let files = lake::files(&folder.path().join("lake"));
        for file in files.iter().filter(|path| lake::is_parquet(path)) {
            columns.extend(lake::columns(file));
        }
        for expected in ["rudder_event", "merge_property_2_value", "payload", "row_id"] {
            assert!(columns.contains(expected), "{dialect}: no {expected} in {columns:?}");
        }
        let unexplained: Vec<&String> = columns.difference(&explained).collect();
        assert!(unexplained.is_empty(), "{dialect}: {unexplained:?}");
    }
}
