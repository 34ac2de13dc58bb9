//! What holds for every event, whatever is in it.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::event::{Edits, Parser};

static PII: LazyLock<Pack> = LazyLock::new(|| Pack::builtin("pii").unwrap());

fn apply(event: &str) -> String {
    apply_with(&mut Scratch::new(), &mut Parser::new(), event)
}

fn apply_with(scratch: &mut Scratch, parser: &mut Parser, event: &str) -> String {
    let (pack, mut edits) = (&*PII, Edits::new());
    let pseudonyms = Pseudonyms::new(&[7; 32], 1).unwrap();
    let tape = parser.parse(event.as_bytes()).unwrap();
    edits.begin(tape.root());
    assert_eq!(pack.apply(scratch, tape.root(), &mut edits, &pseudonyms), Verdict::Keep);
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    String::from_utf8(out).unwrap()
}

/// Texts with a good chance of holding something: pieces of every type, glued in any way.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "anna@example.com",
        "+33 1 42 46 89 60",
        "(206) 981-3845",
        "4111 1111 1111 1111",
        "DE50 5099 7882 7917 1812 95",
        "334-53-8054",
        "42.51.96.207",
        "fe80::b85:978c",
        "AC-BE-47-F9-C0-78",
        "35-174039-723711-2",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "ghp_AICdteTFYTTYBDlbtHWvYOwJeJUMw95t6E8W",
        "https://a:b@c.de/",
        "/Users/anna/x",
        "password=hunter2",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "born 1982-08-23",
        "My name is Ana Bo",
        "%40example.org",
        "%2B49",
        "?token=",
        "{\"email\":\"x@y.de\"}",
        "[1,2]",
        "-----BEGIN PRIVATE KEY-----",
        "é",
        "中",
        "\u{0}",
        "\n",
        "\\",
        "\"",
        " ",
        ".",
        ":",
        "=",
        "@",
        "1.2.3.4",
        "v1.2.3.4",
        "0.0.0.0",
        "[email]",
        "h1_0123456789abcdef0123456789abcdef",
    ]);
    prop_oneof![
        3 => prop::collection::vec(pieces, 0..5).prop_map(|pieces| pieces.concat()),
        1 => ".{0,40}",
        1 => "[a-z0-9@.:=+%/ -]{0,40}",
    ]
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "email",
            "name",
            "context",
            "traits",
            "properties",
            "ip",
            "token",
            "userId",
            "address",
            "latitude",
            "a",
            "event",
            "password",
            "userAgent",
            "device",
            "note",
        ])
        .prop_map(str::to_owned),
        texts(),
    ]
}

fn values() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        texts().prop_map(Json::from),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((keys(), inner), 0..5)
                .prop_map(|members| { Json::Object(members.into_iter().collect()) }),
        ]
    })
}

fn events() -> impl Strategy<Value = String> {
    prop::collection::vec((keys(), values()), 0..6)
        .prop_map(|members| Json::Object(members.into_iter().collect()).to_string())
}

#[test]
fn the_beginning_of_a_pseudonym_is_none_and_ends_nothing() {
    let whole = format!("h1234567890_{}", "0123456789abcdef".repeat(2));
    let under = |text: &str| apply(&serde_json::json!({"email": text}).to_string());
    for end in 1..whole.len() {
        let cut = whole.get(..end).unwrap();
        let out = under(cut);
        assert!(!out.contains(&format!("{cut:?}")), "{out} is kept");
    }
    assert!(under(&whole).contains(&whole));
}

#[test]
fn what_is_cut_is_the_same_at_a_second_look() {
    // The network of the first is no address, so that the key of a secret would have taken it then.
    for address in ["fe80::b85:978c", "1:2:3::4", "2001:db8:1:2::7"] {
        let once = apply(&serde_json::json!({"token": {"ip": {"email": address}}}).to_string());
        assert_eq!(apply(&once), once);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_comes_out_is_json_and_a_second_run_changes_nothing(event in events()) {
        let once = apply(&event);
        prop_assert!(serde_json::from_str::<Json>(&once).is_ok(), "{}", once);
        prop_assert_eq!(apply(&once), once);
    }

    #[test]
    fn what_came_before_changes_nothing(events in prop::collection::vec(events(), 1..8)) {
        let (mut scratch, mut parser) = (Scratch::new(), Parser::new());
        for event in events.iter().chain(&events) {
            prop_assert_eq!(apply_with(&mut scratch, &mut parser, event), apply(event));
        }
    }

    #[test]
    fn a_seeded_address_survives_nowhere(
        event in events(),
        before in "[a-z ,:;(]{0,6}",
        after in "[ ,;)!?]{0,3}",
    ) {
        let secret = "canary.7f3a@leak.example.com";
        let text = format!("{before} {secret}{after}");
        let mut value: Json = serde_json::from_str(&event).unwrap();
        value["userId"] = Json::from(secret);
        value["properties"] = serde_json::json!({
            "plain": text,
            "deep": [{"x": {"y": text}}],
            "json": serde_json::json!({"k": text}).to_string(),
            "url": format!("https://x.de/?e={}&n=1", secret.replace('@', "%40")),
        });
        value["properties"][text.as_str()] = Json::from(1);
        let out = apply(&value.to_string());
        prop_assert!(!out.contains("canary.7f3a"), "{}", out);
    }

    #[test]
    fn protected_values_stay(
        uuid in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        // With digits in the third and the fourth place it could be an account's number, sums and all.
        id in "[a-z][a-z0-9][a-z][a-z0-9]{23}",
        ksuid in "1[0-9A-Za-z]{26}",
        sha in "[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{32}",
        millis in 1_000_000_000_000_u64..2_000_000_000_000,
        // With two large parts of four it could as well be an address.
        version in "[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,3}(\\.[0-9]{1,2})?",
    ) {
        // An id of digits only is none of these shapes.
        prop_assume!(sha.bytes().any(|byte| byte.is_ascii_alphabetic()));
        let agent = format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{version}");
        let event = serde_json::json!({
            "userId": id, "anonymousId": uuid, "messageId": format!("{millis}-{uuid}"),
            "context": {"userAgent": agent, "ip": "0.0.0.0", "app": {"version": version},
                "library": {"version": version}, "os": {"version": version}},
            "properties": {"a": uuid, "b": id, "c": ksuid, "d": sha, "e": millis,
                "f": millis.to_string(), "g": format!("v{version}"), "h": "0.0.0.0", "i": agent},
        })
        .to_string();
        prop_assert_eq!(apply(&event), event);
    }

    #[test]
    fn any_text_is_found_in_without_a_panic(text in "\\PC{0,200}|.{0,200}") {
        let mut finder = detect::Finder::default();
        let all = detect::Set::of(&detect::Detector::ALL);
        let found = finder.find(&text, all);
        let mut end = 0;
        for one in found {
            prop_assert!(one.start >= end && one.end > one.start);
            prop_assert!(text.get(one.start..one.end).is_some(), "cuts a character");
            end = one.end;
        }
    }
}
