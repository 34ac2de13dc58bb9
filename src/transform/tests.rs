//! Packs over events.

use super::*;
use crate::event::{Edits, Parser};

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&[7; 32], 1).unwrap()
}

/// The event after the pack, or the verdict that ended it.
fn applied(pack: &Pack, event: &str) -> String {
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(event.as_bytes()).unwrap();
    edits.begin(tape.root());
    match pack.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms()) {
        Verdict::Keep => {
            let mut out = Vec::new();
            edits.write(tape.root(), &mut out);
            String::from_utf8(out).unwrap()
        }
        Verdict::Drop { rule } => format!("dropped by {rule}"),
        Verdict::Suppressed => "suppressed".to_owned(),
    }
}

fn pii(event: &str) -> String {
    applied(&Pack::builtin("pii").unwrap(), event)
}

#[test]
fn shipped_packs_compile() {
    for name in Pack::builtin_names() {
        let text = Pack::builtin_text(name).unwrap();
        if let Err(faults) = Pack::compile(name, text) {
            panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>());
        }
    }
}

#[test]
fn default_pack_on_an_event() {
    let event = r#"{"userId":"anna@example.com","anonymousId":"+491711234567","messageId":"4111111111111111","event":"signed up anna@example.com","context":{"ip":"203.0.113.7","traits":{"firstName":"Anna","Name":"Anna B","emailOptIn":true,"email":null,"address":{"street":"Ring 1","country":"DE"},"phone":491711234567},"device":{"name":"Anna's iPhone"},"app":{"name":"Shop","version":"1.2.3.4"},"location":{"latitude":52.520008,"lng":13.404954}},"properties":{"note":"{\"password\":\"a b\",\"to\":\"bob@example.com\",\"n\":1.50}","name":"Home","a@b.de":1,"b@b.de":2,"card":4111111111111111}}"#;
    let expected = r#"{"userId":"h1_USER","anonymousId":"h1_ANON","messageId":"4111111111111111","event":"signed up [email]","context":{"ip":"203.0.113.0","traits":{"firstName":"[name]","Name":"[name]","emailOptIn":true,"email":null,"address":{"street":"[address]","country":"DE"},"phone":"[phone]"},"device":{"name":"[name]'s iPhone"},"app":{"name":"Shop","version":"1.2.3.4"},"location":{"latitude":52.5,"lng":13.4}},"properties":{"note":"{\"password\":\"[secret]\",\"to\":\"[email]\",\"n\":1.50}","name":"Home","[email]":1,"[email]_2":2,"card":"[card]"}}"#;
    let p = pseudonyms();
    let expected = expected
        .replace("h1_USER", &p.of("anna@example.com"))
        .replace("h1_ANON", &p.of("+491711234567"));
    assert_eq!(pii(event), expected);
    assert_eq!(pii(&expected), expected, "a second run changes nothing");
}
