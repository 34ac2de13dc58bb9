//! JSON as RudderStack's Go program holds it: numbers as doubles, keys sorted, the last of
//! duplicate keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::{Kind, Node};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number, rounded to a double.
    Number(f64),
    /// A string, NUL and all.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object, by the bytes of its keys.
    Object(Object),
}

/// The members of an object.
pub type Object = BTreeMap<String, Value>;

/// A number is too large for a double; the text says where, as Go says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "input: json: cannot unmarshal number {spelled} into {}SingularEventT.{path} of type float64",
    struct_field(.path)
)]
pub struct OutOfRange {
    /// The number as it is spelled.
    pub spelled: String,
    /// The keys and places above it, joined by points.
    pub path: String,
}

/// What Go takes the end of a path for, unless it looks like a place in an array.
fn struct_field(path: &str) -> &'static str {
    let last = path.rsplit('.').next().unwrap_or_default();
    let is_place = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    if is_place { "" } else { "Go struct field " }
}

impl Value {
    /// The value of `node`, which must come from a parser where the last of duplicate keys wins.
    ///
    /// # Errors
    /// [`OutOfRange`] for a number that no double is near to.
    pub fn read(node: Node<'_>) -> Result<Self, OutOfRange> {
        Self::read_at(node, "")
    }

    fn read_at(node: Node<'_>, path: &str) -> Result<Self, OutOfRange> {
        Ok(match node.kind() {
            Kind::Null => Self::Null,
            Kind::False => Self::Bool(false),
            Kind::True => Self::Bool(true),
            Kind::Number => match node.raw().parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(number),
                _ => {
                    let (spelled, path) = (node.raw().to_owned(), path.to_owned());
                    return Err(OutOfRange { spelled, path });
                }
            },
            Kind::String => Self::String(unescape(node.spelled().unwrap_or_default())),
            Kind::Array => Self::Array(
                node.children()
                    .enumerate()
                    .map(|(place, child)| Self::read_at(child, &format!("{path}.{place}")))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Object => {
                let mut members = Object::new();
                for child in node.children() {
                    let key = spelled_key(child);
                    // Keys are escaped as in a JSON pointer.
                    let step = key.replace('~', "~0").replace('/', "~1");
                    let below = if path.is_empty() { step } else { format!("{path}.{step}") };
                    members.insert(key, Self::read_at(child, &below)?);
                }
                Self::Object(members)
            }
        })
    }

    /// The members of an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value under `keys`, one object inside the other.
    #[must_use]
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |value, key| value.as_object()?.get(*key))
    }

    /// True for null, "", and arrays that hold nothing or one such array or string.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::String(text) => text.is_empty(),
            Self::Array(all) => match all.as_slice() {
                [] => true,
                [Self::Null] => false,
                [one] => one.is_blank(),
                _ => false,
            },
            _ => false,
        }
    }

    /// The value as text: Go's `%v`, but whole numbers without exponent and nothing for null.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Number(number) if number.fract() == 0.0 => format!("{number}"),
            other => {
                let mut out = String::new();
                other.write_printed(&mut out);
                out
            }
        }
    }

    /// Appends the value as Go's `%v` prints it.
    pub fn write_printed(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("<nil>"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => write_general(*number, out),
            Self::String(text) => out.push_str(text),
            Self::Array(all) => {
                out.push('[');
                for (place, value) in all.iter().enumerate() {
                    if place > 0 {
                        out.push(' ');
                    }
                    value.write_printed(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push_str("map[");
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    value.write_printed(out);
                }
                out.push(']');
            }
        }
    }

    /// The value as Go writes JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Appends the value as Go writes JSON.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => write_number(*number, out),
            Self::String(text) => write_string(text, out),
            Self::Array(all) => {
                out.push('[');
                for (place, value) in all.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a double as Go's JSON encoder does: an exponent below 1e-6 and from 1e21 on.
fn write_number(number: f64, out: &mut String) {
    let size = number.abs();
    let result = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                write!(out, "{digits}e+{exponent}")
            }
            _ => write!(out, "{text}"),
        }
    } else {
        write_plain(number, out);
        Ok(())
    };
    debug_assert!(result.is_ok(), "writing to a string cannot fail");
}

/// True for a double that may lie in the middle between the two shortest decimals that are read as it.
/// Rust prints the greater one, Go and `ryu` the one whose last digit is even. A whole number has too
/// many factors of two to be a middle, and one below 1 too few.
fn may_tie(number: f64) -> bool {
    number.abs() >= 1.0 && number.fract() != 0.0
}

/// Appends a double without exponent.
fn write_plain(number: f64, out: &mut String) {
    if may_tie(number) {
        // Below 2^53, where it prints without exponent too.
        out.push_str(ryu::Buffer::new().format_finite(number));
    } else {
        let written = write!(out, "{number}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
}

/// The digits with a point behind the first, and the exponent of ten.
fn scientific(number: f64) -> (String, i32) {
    if !may_tie(number) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return (digits.to_owned(), exponent.parse().unwrap_or(0));
    }
    let mut plain = String::new();
    write_plain(number, &mut plain);
    let (sign, size) = plain.strip_prefix('-').map_or(("", &*plain), |size| ("-", size));
    let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
    let (first, rest) = whole.split_at(1);
    let exponent = i32::try_from(rest.len()).unwrap_or(0);
    (format!("{sign}{first}.{rest}{fraction}"), exponent)
}

/// Appends a double as Go's `%v` does: with an exponent of two digits below 1e-4 and from 1e6 on.
pub(super) fn write_general(number: f64, out: &mut String) {
    let (digits, exponent) = scientific(number);
    if number == 0.0 || (-4..6).contains(&exponent) {
        return write_plain(number, out);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let result = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    debug_assert!(result.is_ok(), "writing to a string cannot fail");
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' | '\\' => out.extend(['\\', ch]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                let written = write!(out, "\\u{:04x}", u32::from(ch));
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
            _ => out.push(ch),
        }
    }
    out.push('"');
}

