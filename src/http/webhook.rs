//! Webhooks: JSON, a form, or a multipart form becomes one track event.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts as Head;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::answer::ok;
use super::body::REQUEST_BYTES;
use super::query;
use super::shared::{Shared, peer, source_of};
use crate::event;
use crate::event::enrich::EventType;
use crate::ingest::{
    Accepted, Credential, Form, INLINE_BYTES_MAX, Pipeline, Refusal, Trouble, aside,
};
use crate::limits::Permit;

/// Fields of a form at most; a tree of millions would cost fifty times the bytes of the form.
const FIELDS_MAX: usize = 10_000;
/// The name of the event.
const EVENT: &str = "webhook_source_event";

/// Takes a payload in the body.
pub(super) async fn post<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let credential = shared.in_query_or_header(&head, true);
    let source = source_of(&credential);
    let done = async {
        let (credential, body, permit) =
            shared.read(&head, peer(&head.extensions), body, credential).await?;
        let (start, most) = (start(&shared), shared.parts.options.load().max_event);
        let (event, permit) = converted(body, permit, start, most).await?;
        hand_in(&shared, &head, credential, event, permit).await
    };
    shared.conclude(done.await, source.as_deref())
}

/// Takes a payload in the query; a HEAD is told whether its key would be let in, and takes nothing.
pub(super) async fn get<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let head = request.into_parts().0;
    let credential = shared.in_query_or_header(&head, true);
    if head.method == Method::HEAD {
        return credential.map_or_else(|refusal| shared.refuse(refusal, None), |_| ok());
    }
    let source = source_of(&credential);
    let done = async {
        let (credential, asked) = (credential?, head.uri.query().unwrap_or_default());
        let permit = shared.room(&credential, &head, asked.len()).await?;
        let most = shared.parts.options.load().max_event;
        let payload = fields(query::pairs(asked).filter(|(key, _)| key != "writeKey"), most)?;
        hand_in(&shared, &head, credential, whole(&start(&shared), &payload), permit).await
    };
    shared.conclude(done.await, source.as_deref())
}

/// The event of a body; of a large one beside the thread that serves, where others would wait.
async fn converted(
    body: Bytes,
    permit: Permit,
    start: String,
    most: usize,
) -> Result<(Vec<u8>, Permit), Refusal> {
    let is_large = body.len() > INLINE_BYTES_MAX;
    // With its permit: a client that goes leaves the body to whoever has it in work.
    let convert = move || Ok((whole(&start, &payload(&body, most)?), permit));
    if is_large {
        return aside(convert).await?;
    }
    convert()
}

/// A hook's event up to its payload.
fn start<P: Pipeline>(shared: &Shared<P>) -> String {
    // A hook has no user: each delivery stands for itself.
    let id = shared.parts.ids.uuid();
    format!(
        r#"{{"type":"track","event":"{EVENT}","anonymousId":"{id}","context":{{"library":{{"name":"webhook"}}}},"properties":"#
    )
}

fn whole(start: &str, payload: &[u8]) -> Vec<u8> {
    [start.as_bytes(), payload, b"}"].concat()
}

async fn hand_in<P: Pipeline>(
    shared: &Shared<P>,
    head: &Head,
    credential: Credential,
    event: Vec<u8>,
    mut permit: Permit,
) -> Result<Accepted, Refusal> {
    permit.shrink_to(REQUEST_BYTES);
    if !permit.grow(event.len()) {
        return Err(Refusal::Unavailable(Trouble::InFlight));
    }
    let (peer, form) = (peer(&head.extensions), Form::Single(EventType::Track));
    shared.submit(head, peer, credential, form, event.into(), permit).await
}

/// The payload as the text of a JSON object of at most `most` bytes, whatever the content type says.
///
/// # Errors
/// [`Refusal::InvalidJson`] for what is neither JSON nor a form, [`Refusal::TooLarge`] for one that is
/// longer and for a form of too many fields.
fn payload(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let start = body.trim_ascii_start();
    match start.first() {
        Some(b'-') if start.starts_with(b"--") => multipart(start, most),
        Some(b'{' | b'[' | b'"') | None => json(body, most),
        Some(_) => match json(body, most) {
            Err(Refusal::InvalidJson) => form(start, most).unwrap_or(Err(Refusal::InvalidJson)),
            done => done,
        },
    }
}

