//! The parser and the writer against `serde_json` as the judge.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn compact(body: &str) -> Result<String, Error> {
    let mut parser = Parser::new();
    let tape = parser.parse(body.as_bytes())?;
    let mut out = Vec::new();
    tape.root().write_compact(&mut out);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn reads_what_is_there() {
    let mut parser = Parser::new();
    let tape = parser.parse(br#" {"a":[1,2.50,{"b":"x\ny"}],"type":"track"} "#).unwrap();
    let root = tape.root();
    assert_eq!(root.member(known::TYPE).unwrap().spelled(), Some("track"));
    let a = root.get("a").unwrap();
    let raw: Vec<&str> = a.children().map(Node::raw).collect();
    assert_eq!(raw, ["1", "2.50", r#"{"b":"x\ny"}"#]);
    assert_eq!(a.children().nth(2).unwrap().get("b").unwrap().text().unwrap(), "x\ny");
    assert_eq!(tape.root().children().count(), 2);
}

#[test]
fn first_of_duplicate_keys_wins_at_every_level() {
    let body = r#"{"a":1,"b":{"a":2,"a":3},"a":4,"\u0061":5}"#;
    assert_eq!(compact(body).unwrap(), r#"{"a":1,"b":{"a":2}}"#);
    let mut parser = Parser::with_duplicates(Duplicates::LastWins);
    let tape = parser.parse(body.as_bytes()).unwrap();
    let mut out = Vec::new();
    tape.root().write_compact(&mut out);
    assert_eq!(out, br#"{"b":{"a":3},"a":5}"#);
}

#[test]
fn numbers_keep_their_spelling() {
    let body = r#"[9007199254740993,1.10,1e21,-0,1E+400,0.1e-7]"#;
    assert_eq!(compact(body).unwrap(), body);
}

#[test]
fn wrong_texts_are_refused() {
    let wrong = [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "01",
        "1.",
        "-",
        "1e",
        "\"\u{1}\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "nul",
        "[1 2]",
        "{} {}",
        "\"abc",
        "{1:2}",
        "[",
        "]",
        "+1",
        ".5",
        "'a'",
    ];
    for body in wrong {
        assert!(compact(body).is_err(), "{body}");
        assert!(serde_json::from_str::<Json>(body).is_err(), "{body}");
    }
    assert!(Parser::new().parse(b"\"\xff\"").is_err());
}

#[test]
fn depth_has_a_limit() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(compact(&nested(DEPTH_MAX)).is_ok());
    let deeper = compact(&nested(DEPTH_MAX + 1));
    assert!(matches!(deeper, Err(Error::TooDeep { .. })), "{deeper:?}");
    assert!(matches!(compact(&"[".repeat(200_000)), Err(Error::TooDeep { .. })));
}

#[test]
fn values_have_a_limit() {
    let body = format!("[{}0]", "0,".repeat(VALUES_MAX));
    assert_eq!(Parser::new().parse(body.as_bytes()).unwrap_err(), Error::TooMany);
}

#[test]
fn nul_and_lone_surrogates_never_reach_what_is_written() {
    let body = r#"{"a\u0000b":"x\u0000y","c":["\ud800"],"d":1}"#;
    let mut parser = Parser::new();
    let tape = parser.parse(body.as_bytes()).unwrap();
    assert_eq!(tape.surrogates_replaced(), 1);
    let mut edits = Edits::new();
    edits.begin(tape.root());
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "{\"ab\":\"xy\",\"c\":[\"\u{fffd}\"],\"d\":1}");
}

/// Any JSON value, with keys from a small set so that they repeat.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e9..1e9_f64).prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        "[\"\\\\\n\t a-z]{0,9}".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::btree_map("[a-e]|\\PC{0,3}", inner, 0..6)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Applies to a tree what `edits_do_what_they_say` notes against the tape.
fn edited(tree: &Json, picks: &[u8], at: &mut usize) -> Option<Json> {
    let pick = picks[*at % picks.len()];
    let root = *at == 0;
    *at += 1;
    if pick == 1 && !root {
        skip(tree, at);
        return None;
    }
    if pick == 2 {
        skip(tree, at);
        return Some(Json::from("new \"value\""));
    }
    Some(match tree {
        Json::Array(list) => list.iter().filter_map(|v| edited(v, picks, at)).collect(),
        Json::Object(map) => {
            let inserted = (pick == 3).then(|| ("added!".to_owned(), Json::from(7)));
            let mut out: serde_json::Map<String, Json> = inserted.into_iter().collect();
            for (key, value) in map {
                let renamed = picks[*at % picks.len()] == 4;
                let key = if renamed { format!("{key}\"_2") } else { key.clone() };
                if let Some(value) = edited(value, picks, at) {
                    out.insert(key, value);
                }
            }
            Json::Object(out)
        }
        other => other.clone(),
    })
}

fn skip(tree: &Json, at: &mut usize) {
    let children: Vec<&Json> = match tree {
        Json::Array(list) => list.iter().collect(),
        Json::Object(map) => map.values().collect(),
        _ => Vec::new(),
    };
    for child in children {
        *at += 1;
        skip(child, at);
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in json(), pretty: bool) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let written = compact(&body).unwrap();
        prop_assert_eq!(serde_json::from_str::<Json>(&written).unwrap(), value);
    }

    #[test]
    fn judges_any_bytes_as_serde_json_does(body in "[\\[\\]{}:, \"a0-9.eE+\\\\untrf-]{0,24}") {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&body).is_ok();
        prop_assert_eq!(compact(&body).is_ok(), theirs, "{}", body);
    }

    #[test]
    fn edits_do_what_they_say(value in json(), pretty: bool, picks in prop::collection::vec(0..5_u8, 1..40)) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut parser = Parser::new();
        let tape = parser.parse(body.as_bytes()).unwrap();
        let mut edits = Edits::new();
        edits.begin(tape.root());
        // Backwards, so that the order of noting does not matter.
        for (n, token) in tape.tokens().iter().enumerate().rev() {
            let at = u32::try_from(n).unwrap();
            match picks[n % picks.len()] {
                1 => edits.remove(at),
                2 => edits.replace_with_string(at, "new \"value\""),
                3 if token.kind == Kind::Object => edits.insert(at, "added!", KeyId::NONE, "7"),
                4 if token.key != KeyId::NONE => {
                    edits.rename(at, &format!("{}\"_2", tape.keys().text(token.key)));
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        edits.write(tape.root(), &mut out);
        let written: Json = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(Some(written), edited(&value, &picks, &mut 0));
    }
}
