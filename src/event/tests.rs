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
    assert_eq!(tape.mended(), Mended { surrogates: 1, nuls: 2 });
    let mut edits = Edits::new();
    edits.begin(tape.root());
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "{\"ab\":\"xy\",\"c\":[\"\u{fffd}\"],\"d\":1}");
}

/// Any JSON value, with keys from a small set so that they repeat.
/// A text whose objects may have several members of one key.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(u8),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    any::<u8>().prop_map(Tree::Leaf).prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            prop::collection::vec(("[a-d]|[a-b]{15,18}", inner), 0..8).prop_map(Tree::Object),
        ]
    })
}

impl Tree {
    /// The text, with one of the members of a key only where a rule is given.
    fn write(&self, rule: Option<Duplicates>, out: &mut String) {
        let (open, members, close): (_, Vec<(Option<&String>, &Self)>, _) = match self {
            Self::Leaf(number) => return out.push_str(&number.to_string()),
            Self::Array(list) => ('[', list.iter().map(|one| (None, one)).collect(), ']'),
            Self::Object(list) => {
                let wins = |at: usize| {
                    let same = |other: &(String, Self)| other.0 == list[at].0;
                    rule.is_none_or(|rule| match rule {
                        Duplicates::FirstWins => !list[..at].iter().any(same),
                        Duplicates::LastWins => !list[at + 1..].iter().any(same),
                    })
                };
                let kept = list.iter().enumerate().filter(|(at, _)| wins(*at));
                ('{', kept.map(|(_, (key, one))| (Some(key), one)).collect(), '}')
            }
        };
        out.push(open);
        for (at, (key, one)) in members.into_iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            if let Some(key) = key {
                out.push_str(&format!("\"{key}\":"));
            }
            one.write(rule, out);
        }
        out.push(close);
    }

    fn text(&self, rule: Option<Duplicates>) -> String {
        let mut out = String::new();
        self.write(rule, &mut out);
        out
    }
}

proptest! {
    #[test]
    fn one_of_several_members_counts(trees in prop::collection::vec(tree(), 1..5)) {
        for rule in [Duplicates::FirstWins, Duplicates::LastWins] {
            let mut parser = Parser::with_duplicates(rule);
            for tree in &trees {
                let body = tree.text(None);
                let mut out = Vec::new();
                parser.parse(body.as_bytes()).unwrap().root().write_compact(&mut out);
                prop_assert_eq!(String::from_utf8(out).unwrap(), tree.text(Some(rule)), "{}", body);
            }
        }
    }
}

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

/// What a parser says of a text, in words that no parser's numbers are in.
pub(super) fn told(parser: &mut Parser, body: &str) -> Result<Vec<String>, Error> {
    let tape = parser.parse(body.as_bytes())?;
    let line = |token: &Token| {
        let (key, at) = (tape.keys().text(token.key), (token.start, token.end, token.next));
        format!("{at:?} {} {key:?} {:?} {}", token.key_start, token.kind, token.flags)
    };
    Ok(tape.tokens().iter().map(line).collect())
}

