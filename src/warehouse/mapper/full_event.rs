//! The whole event as JSON text, for `rudder_event`.

use crate::event::{Kind, Node, known, text};

use super::Event;
use super::paths::INJECTED_KEYS;

/// Appends the event, with the ids and types of source and destination in its context.
pub(super) fn write(event: &Event<'_>, out: &mut String) {
    let mut bytes = vec![b'{'];
    let context = event.member(known::CONTEXT).filter(|node| node.kind() == Kind::Object);
    for child in event.node.children().filter(|child| child.key_id() != known::CONTEXT) {
        write_member(child, &mut bytes);
    }
    bytes.extend_from_slice(b"\"context\":{");
    let sent = context.into_iter().flat_map(Node::children);
    for child in sent.filter(|child| !INJECTED_KEYS.contains(&child.key())) {
        write_member(child, &mut bytes);
    }
    let origin = event.origin;
    let values =
        [origin.source_id, origin.source_type, origin.destination_id, origin.destination_type];
    for (number, (key, value)) in INJECTED_KEYS.into_iter().zip(values).enumerate() {
        if number > 0 {
            bytes.push(b',');
        }
        text::write_string(key, &mut bytes);
        bytes.push(b':');
        text::write_string(value, &mut bytes);
    }
    bytes.extend_from_slice(b"}}");
    out.push_str(std::str::from_utf8(&bytes).unwrap_or_default());
}

fn write_member(member: Node<'_>, out: &mut Vec<u8>) {
    text::write_string(member.key(), out);
    out.push(b':');
    member.write_compact(out);
    out.push(b',');
}
