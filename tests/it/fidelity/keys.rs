//! Keys that meet the rules of names: alike, reserved, empty, long, and cut amid a letter.

use proptest::prelude::*;

/// A key as it is spelled in JSON, and the key.
pub(super) fn key() -> impl Strategy<Value = (String, String)> {
    let plain = [
        "a",
        "A",
        "b",
        "c",
        "price",
        "a_b",
        "a-b",
        "a.b",
        "a\\b",
        "aB",
        "é",
        "É",
        "İ",
        "日本",
        "",
        " ",
        "$",
        "-.-",
        "_",
        "__",
        "7",
        "word2vec",
        "__proto__",
        "constructor",
        "prototype",
        "$x",
        "a$",
        "id",
        "user_id",
        "userId",
        "anonymous_id",
        "timestamp",
        "received_at",
        "name",
        "event",
        "select",
        "order",
        "ip",
        "uuid_ts",
        "loaded_at",
        "_overflow",
        "rudder_event",
        "price__float",
        "context_a",
        "group_id",
        "traits",
    ];
    prop_oneof![
        12 => proptest::sample::select(plain.to_vec()).prop_map(|key| (serde_json::to_string(key).unwrap(), key.to_owned())),
        2 => "[a-z]{1,3}".prop_map(|key| (serde_json::to_string(&key).unwrap(), key)),
        1 => Just((r#""n\u0000ul""#.to_owned(), "nul".to_owned())),
        1 => Just(("\"".to_owned() + &"k".repeat(300) + "\"", "k".repeat(300))),
        2 => cut_amid_a_letter(),
    ]
}

/// Keys that meet the limit of a name's length with a letter of several bytes, and differ behind it.
fn cut_amid_a_letter() -> impl Strategy<Value = (String, String)> {
    let lengths = proptest::sample::select(vec![59_usize, 60, 61, 62, 63, 124, 125, 126, 127]);
    let tails = proptest::sample::select(vec!["é", "日本", "日", "😀x", "İ", "ß1"]);
    (lengths, tails).prop_map(|(length, tail)| {
        let key = "k".repeat(length) + tail;
        (format!("\"{key}\""), key)
    })
}
