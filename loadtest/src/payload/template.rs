//! Payload templates: JSON whose strings may hold `{{...}}` holes, compiled once into literal
//! bytes and holes, so that an event costs a few copies and no tree. Knows nothing of HTTP.
//!
//! Holes: `message` (a fresh id), `user`, `device`, `id26`, `hex N`, `now`, `millis`, `session`,
//! `ip`, `bool`, `int LOW HIGH`, `float LOW HIGH DIGITS`, `pick a|b`, `pick# 1|2` (unquoted).
//! A number or a boolean that is a string's whole text is written without quotes.

use anyhow::{Context, bail};
use serde_json::Value;

use crate::clock;
use crate::rng::Rng;

/// A compiled piece of JSON text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Vec<u8>),
    Hole(Hole),
    /// Where the message id begins and ends, so that the ledger can keep its text.
    MessageMark,
}

#[derive(Clone, Debug)]
enum Hole {
    Message,
    User,
    Device,
    Id26,
    Hex(usize),
    Now,
    Millis,
    Session,
    Ip,
    Bool,
    Int(i64, i64),
    Float(f64, f64, usize),
    Pick(Vec<Vec<u8>>),
}

/// What the holes of one event are filled from.
#[derive(Debug)]
pub(crate) struct Fill<'a> {
    /// The sender's randomness.
    pub(crate) rng: &'a mut Rng,
    /// The event's time, milliseconds since 1970.
    pub(crate) now_millis: i64,
    /// The user, whose ids stay the same from event to event.
    pub(crate) user: u64,
    /// Where the text of the message id goes, each followed by a line feed.
    pub(crate) ids: &'a mut Vec<u8>,
}

const LOWER_BASE32: &[u8] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Template {
    /// Compiles the members of a JSON object, without its braces, so that templates can be joined.
    ///
    /// # Errors
    /// When a hole is unknown or misspelled.
    pub(crate) fn members(object: &serde_json::Map<String, Value>) -> anyhow::Result<Self> {
        let mut template = Self::default();
        for (number, (key, value)) in object.iter().enumerate() {
            template.member(number, key, value)?;
        }
        Ok(template)
    }

    fn member(&mut self, number: usize, key: &str, value: &Value) -> anyhow::Result<()> {
        if number > 0 {
            self.literal(b",");
        }
        self.literal(serde_json::to_string(key)?.as_bytes());
        self.literal(b":");
        if key == "messageId" {
            self.pieces.push(Piece::MessageMark);
            self.value(value)?;
            self.pieces.push(Piece::MessageMark);
            return Ok(());
        }
        self.value(value)
    }

    fn value(&mut self, value: &Value) -> anyhow::Result<()> {
        match value {
            Value::Object(object) => {
                self.literal(b"{");
                for (number, (key, value)) in object.iter().enumerate() {
                    self.member(number, key, value)?;
                }
                self.literal(b"}");
            }
            Value::Array(items) => {
                self.literal(b"[");
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.literal(b",");
                    }
                    self.value(item)?;
                }
                self.literal(b"]");
            }
            Value::String(text) => self.text(text)?,
            scalar => self.literal(serde_json::to_string(scalar)?.as_bytes()),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        if let Some(inner) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"))
            && !inner.contains("}}")
        {
            let (hole, bare) = Hole::parse(inner)?;
            self.quoted(bare, |template| {
                template.pieces.push(Piece::Hole(hole));
                Ok(())
            })?;
            return Ok(());
        }
        self.quoted(false, |template| {
            let mut rest = text;
            while let Some((before, after)) = rest.split_once("{{") {
                template.escaped(before)?;
                let (inner, after) = after.split_once("}}").context("a hole does not end")?;
                template.pieces.push(Piece::Hole(Hole::parse(inner)?.0));
                rest = after;
            }
            template.escaped(rest)
        })
    }

    fn quoted(
        &mut self,
        bare: bool,
        inner: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if bare {
            return inner(self);
        }
        self.literal(b"\"");
        inner(self)?;
        self.literal(b"\"");
        Ok(())
    }

    fn escaped(&mut self, text: &str) -> anyhow::Result<()> {
        let quoted = serde_json::to_string(text)?;
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        self.literal(inner.unwrap_or_default().as_bytes());
        Ok(())
    }

    fn literal(&mut self, bytes: &[u8]) {
        if let Some(Piece::Literal(last)) = self.pieces.last_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.pieces.push(Piece::Literal(bytes.to_vec()));
        }
    }

    /// Appends the JSON text with its holes filled.
    pub(crate) fn render(&self, out: &mut Vec<u8>, fill: &mut Fill<'_>) {
        let mut id_from = None;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Hole(hole) => hole.render(out, fill),
                Piece::MessageMark => match id_from.take() {
                    None => id_from = Some(out.len()),
                    Some(from) => {
                        let quoted = out.get(from..).unwrap_or_default();
                        let bare = quoted.get(1..quoted.len().saturating_sub(1));
                        fill.ids.extend_from_slice(bare.unwrap_or_default());
                        fill.ids.push(b'\n');
                    }
                },
            }
        }
    }
}

