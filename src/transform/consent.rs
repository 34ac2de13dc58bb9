//! Which purposes the sender of an event denied, in the forms that consent managers leave.
//!
//! RudderStack's SDKs write `context.consentManagement.deniedConsentIds` (OneTrust, Ketch, iubenda
//! and custom managers alike); older Ketch wrappers write an object of id and boolean there;
//! Segment's wrapper writes `context.consent.categoryPreferences`, id and boolean.

use crate::event::{Edits, Kind, Node, Parser, Value, known};

/// True if one of `ids` was denied.
pub(super) fn is_denied(event: Node<'_>, edits: &Edits, ids: &[String]) -> bool {
    let Some(context) = event.member(known::CONTEXT) else {
        return inserted(edits, event.index(), "context", |context| in_context(context, ids));
    };
    if let Value::Replaced(json) = edits.value(context.index()) {
        return parsed(json, |context| in_context(context, ids));
    }
    in_context(context, ids)
        || inserted(edits, context.index(), "consentManagement", |node| in_management(node, ids))
        || inserted(edits, context.index(), "consent", |node| in_preferences(node, ids))
}

fn inserted(edits: &Edits, object: u32, key: &str, test: impl Fn(Node<'_>) -> bool) -> bool {
    edits
        .inserted()
        .filter(|insert| insert.object == object && insert.key == key)
        .any(|insert| parsed(insert.value, &test))
}

fn parsed(json: &str, test: impl Fn(Node<'_>) -> bool) -> bool {
    let mut parser = Parser::new();
    parser.parse(json.as_bytes()).is_ok_and(|tape| test(tape.root()))
}

fn in_context(context: Node<'_>, ids: &[String]) -> bool {
    context.member(known::CONSENT_MANAGEMENT).is_some_and(|node| in_management(node, ids))
        || context.get("consent").is_some_and(|node| in_preferences(node, ids))
}

fn in_management(node: Node<'_>, ids: &[String]) -> bool {
    let denied = node.get("deniedConsentIds").is_some_and(|denied| names(denied, ids, Kind::True));
    // An object in place of the list: id and whether it was allowed.
    let allowed = node.get("allowedConsentIds").filter(|node| node.kind() == Kind::Object);
    denied || allowed.is_some_and(|node| names(node, ids, Kind::False))
}

fn in_preferences(node: Node<'_>, ids: &[String]) -> bool {
    node.get("categoryPreferences").is_some_and(|node| names(node, ids, Kind::False))
}

/// True if a list names one of `ids`, or an object has one of them with the value `flag`.
fn names(node: Node<'_>, ids: &[String], flag: Kind) -> bool {
    node.children().any(|child| match node.kind() {
        Kind::Array => child.text().is_some_and(|text| ids.iter().any(|id| *id == text)),
        _ => child.kind() == flag && ids.iter().any(|id| id == child.key()),
    })
}
