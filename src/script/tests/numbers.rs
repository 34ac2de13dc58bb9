//! Numbers keep their spelling, whatever JavaScript makes of them.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::super::numbers::Spellings;
use super::*;
use crate::event::{self, Node};

/// The value with sorted keys and numbers as they are spelled: what two texts must share.
fn canonical(text: &str) -> String {
    fn write(node: Node<'_>, out: &mut String) {
        match node.kind() {
            event::Kind::Object => {
                let mut members: Vec<Node<'_>> = node.children().collect();
                members.sort_by_key(|member| member.key());
                out.push('{');
                for member in members {
                    out.push_str(&format!("{:?}:", member.key()));
                    write(member, out);
                    out.push(',');
                }
                out.push('}');
            }
            event::Kind::Array => {
                out.push('[');
                for child in node.children() {
                    write(child, out);
                    out.push(',');
                }
                out.push(']');
            }
            event::Kind::String => out.push_str(&format!("{:?}", node.text().unwrap())),
            _ => out.push_str(node.raw()),
        }
    }
    let mut parser = event::Parser::new();
    let mut out = String::new();
    write(parser.parse(text.as_bytes()).unwrap().root(), &mut out);
    out
}

fn restored(input: &str, output: &str) -> Option<String> {
    let (mut first, mut second) = (event::Parser::new(), event::Parser::new());
    let input = first.parse(input.as_bytes()).unwrap().root();
    let output = second.parse(output.as_bytes()).unwrap().root();
    let mut spellings = Spellings::default();
    spellings.begin(input);
    spellings.restore(input, output)
}

#[test]
fn a_number_left_alone_keeps_its_spelling() {
    let input = concat!(
        r#"{"big":9007199254740993,"huge":123456789012345678901234567890,"price":1.10,"e":1e21,"E":1E2,"#,
        r#""zero":-0,"tiny":1e-400,"over":1e400,"under":-1e400,"list":[0.10,[2.50]],"#,
        r#""tie":600000000000000.3,"even":600000000000000.2,"plain":[1,-5,0.5,12345]}"#
    );
    assert_eq!(body_on("return event", input), keep(input));
    assert_eq!(body_on("return { ...event }", input), keep(input));
    assert_eq!(
        body_on("return [event, event]", input),
        Ok(Outcome::Split(vec![input.into(), input.into()]))
    );
}