impl Hole {
    /// Reads what stands between the braces; the flag says that it is written without quotes.
    fn parse(text: &str) -> anyhow::Result<(Self, bool)> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = rest.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let hole = match name {
            "message" => Self::Message,
            "user" => Self::User,
            "device" => Self::Device,
            "id26" => Self::Id26,
            "hex" => Self::Hex(word().parse().context("hex needs a length")?),
            "now" => Self::Now,
            "millis" => Self::Millis,
            "ip" => Self::Ip,
            "session" => return Ok((Self::Session, true)),
            "bool" => return Ok((Self::Bool, true)),
            "int" => return Ok((Self::Int(word().parse()?, word().parse()?), true)),
            "float" => {
                let hole = Self::Float(word().parse()?, word().parse()?, word().parse()?);
                return Ok((hole, true));
            }
            "pick" | "pick#" => {
                let items = rest.split('|').map(|item| item.as_bytes().to_vec()).collect();
                return Ok((Self::Pick(items), name == "pick#"));
            }
            _ => bail!("no hole is called {name}"),
        };
        Ok((hole, false))
    }

    fn render(&self, out: &mut Vec<u8>, fill: &mut Fill<'_>) {
        match self {
            Self::Message => uuid(out, fill.rng.next(), fill.rng.next()),
            Self::Device => uuid(out, fill.user.rotate_left(17), !fill.user),
            Self::User => base32(out, fill.user, fill.user.rotate_left(29), 26),
            Self::Id26 => base32(out, fill.rng.next(), fill.rng.next(), 26),
            Self::Hex(len) => {
                for _ in 0..*len {
                    out.extend(fill.rng.pick(HEX));
                }
            }
            Self::Now => clock::write_iso(out, fill.now_millis),
            Self::Millis => number(out, fill.now_millis),
            Self::Session => {
                let age = i64::try_from(fill.user % 65_536).unwrap_or(0) * 1_000;
                number(out, fill.now_millis - age);
            }
            Self::Ip => {
                // 198.18.0.0/15 is set aside for benchmarks (RFC 2544): nobody's address.
                let text = format!("198.18.{}.{}", fill.rng.below(256), fill.rng.below(256));
                out.extend_from_slice(text.as_bytes());
            }
            Self::Bool => {
                let text: &[u8] = if fill.rng.chance(0.5) { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            Self::Int(low, high) => number(out, fill.rng.between(*low, *high)),
            Self::Float(low, high, digits) => {
                let value = low + (high - low) * fill.rng.unit();
                out.extend_from_slice(format!("{value:.digits$}").as_bytes());
            }
            Self::Pick(items) => {
                if let Some(item) = fill.rng.pick(items) {
                    out.extend_from_slice(item);
                }
            }
        }
    }
}

/// Appends 128 bits as a version 4 UUID.
fn uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    let bits = (u128::from(high) << 64) | u128::from(low);
    let bits = bits & !(0xF000 << 64) | (0x4000 << 64);
    let bits = bits & !(0xC000 << 48) | (0x8000 << 48);
    for place in (0..32_u32).rev() {
        if matches!(place, 23 | 19 | 15 | 11) {
            out.push(b'-');
        }
        let digit = usize::try_from((bits >> (place * 4)) & 15).unwrap_or(0);
        out.extend(HEX.get(digit));
    }
}

/// Appends `len` letters of a 26-letter id such as chat servers give.
fn base32(out: &mut Vec<u8>, high: u64, low: u64, len: u32) {
    let mut bits = (u128::from(high) << 64) | u128::from(low);
    for _ in 0..len {
        let digit = usize::try_from(bits & 31).unwrap_or(0);
        out.extend(LOWER_BASE32.get(digit));
        bits >>= 5;
    }
}

fn number(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(json: &str, seed: u64) -> (String, String) {
        let Value::Object(object) = serde_json::from_str(json).unwrap() else { panic!("object") };
        let template = Template::members(&object).unwrap();
        let (mut out, mut ids) = (b"{".to_vec(), Vec::new());
        let mut rng = Rng::new(seed);
        let mut fill =
            Fill { rng: &mut rng, now_millis: 1_782_000_000_999, user: 77, ids: &mut ids };
        template.render(&mut out, &mut fill);
        out.push(b'}');
        (String::from_utf8(out).unwrap(), String::from_utf8(ids).unwrap())
    }

    #[test]
    fn holes_are_filled_and_the_rest_is_kept() {
        let source = r#"{"messageId":"{{millis}}-{{message}}","n":"{{int 5 5}}","t":"a \" {{pick x}}",
            "at":"{{now}}","p":"{{pick# 2.5}}","f":"{{float 1 1 3}}","z":[1.10,null,{}],"k\n":"{}"}"#;
        let (text, ids) = render(source, 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["n"].to_string(), "5");
        assert_eq!(value["t"], "a \" x");
        assert_eq!(value["at"], "2026-06-21T00:00:00.999Z");
        assert_eq!(value["p"].to_string(), "2.5");
        assert_eq!(value["f"].to_string(), "1.000");
        assert_eq!(value["z"].to_string(), "[1.10,null,{}]");
        assert_eq!(value["k\n"], "{}");
        assert_eq!(ids, format!("{}\n", value["messageId"].as_str().unwrap()));
        assert!(ids.starts_with("1782000000999-"));
    }

    #[test]
    fn a_seed_is_a_payload_and_message_ids_never_repeat() {
        let source =
            r#"{"messageId":"{{message}}","u":"{{user}}","d":"{{device}}","x":"{{id26}}"}"#;
        assert_eq!(render(source, 3), render(source, 3));
        assert_ne!(render(source, 3).1, render(source, 4).1);
        let id = render(source, 3).1;
        assert_eq!(id.trim().len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn a_wrong_hole_is_refused() {
        for source in ["{{nothing}}", "{{int a b}}", "{{hex}}", "x {{user"] {
            let value = serde_json::json!({ "k": source });
            assert!(Template::members(value.as_object().unwrap()).is_err(), "{source}");
        }
    }
}
