//! What a script may return.

use super::*;

#[test]
fn an_event_is_kept_changed_dropped_or_split() {
    assert_eq!(body("return event"), keep(EVENT));
    assert_eq!(body("return { type: event.type }"), keep(r#"{"type":"track"}"#));
    assert_eq!(body("return null"), Ok(Outcome::Drop));
    assert_eq!(body(""), Ok(Outcome::Drop));
    assert_eq!(body("return []"), Ok(Outcome::Drop));
    assert_eq!(body("return [{ a: 1 }]"), keep(r#"{"a":1}"#));
    let parts = vec![r#"{"a":1}"#.to_owned(), r#"{"b":2}"#.to_owned()];
    assert_eq!(body("return [{ a: 1 }, { b: 2 }]"), Ok(Outcome::Split(parts)));
}

#[test]
fn anything_else_is_an_error() {
    let bad = |what| Err(Error::BadResult(what));
    for value in [
        "1",
        "'text'",
        "true",
        "event.type",
        "() => 1",
        "Symbol()",
        "[1]",
        "[[]]",
        "[event, null]",
        "new Date()",
        "new Map()",
        "/x/",
        "new Error('x')",
        "new Uint8Array(3)",
    ] {
        assert_eq!(body(&format!("return {value}")), bad(Bad::NotAnEvent), "{value}");
    }
    assert_eq!(body("return { toJSON: () => 'text' }"), bad(Bad::NotAnEvent));
    assert_eq!(body("return { n: 1n }"), bad(Bad::NotJson));
    assert_eq!(body("event.self = event; return event"), bad(Bad::NotJson));
    assert_eq!(body("return { toJSON() { throw 1 } }"), bad(Bad::NotJson));
    let deep = "let v = {}; for (let i = 0; i < 200; i++) v = { v }; return v";
    assert_eq!(body(deep), bad(Bad::TooDeep));
}

#[test]
fn objects_of_a_class_or_without_prototype_are_events() {
    assert_eq!(body("class E { a = 1 } return new E()"), keep(r#"{"a":1}"#));
    let bare = "const o = Object.create(null); o.a = 1; return o";
    assert_eq!(body(bare), keep(r#"{"a":1}"#));
    assert_eq!(body("return { a: undefined, f() {}, b: NaN }"), keep(r#"{"b":null}"#));
}

#[test]
fn text_survives_in_every_script_of_the_world() {
    let event = r#"{"a":"żółć \"q\" \\ \n 😀 \u2028","k é":1}"#;
    let same = body_on("return event", event).unwrap();
    let Outcome::Keep(same) = same else { panic!("not kept") };
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&same), value(event));
    assert_eq!(body("return { s: '\\ud800' }"), keep(r#"{"s":"\ud800"}"#));
}

#[test]
fn the_first_of_repeated_keys_is_the_one_a_script_sees() {
    let event = r#"{"a":"first","a":"second","b":"x\u0000y"}"#;
    assert_eq!(body_on("return event", event), keep(r#"{"a":"first","b":"xy"}"#));
}

#[test]
fn what_is_no_object_is_refused_without_a_call() {
    for event in ["1", "[]", "null", "{", ""] {
        assert_eq!(body_on("return { a: 1 }", event), Err(Error::BadInput), "{event}");
    }
}

#[test]
fn a_stopped_run_gives_nothing() {
    let script = load("export const transformEvent = (event) => event");
    let asked = std::cell::Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) == 2;
    let result = Runtime::default().run(&script, &[input(EVENT); 5], &stop);
    assert_eq!((result, asked.get()), (Err(Stopped), 3));
}
