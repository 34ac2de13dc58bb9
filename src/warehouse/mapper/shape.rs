//! What is kept of an event that is too long for `rejected.payload`.

use crate::event::{Kind, Node, text};

/// The compact JSON text of `event`, or its shape when that is longer than `bytes_max`.
pub(super) fn payload(event: Node<'_>, bytes_max: usize) -> String {
    let mut out = Vec::new();
    if event.raw().len() <= bytes_max {
        event.write_compact(&mut out);
    } else {
        write_shape(event, bytes_max, &mut out);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Keys, with the type and length of each value; members that would not fit are counted.
fn write_shape(node: Node<'_>, bytes_max: usize, out: &mut Vec<u8>) {
    if node.kind() != Kind::Object {
        let (kind, length) = match node.kind() {
            Kind::String => ("string", node.raw().len() - 2),
            Kind::Array => ("array", node.children().count()),
            Kind::Number => ("number", node.raw().len()),
            Kind::Null => ("null", 0),
            Kind::True | Kind::False => ("boolean", 0),
            Kind::Object => ("object", 0),
        };
        out.extend_from_slice(format!("\"{kind}({length})\"").as_bytes());
        return;
    }
    out.push(b'{');
    let mut left_out = 0_usize;
    let mut first = true;
    for child in node.children() {
        // Room for the closing of all levels and the count is left over.
        if out.len() + child.key().len() * 6 + 4_096 > bytes_max {
            left_out += 1;
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        text::write_string(child.key(), out);
        out.push(b':');
        write_shape(child, bytes_max, out);
    }
    if left_out > 0 {
        let comma = if first { "" } else { "," };
        out.extend_from_slice(format!("{comma}\"...\":\"{left_out} more\"").as_bytes());
    }
    out.push(b'}');
}