/// A form whose first name is one: `name=`, without white space.
fn form(body: &[u8], most: usize) -> Option<Result<Vec<u8>, Refusal>> {
    let text = std::str::from_utf8(body).ok()?.trim_ascii_end();
    let (name, _) = text.split_once('=')?;
    (!name.is_empty() && !name.contains(char::is_whitespace))
        .then(|| fields(query::pairs(text), most))
}

/// JSON as it is spelled; what is no object becomes the field `payload` of one.
fn json(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let mut parser = event::Parser::new();
    let tape = parser.parse(body).map_err(|_| Refusal::InvalidJson)?;
    let raw = tape.root().raw().as_bytes();
    if raw.len() > most {
        return Err(Refusal::TooLarge);
    }
    Ok(match tape.root().kind() {
        event::Kind::Object => raw.to_vec(),
        _ => [b"{\"payload\":", raw, b"}"].concat(),
    })
}

/// Fields as an object: a text, or a list of texts where a name comes more than once.
#[derive(Debug)]
struct Fields {
    map: Map<String, Value>,
    count: usize,
    /// Bytes of JSON that may still come.
    left: usize,
}

impl Fields {
    fn new(most: usize) -> Self {
        Self { map: Map::new(), count: 0, left: most }
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        self.count += 1;
        let left = self.left.checked_sub(escaped_len(key) + escaped_len(value));
        self.left = left.filter(|_| self.count <= FIELDS_MAX).ok_or(Refusal::TooLarge)?;
        let value = Value::from(value);
        match self.map.get_mut(key) {
            None => drop(self.map.insert(key.to_owned(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
        Ok(())
    }

    fn into_json(self) -> Vec<u8> {
        Value::Object(self.map).to_string().into_bytes()
    }
}

/// Bytes of a text within quotes as JSON: a control character may take six.
fn escaped_len(text: &str) -> usize {
    let len = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(len).sum()
}

fn fields<'a>(
    mut pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::new(most);
    pairs.try_for_each(|(key, value)| fields.add(&key, &value))?;
    Ok(fields.into_json())
}

/// The text fields of a multipart form. The boundary is the body's own first line. Of a file only
/// name and size are kept.
fn multipart(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::new(most);
    let first = memchr::memchr(b'\n', body).ok_or(Refusal::InvalidJson)?;
    let (boundary, mut rest) = body.split_at(first);
    let end = [b"\r\n", boundary.trim_ascii_end()].concat();
    let finder = memchr::memmem::Finder::new(&end);
    while let Some((part, next)) = next_part(rest, &finder) {
        if let Some((name, value)) = field(part) {
            fields.add(&name, &value)?;
        }
        if next.starts_with(b"--") {
            return Ok(fields.into_json());
        }
        rest = next;
    }
    Err(Refusal::InvalidJson)
}

/// The part that begins on the next line, and what follows its boundary.
fn next_part<'a>(rest: &'a [u8], end: &memchr::memmem::Finder<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let rest = rest.get(memchr::memchr(b'\n', rest)? + 1..)?;
    let at = end.find(rest)?;
    Some((rest.get(..at)?, rest.get(at + end.needle().len()..)?))
}

/// Name and text of a part; none for a part without a name.
fn field(part: &[u8]) -> Option<(String, String)> {
    let split = memchr::memmem::find(part, b"\r\n\r\n");
    let (head, body) = match split {
        Some(at) => (part.get(..at)?, part.get(at + 4..)?),
        None => (part, &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find(|line| {
        line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("content-disposition"))
    })?;
    let name = parameter(line, "name")?;
    let value = match parameter(line, "filename") {
        Some(file) => format!("{file} ({} bytes)", body.len()),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    Some((name, value))
}

/// A parameter of a Content-Disposition line, with or without quotes.
fn parameter(line: &str, name: &str) -> Option<String> {
    let parameters = line.split(';').skip(1).filter_map(|pair| pair.split_once('='));
    let (_, value) =
        parameters.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}