#[test]
fn a_number_that_was_changed_or_moved_is_the_scripts() {
    let changed = "event.a += 1; event.c = event.b; event.d = null; event.e = 'x'; return event";
    let input = r#"{"a":1.10,"b":2.50,"c":7,"d":3.0,"e":4.0}"#;
    assert_eq!(body_on(changed, input), keep(r#"{"a":2.1,"b":2.50,"c":2.5,"d":null,"e":"x"}"#));
    // Whatever a script may still see as the same double counts as left alone.
    let lost = "event.a += 1; return event";
    assert_eq!(
        body_on(lost, r#"{"a":90071992547409930000}"#),
        keep(r#"{"a":90071992547409930000}"#)
    );
}

#[test]
fn a_null_that_a_script_sets_stays_null_where_a_number_was_infinite() {
    let input = r#"{"a":1e400,"b":-1e400,"c":1e400,"d":{"e":1e999}}"#;
    let script = "event.c = null; event.f = Infinity; event.b = Infinity; delete event.d.e; event.d.g = 1e999; return event";
    assert_eq!(
        body_on(script, input),
        keep(r#"{"a":1e400,"b":null,"c":null,"d":{"g":null},"f":null}"#)
    );
    let batch = load("export const transformBatch = (all) => { all[0].x = -Infinity; return all }");
    let result = run_all(&mut Runtime::default(), &batch, &["{}", r#"{"a":1e400}"#]);
    assert_eq!(result, [keep(r#"{"x":null}"#), keep(r#"{"a":1e400}"#)]);
}

#[test]
fn what_a_batch_adds_takes_no_spelling_from_its_neighbour() {
    let script = load("export const transformBatch = (all) => [...all, { n: all[0].n }]");
    let result = run_all(&mut Runtime::default(), &script, &[r#"{"n":1.0}"#]);
    let parts = vec![r#"{"n":1.0}"#.to_owned(), r#"{"n":1}"#.to_owned()];
    assert_eq!(result, [Ok(Outcome::Split(parts))]);
}

#[test]
fn members_are_found_by_key_in_any_order_and_size() {
    assert_eq!(
        restored(r#"{"a":1.0,"b":2.0}"#, r#"{"b":2,"x":1,"a":1}"#).unwrap(),
        r#"{"b":2.0,"x":1,"a":1.0}"#
    );
    assert_eq!(restored(r#"{"a":1.0}"#, r#"{"b":1}"#), None);
    assert_eq!(restored(r#"{"a":{"b":1.0}}"#, r#"{"a":1}"#), None);
    assert_eq!(restored(r#"{"a\u0062":1.0}"#, r#"{"ab":1}"#).unwrap(), r#"{"ab":1.0}"#);
    let object = |number: &dyn Fn(u32) -> String, order: &mut dyn Iterator<Item = u32>| {
        let members: Vec<String> = order.map(|n| format!("\"k{n}\":{}", number(n))).collect();
        format!("{{{}}}", members.join(","))
    };
    let input = object(&|n| format!("{n}.0"), &mut (0..500));
    let output = object(&|n| n.to_string(), &mut (0..500).rev());
    let wanted = object(&|n| format!("{n}.0"), &mut (0..500).rev());
    assert_eq!(restored(&input, &output).unwrap(), wanted);
}

/// Numbers in all of JSON's spellings.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<f64>().prop_filter("JSON has none", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<i64>().prop_map(|n| n.to_string()),
        (-40..40).prop_map(|n| format!("{}", f64::powi(10.0, n))),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => number(),
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        2 => "[a-z é😀]{0,6}".prop_map(|text| format!("{text:?}")),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-z0-9_é]{0,4}|__proto__|toString|then", inner, 0..6).prop_map(
        |members| {
            let members: Vec<String> =
                members.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
            format!("{{{}}}", members.join(","))
        },
    )
}

fn for_all<S: Strategy<Value = T>, T: std::fmt::Debug>(
    strategy: S,
    script: &str,
    test: impl Fn(T, &mut dyn FnMut(&str) -> String) -> Result<(), TestCaseError>,
) {
    let script = load(script);
    let runtime = std::cell::RefCell::new(Runtime::default());
    let config =
        ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&strategy, |value| {
        test(value, &mut |event| match run_one(&mut runtime.borrow_mut(), &script, event) {
            Ok(Outcome::Keep(result)) => result,
            other => panic!("{other:?}: {event}"),
        })
    });
    result.unwrap();
}

#[test]
fn an_event_comes_back_as_it_was_written() {
    let same = "export const transformEvent = (event) => event";
    for_all(object(value()), same, |event, run| {
        prop_assert_eq!(canonical(&run(&event)), canonical(&event));
        Ok(())
    });
}

#[test]
fn numbers_that_a_script_sets_are_its_own() {
    let other = "export function transformEvent(event) {
        event.list = event.list.map((n) => n === 7 ? 8 : 7); return event }";
    for_all(prop::collection::vec(number(), 0..20), other, |numbers, run| {
        let event = format!(r#"{{"list":[{}]}}"#, numbers.join(","));
        let set = |n: &String| if n.parse() == Ok(7.0) { "8" } else { "7" };
        let wanted: Vec<&str> = numbers.iter().map(set).collect();
        prop_assert_eq!(run(&event), format!(r#"{{"list":[{}]}}"#, wanted.join(",")));
        Ok(())
    });
}
