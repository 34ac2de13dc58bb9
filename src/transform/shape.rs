//! The shape of a value: its keys, after the detectors, and of each value the type and length.
//!
//! What the gateway keeps of an event whose transformation failed, or that could not be read: enough
//! to see what it was, nothing that was in it.

use super::detect::{Detector, Finder, Set};
use crate::event::{Kind, Node, text};

/// Bytes that a shape has at most; a row of the rejected table is to stay small.
const SHAPE_BYTES_MAX: usize = 16 * 1024;

const FOR_KEYS: Set = Set::of(&Detector::ALL).without(Set::of(&[
    Detector::DeviceOwner,
    Detector::Name,
    Detector::Opaque,
]));

/// The shape of `node` as JSON: `{"userId":"string(26)","batch":["object",...]}`. Cut to 16 KiB,
/// where `"..."` stands for the rest.
#[must_use]
pub fn shape(node: Node<'_>) -> String {
    let mut shaper = Shaper { finder: Finder::default(), out: Vec::new() };
    shaper.value(node);
    String::from_utf8(shaper.out).unwrap_or_default()
}

struct Shaper {
    finder: Finder,
    out: Vec<u8>,
}

impl Shaper {
    fn value(&mut self, node: Node<'_>) {
        match node.kind() {
            Kind::Object => self.members(node),
            Kind::Array => self.elements(node),
            Kind::Null => self.out.extend_from_slice(b"\"null\""),
            Kind::True | Kind::False => self.out.extend_from_slice(b"\"boolean\""),
            Kind::Number => self.named("number", node.raw().len()),
            Kind::String => {
                self.named("string", node.text().unwrap_or_default().chars().count());
            }
        }
    }

    fn named(&mut self, kind: &str, length: usize) {
        self.out.extend_from_slice(format!("\"{kind}({length})\"").as_bytes());
    }

    fn members(&mut self, node: Node<'_>) {
        self.out.push(b'{');
        for (n, child) in node.children().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            if self.out.len() > SHAPE_BYTES_MAX {
                self.out.extend_from_slice(b"\"...\":\"...\"");
                break;
            }
            let key = self.clean(child.key());
            text::write_string(&key, &mut self.out);
            self.out.push(b':');
            self.value(child);
        }
        self.out.push(b'}');
    }

    fn elements(&mut self, node: Node<'_>) {
        self.out.push(b'[');
        for (n, child) in node.children().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            if self.out.len() > SHAPE_BYTES_MAX {
                self.out.extend_from_slice(b"\"...\"");
                break;
            }
            self.value(child);
        }
        self.out.push(b']');
    }

    fn clean(&mut self, key: &str) -> String {
        let (mut out, mut from) = (String::new(), 0);
        for one in self.finder.find(key, FOR_KEYS) {
            out.push_str(key.get(from..one.start).unwrap_or_default());
            out.push_str(one.what.placeholder());
            from = one.end;
        }
        out.push_str(key.get(from..).unwrap_or_default());
        // A key longer than any column is content, whatever it is called.
        if out.chars().count() > 128 { format!("key({})", out.chars().count()) } else { out }
    }
}
