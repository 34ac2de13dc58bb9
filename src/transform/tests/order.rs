//! Packs of one source in their order.

use std::sync::Arc;

use super::*;

const SHOP: &str = r#"
[[rule]]
keys = ["build"]
action = "keep"

[[rule]]
keys = ["contact"]
except = ["properties.open.contact"]
detect = ["email"]
action = "keep"

[[rule]]
paths = ["properties.phone"]
action = "mask"
keep_last = 4

[[rule]]
keys = ["visitor"]
detect = ["ip"]
action = "truncate"

[[rule]]
keys = ["note"]
detect = ["email"]
action = "hash"

[[rule]]
keys = ["note"]
pattern = 'order \d+'
action = "redact"
"#;

/// The event after both packs, one behind the other, and the scratch's memory of the second alone.
fn both(first: &Pack, second: &Pack, event: &str) -> String {
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(event.as_bytes()).unwrap();
    let mut out = Vec::new();
    edits.begin(tape.root());
    for pack in [first, second] {
        pack.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms());
    }
    edits.write(tape.root(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_an_earlier_pack_keeps_is_kept() {
    let shop = Arc::new(compiled(SHOP));
    let pii = Pack::builtin("pii").unwrap();
    let behind = pii.behind(&[Arc::clone(&shop)]).unwrap();
    let p = pseudonyms();
    for (event, wanted) in [
        (r#"{"build":"a@b.de 4111111111111111"}"#, r#"{"build":"a@b.de 4111111111111111"}"#),
        (r#"{"contact":"a@b.de, +442079460958"}"#, r#"{"contact":"a@b.de, [phone]"}"#),
        (
            r#"{"properties":{"open":{"contact":"a@b.de"}}}"#,
            r#"{"properties":{"open":{"contact":"[email]"}}}"#,
        ),
        (
            r#"{"properties":{"phone":"+442079460958"},"traits":{"phone":"0171"}}"#,
            r#"{"properties":{"phone":"[phone]"},"traits":{"phone":"[phone]"}}"#,
        ),
        (
            r#"{"visitor":"42.51.96.207, a@b.de","x":"42.51.96.207"}"#,
            r#"{"visitor":"[ip], [email]","x":"[ip]"}"#,
        ),
        (
            r#"{"note":"a@b.de has order 7 of +442079460958"}"#,
            &format!(r#"{{"note":"{} has [rule-27] of [phone]"}}"#, p.of("a@b.de")),
        ),
    ] {
        assert_eq!(both(&shop, &behind, event), wanted);
    }
    // Alone it sees all, also where both share a scratch.
    assert_eq!(
        both(&compiled("allow = []"), &pii, r#"{"build":"a@b.de"}"#),
        r#"{"build":"[email]"}"#
    );
}

/// A rule that is there has not always done something, and who names a pack behind another may want
/// more to go.
#[test]
fn what_an_earlier_pack_changes_is_looked_at_again() {
    let pii = Arc::new(Pack::builtin("pii").unwrap());
    let p = pseudonyms();
    let cut = "[[rule]]\nkeys = [\"*\"]\ndetect = [\"ip\"]\naction = \"truncate\"\n";
    let hash = "[[rule]]\nkeys = [\"password\"]\naction = \"hash\"\n";
    let both_rules = "[[rule]]\nkeys = [\"*\"]\ndetect = [\"email\"]\naction = \"redact\"\n\
                      [[rule]]\nkeys = [\"*\"]\ndetect = [\"email\", \"phone\"]\naction = \"keep\"\n";
    for (first, event, wanted) in [
        // Identity fields are searched by rules for all values only.
        (
            cut,
            r#"{"anonymousId":"42.51.96.207"}"#,
            format!(r#"{{"anonymousId":"{}"}}"#, p.of("42.51.96.207")),
        ),
        // What stood glued to a part that went may be found then.
        (
            cut,
            r#"{"visitor":"Bestellung 4111 1111 1111 1111.42.51.96.207"}"#,
            r#"{"visitor":"Bestellung [card].[ip]"}"#.to_owned(),
        ),
        // It looks as if an earlier run had left it.
        (hash, r#"{"password":"[correct-horse]"}"#, r#"{"password":"[secret]"}"#.to_owned()),
        // A detector belongs to the first rule that lists it.
        (
            both_rules,
            r#"{"a":"+442079460958 a@b.de"}"#,
            r#"{"a":"+442079460958 [email]"}"#.to_owned(),
        ),
    ] {
        let first = Arc::new(compiled(first));
        let behind = pii.behind(&[Arc::clone(&first)]).unwrap();
        assert_eq!(both(&first, &behind, event), wanted);
    }
    let late = "[[rule]]\nkeys = [\"idfa\", \"username\", \"lat\"]\naction = \"remove\"\n";
    let late = compiled(late).behind(&[Arc::clone(&pii)]).unwrap();
    let event =
        r#"{"a":1,"idfa":"6D92078A-8246-4BA4-AE5B-76104861E7DC","username":"kim","lat":52.51}"#;
    assert_eq!(both(&pii, &late, event), r#"{"a":1}"#);
}

#[test]
fn a_pack_keeps_its_counters_and_number_apart_behind_others() {
    let shop = Arc::new(compiled(SHOP));
    let pii = Pack::builtin("pii").unwrap();
    let behind = pii.behind(&[Arc::clone(&shop)]).unwrap();
    let event = r#"{"build":"a@b.de","y":"a@b.de"}"#;
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(event.as_bytes()).unwrap();
    for (pack, wanted) in [(&pii, 2), (&behind, 1), (&pii, 4)] {
        edits.begin(tape.root());
        pack.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms());
        assert_eq!(pack.hits().find(|(rule, _)| *rule == "email").unwrap().1, wanted);
    }
}

#[test]
fn patterns_of_packs_in_a_row_are_counted_together() {
    let keys: Vec<String> = (0..3_000).map(|n| format!("\"k{n}\"")).collect();
    let large = format!("[[rule]]\nkeys = [{}]\naction = \"keep\"\n", keys.join(","));
    let large = Arc::new(compiled(&large));
    let fault = large.behind(&[Arc::clone(&large)]).unwrap_err();
    assert!(matches!(fault.why, Why::TooMany { limit: 4_096, .. }), "{fault}");
}
