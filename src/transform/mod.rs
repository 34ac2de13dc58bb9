//! Transformations: rule packs that take personal data out of events before anything is written.
//!
//! A pack is read (`written`), compiled (`pack`, with `select` and `keyname` for the patterns) and
//! applied to an event on its tape (`apply`, `clean`, `rename`), with what is to change noted as
//! edits. `detect` finds personal data in texts. Pure: files, keys and lists come as text or bytes
//! from the callers, `crate::ingest` and `keelrow transform`.
//!
//! ```
//! use keelrow::event::{Edits, Parser};
//! use keelrow::transform::{Pack, Pseudonyms, Scratch, Verdict};
//!
//! let pack = Pack::builtin("pii").unwrap();
//! let pseudonyms = Pseudonyms::new(b"a key of 32 bytes or more, secret", 1).unwrap();
//! let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
//!
//! let tape = parser.parse(br#"{"userId":"anna@example.com","traits":{"phone":"0171 234"}}"#).unwrap();
//! edits.begin(tape.root());
//! let verdict = pack.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms);
//! assert_eq!(verdict, Verdict::Keep);
//!
//! let mut out = Vec::new();
//! edits.write(tape.root(), &mut out);
//! let out = String::from_utf8(out).unwrap();
//! assert!(out.starts_with(r#"{"userId":"h1_"#) && out.contains(r#""phone":"[phone]""#));
//! ```

mod apply;
mod clean;
mod consent;
pub mod detect;
mod keyname;
mod pack;
mod pseudonym;
mod rename;
mod scratch;
mod select;
mod shape;
mod suppress;
mod written;

#[cfg(test)]
mod tests;

pub use apply::Verdict;
pub use pack::Pack;
pub use pseudonym::{KeyTooShort, Pseudonyms};
pub use scratch::Scratch;
pub use shape::shape;
pub use suppress::Suppression;
pub use written::{Fault, Why};