#[test]
fn members_are_added_with_their_commas() {
    let mut parser = Parser::new();
    let tape = parser.parse(br#"{"a":{},"b":{"c":1}}"#).unwrap();
    let (root, mut edits) = (tape.root(), Edits::new());
    let (a, b) = (root.get("a").unwrap().index(), root.get("b").unwrap());
    let written = |edits: &mut Edits| {
        let mut out = Vec::new();
        edits.write(root, &mut out);
        String::from_utf8(out).unwrap()
    };
    edits.begin(root);
    edits.insert_string(root.index(), "type", known::TYPE, "x\"");
    edits.insert(a, "q\"\n", KeyId::NONE, "[1]");
    edits.insert(root.index(), "name", known::NAME, "2");
    edits.insert_string(root.index(), "channel", known::CHANNEL, "web");
    edits.insert(b.index(), "ip", known::IP, "3");
    edits.remove(b.get("c").unwrap().index());
    assert_eq!(edits.inserts(), 5);
    assert_eq!(edits.inserted_at(1).map(|one| (one.key, one.value)), Some(("q\"\n", "[1]")));
    assert_eq!(edits.place_of(4), Some((b.index(), known::IP)));
    edits.replace_inserted(1, "\tr");
    edits.remove_inserted(2);
    edits.set_string(root, "channel", known::CHANNEL, "tv");
    assert_eq!(edits.place_of(2), None);
    let expected = r#"{"type":"x\"","channel":"tv","a":{"q\"\n":"\tr"},"b":{"ip":3}}"#;
    assert_eq!(written(&mut edits), expected);
    edits.begin(root);
    edits.insert(a, "name", known::NAME, "1");
    edits.remove_inserted(0);
    assert_eq!(written(&mut edits), root.raw());
    edits.set_string(root.get("a").unwrap(), "name", known::NAME, "n");
    assert_eq!(written(&mut edits), r#"{"a":{"name":"n"},"b":{"c":1}}"#);
}

proptest! {
    #[test]
    fn what_came_before_changes_nothing(values in prop::collection::vec((json(), any::<bool>()), 1..8)) {
        let mut parser = Parser::new();
        for (value, pretty) in values.iter().chain(&values) {
            let body = if *pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap();
            prop_assert_eq!(told(&mut parser, &body), told(&mut Parser::new(), &body));
        }
    }

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

/// The recorded facts about times, ids and rudderIds of tests/golden/event.
mod vectors {
    use std::borrow::Cow;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Fixed, Timestamp};
    use crate::event::enrich::*;
    use crate::event::time::Moment;

    const VECTORS: &str = include_str!("../../tests/golden/event/field_vectors.json");

    fn arrival(at: Timestamp) -> Arrival<'static> {
        Arrival {
            at,
            text: Moment::coarse(at).text(),
            client_ip: "203.0.113.9",
            keep_received_at: false,
            guard: ClockGuard {
                max_future: Duration::from_secs(86_400),
                min: Moment::parse("1971-01-01").unwrap().at,
            },
        }
    }

    /// Does to one event what ingest does, without transformations.
    pub(super) fn enriched(event: &str, batch: &str, received_at: &str) -> Json {
        let arrival = arrival(Moment::parse(received_at).unwrap().at);
        let (mut parser, mut merged) = (Parser::new(), Parser::new());
        let mut edits = Edits::new();
        let mut buffer = Vec::new();
        let rest = batch.trim_start().strip_prefix('{').unwrap();
        let comma = if rest.trim() == "}" { "" } else { "," };
        let body = format!(r#"{{"batch":[{event}]{comma}{rest}"#);
        let body = parser.parse(body.as_bytes()).unwrap().root();
        let level = BatchLevel::of(&Fields::of(body));
        let mut fields = Fields::of(body.member(known::BATCH).unwrap().children().next().unwrap());
        let times = times(&fields, level, &arrival);
        if needs_merge(&fields, level, &times) {
            let node = merge(&fields, level, &mut buffer, &mut merged, &mut edits).unwrap();
            fields = Fields::of(node);
        }
        edits.begin(fields.event());
        enrich(&fields, None, &times, &arrival, &Fixed::at(arrival.at), &mut edits);
        let mut out = Vec::new();
        edits.write(fields.event(), &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn large_contexts_merge_as_small_ones_do() {
        for members in [3, 63, 64, 65, 2_000] {
            let object = |name: &str| {
                let members = (0..members).map(|n| format!(r#""{name}{n}":{n}"#));
                members.collect::<Vec<_>>().join(",")
            };
            let event = format!(
                r#"{{"userId":"u","context":{{{},"both":1,"deep":{{"x":1}}}}}}"#,
                object("own")
            );
            let batch = format!(
                r#"{{"context":{{{},"both":2,"deep":{{"x":2,"y":2}}}}}}"#,
                object("shared")
            );
            let got = enriched(&event, &batch, "2026-11-21T10:00:00Z");
            let context = got["context"].as_object().unwrap();
            assert_eq!(context.len(), 2 * members + 2);
            assert_eq!(
                (&context["both"], &context["deep"]["x"], &context["deep"]["y"]),
                (&1.into(), &1.into(), &2.into())
            );
            let last = members - 1;
            assert_eq!(
                (&context[&format!("own{last}")], &context[&format!("shared{last}")]),
                (&last.into(), &last.into())
            );
        }
    }

    #[test]
    fn times_follow_the_recorded_facts() {
        let vectors: Json = serde_json::from_str(VECTORS).unwrap();
        for case in vectors["timestamps"].as_array().unwrap() {
            let mut event = serde_json::Map::new();
            for key in ["originalTimestamp", "sentAt", "timestamp"] {
                event.insert(key.to_owned(), case[key].clone());
            }
            let event = Json::Object(event).to_string();
            let got = enriched(&event, "{}", case["receivedAt"].as_str().unwrap());
            for (key, want) in case["out"].as_object().unwrap() {
                assert_eq!(&got[key], want, "{key} of {case}");
            }
            if case["out"].get("context").is_none() {
                assert_eq!(got.get("context"), None, "{case}");
            }
        }
    }

    #[test]
    fn rudder_ids_and_message_ids_follow_the_recorded_facts() {
        let vectors: Json = serde_json::from_str(VECTORS).unwrap();
        for case in vectors["rudderId"].as_array().unwrap() {
            let text = |key: &str| case[key].as_str().unwrap().to_owned();
            let made = id::rudder_id(&text("userId"), &text("anonymousId"));
            assert_eq!(made.to_string(), text("rudderId"));
        }
        for case in vectors["messageId"].as_array().unwrap() {
            let event = serde_json::json!({"messageId": case["in"]}).to_string();
            let mut parser = Parser::new();
            let fields = Fields::of(parser.parse(event.as_bytes()).unwrap().root());
            let minted = case["out"] == "<random uuid v4>";
            let want = (!minted).then(|| Cow::Borrowed(case["out"].as_str().unwrap()));
            assert_eq!(message_id(&fields), want, "{case}");
        }
    }

    #[test]
    fn a_batch_adds_what_an_event_lacks_and_the_event_wins() {
        let event = r#"{"event":"e","context":{"app":{"name":"own"},"ip":"1.2.3.4"}}"#;
        let batch = r#"{"sentAt":"2024-01-01T00:00:00Z","integrations":{"All":false},
            "context":{"app":{"name":"shared","build":"7"},"os":{"name":"x"}}}"#;
        let got = enriched(event, batch, "2024-01-01T00:00:01Z");
        let context = serde_json::json!(
            {"app": {"name": "own", "build": "7"}, "ip": "1.2.3.4", "os": {"name": "x"}});
        assert_eq!(got["context"], context);
        assert_eq!(got["integrations"], serde_json::json!({"All": false}));
        assert_eq!(got["sentAt"], "2024-01-01T00:00:00.000Z");
    }

    #[test]
    fn segments_form_is_skew_corrected_and_the_future_is_guarded() {
        let event = r#"{"timestamp":"2044-01-01T00:00:00.5004Z","sentAt":"2044-01-01T00:00:02Z"}"#;
        let got = enriched(event, "{}", "2024-01-01T00:00:10Z");
        assert_eq!(got["originalTimestamp"], "2044-01-01T00:00:00.500400Z");
        assert_eq!(got["timestamp"], "2024-01-01T00:00:08.500400Z");
        let event = r#"{"timestamp":"2044-01-01T00:00:00+01:00"}"#;
        let got = enriched(event, "{}", "2024-01-01T00:00:10Z");
        assert_eq!(got["timestamp"], "2024-01-01T00:00:10.000Z");
        assert_eq!(got["context"]["timeAdjusted"], "future");
        assert_eq!(got["context"]["rawTimestamp"], "2044-01-01T00:00:00+01:00");
        let got = enriched(r#"{"timestamp":"1970-01-02"}"#, "{}", "2024-01-01T00:00:10Z");
        assert_eq!(got["context"]["timeAdjusted"], "ancient");
    }

    #[test]
    fn identity_is_what_prints() {
        for (event, has) in [
            (r#"{"userId":" \u200b ","anonymousId":"\t"}"#, false),
            (r#"{"userId":null}"#, false),
            (r#"{"userId":0}"#, true),
            (r#"{"anonymousId":"a"}"#, true),
        ] {
            let mut parser = Parser::new();
            let fields = Fields::of(parser.parse(event.as_bytes()).unwrap().root());
            assert_eq!(has_identity(&fields), has, "{event}");
        }
    }
}
