//! RudderStack's own answers, kept compressed under `tests/golden/warehouse`.

use serde_json::Value;

/// The text of a file.
pub(super) fn text(name: &str) -> String {
    let path = format!("{}/tests/golden/warehouse/{name}.zst", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap()
}

/// The JSON values of a file's lines.
pub(super) fn lines(name: &str) -> Vec<Value> {
    text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