/// A member's key as it is spelled, unescaped; unlike [`Node::key`] it keeps NUL.
fn spelled_key(member: Node<'_>) -> String {
    let token = member.token();
    let text = member.tape().text();
    let spelled = text.get(token.key_start as usize..token.start as usize).unwrap_or_default();
    let inside = spelled.trim_end().strip_suffix(':').unwrap_or(spelled).trim_end();
    let inside = inside.strip_prefix('"').and_then(|inside| inside.strip_suffix('"'));
    unescape(inside.unwrap_or_default())
}

/// The text of a checked JSON string's inside: NUL is kept, lone surrogates are replaced.
fn unescape(spelled: &str) -> String {
    let mut out = String::with_capacity(spelled.len());
    let mut parts = spelled.split("\\u0000");
    // An escaped backslash before `u0000` makes it six ordinary characters.
    let mut pending = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let backslashes = pending.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 0 {
            crate::event::text::unescape_into(&pending, &mut out);
            out.push('\0');
            part.clone_into(&mut pending);
        } else {
            pending.push_str("\\u0000");
            pending.push_str(part);
        }
    }
    crate::event::text::unescape_into(&pending, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Duplicates, Parser};

    fn read(text: &str) -> Result<Value, OutOfRange> {
        let mut parser = Parser::with_duplicates(Duplicates::LastWins);
        Value::read(parser.parse(text.as_bytes()).unwrap().root())
    }

    #[test]
    fn reads_as_go_reads() {
        let value = read(r#"{"b":1,"a":"x\u0000y\\u0000","b":[9007199254740993,-0]}"#).unwrap();
        assert_eq!(value.to_json(), r#"{"a":"x\u0000y\\u0000","b":[9007199254740992,-0]}"#);
        for (text, place) in [
            (r#"{"traits":{"kh":1e400}}"#, "Go struct field SingularEventT.traits.kh of"),
            (r#"{"a":[0,{"b/~":1e400}]}"#, "Go struct field SingularEventT.a.1.b~1~0 of"),
            (r#"{"a":{"b":[[1e400]]}}"#, "number 1e400 into SingularEventT.a.b.0.0 of"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }

    #[test]
    fn prints_as_go_prints() {
        let printed = |text: &str| read(text).unwrap().to_text();
        assert_eq!(printed(r#"[1.5,1e21,"a",null,{"b":true}]"#), "[1.5 1e+21 a <nil> map[b:true]]");
        assert_eq!(printed("1e21"), "1000000000000000000000");
        assert_eq!(printed("0.00001"), "1e-05");
        assert_eq!(read("1e-7").unwrap().to_json(), "1e-7");
        assert_eq!(read("1e21").unwrap().to_json(), "1e+21");
    }

    /// Doubles in the middle between the two shortest decimals that are read as them: Go's `strconv`
    /// takes the one whose last digit is even.
    #[test]
    fn the_middle_of_two_decimals_goes_to_the_even_one() {
        // From 2^power on, doubles lie so far apart that one digit less than all is enough.
        let ties: [(u32, &[(f64, &str)]); 5] = [
            (50, &[(0.25, "2"), (0.75, "8")]),
            (49, &[(0.25, "2"), (0.75, "8")]),
            (47, &[(0.125, "12"), (0.375, "38"), (0.625, "62"), (0.875, "88")]),
            (46, &[(0.125, "12"), (0.375, "38"), (0.625, "62"), (0.875, "88")]),
            (44, &[(0.0625, "062"), (0.1875, "188"), (0.3125, "312"), (0.9375, "938")]),
        ];
        let json = |number: f64| Value::Number(number).to_json();
        for (power, ties) in ties {
            for step in 0_u64..400 {
                // Spread over the whole range, odd and even.
                let whole = (1_u64 << power) + step * ((1 << power) / 400) + step % 7;
                for &(fraction, digits) in ties {
                    #[expect(clippy::cast_precision_loss, reason = "below 2^53 there is none")]
                    let number = whole as f64 + fraction;
                    let plain = format!("{whole}.{digits}");
                    assert_eq!(json(number), plain);
                    assert_eq!(json(-number), format!("-{plain}"));
                    assert_eq!(plain.parse(), Ok(number), "{plain}");
                    let mut general = String::new();
                    write_general(-number, &mut general);
                    let (first, rest) = plain.split_at(1);
                    let (rest, exponent) = (rest.replace('.', ""), whole.ilog10());
                    assert_eq!(general, format!("-{first}.{rest}e+{exponent}"));
                }
            }
        }
        assert_eq!(read("870384985738097.25").unwrap().to_json(), "870384985738097.2");
        assert_eq!(read("870384985738097.25").unwrap().to_text(), "8.703849857380972e+14");
        assert_eq!(read("-123456.75").unwrap().to_text(), "-123456.75");
        assert_eq!(read("1234567.5").unwrap().to_text(), "1.2345675e+06");
    }
}
