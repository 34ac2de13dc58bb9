//! The tracking pixel: an event in a query string, answered by a picture whatever happens.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, REFERER, USER_AGENT};
use axum::http::request::Parts as Head;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::typed;
use super::body::REQUEST_BYTES;
use super::shared::{Shared, peer, source_of};
use super::{auth, query};
use crate::event::enrich::EventType;
use crate::event::time::Moment;
use crate::ingest::{Form, Pipeline, Refusal, Trouble};
use crate::limits::Permit;

/// A transparent picture of one pixel.
pub(super) const GIF: [u8; 43] = [
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 0x01, 0x00, 0x01, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x21, 0xf9, 0x04, 0x01, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x01, 0x00, 0x00, 0x02, 0x02, 0x44, 0x01, 0x00, 0x3b,
];

/// A page view.
pub(super) async fn page<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    picture(shared, request, EventType::Page).await
}

/// A track event.
pub(super) async fn track<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    picture(shared, request, EventType::Track).await
}

async fn picture<P: Pipeline>(
    shared: Arc<Shared<P>>,
    request: Request,
    kind: EventType,
) -> Response {
    let head = request.into_parts().0;
    if head.method == Method::GET {
        let credential = match auth::in_query(&head) {
            Some(_) => shared.in_query_or_header(&head, false),
            None => Err(Refusal::NoKeyInQuery),
        };
        let source = source_of(&credential);
        let moment = Moment::coarse(shared.parts.clock.now());
        let now = moment.text();
        let done = async {
            let credential = credential?;
            let asked = head.uri.query().unwrap_or_default();
            let mut permit = shared.room(&credential, &head, asked.len()).await?;
            let Some(body) = body(&head, kind, now.as_str(), &mut permit)? else { return Ok(None) };
            if body.len() > shared.parts.options.load().max_body {
                return Err(Refusal::TooLarge);
            }
            let (peer, form) = (peer(&head.extensions), Form::Single(kind));
            shared.submit(&head, peer, credential, form, body.into(), permit).await.map(Some)
        };
        if let Err(refusal) = done.await {
            // Counted, and answered with the picture all the same.
            shared.refuse(refusal, source.as_deref());
        }
    }
    let mut response = typed(HeaderValue::from_static("image/gif"), &GIF[..]);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The text of a query's event; none for a track event whose name is empty. `permit` is left with
/// what the text costs.
///
/// # Errors
/// As of [`event`].
fn body(
    head: &Head,
    kind: EventType,
    now: &str,
    permit: &mut Permit,
) -> Result<Option<String>, Refusal> {
    let mut room = Room { permit: &mut *permit, left: PLACES_MAX };
    let Some(event) = event(head, kind, now, &mut room)? else { return Ok(None) };
    let text = event.to_string();
    // The tree costs many times its text: nobody waits for the log with it.
    drop(event);
    permit.shrink_to(REQUEST_BYTES);
    let paid = permit.grow(text.len());
    paid.then_some(Some(text)).ok_or(Refusal::Unavailable(Trouble::InFlight))
}

/// Values that a query may make, the empty places of lists with them: thirty bytes of a query ask for
/// ten thousand, which cost a few megabytes until they are text.
const PLACES_MAX: usize = 10_000;
/// What such a value costs at most: an object with one name.
const PLACE_BYTES: usize = 512;

/// What a query may still make.
struct Room<'a> {
    permit: &'a mut Permit,
    left: usize,
}

impl Room<'_> {
    fn take(&mut self, places: usize) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(places).ok_or(Refusal::TooLarge)?;
        let paid = self.permit.grow(places * PLACE_BYTES);
        paid.then_some(()).ok_or(Refusal::Unavailable(Trouble::InFlight))
    }
}

/// The event that a query stands for; none for a track event whose name is empty.
///
/// # Errors
/// [`Refusal::TooLarge`] past [`PLACES_MAX`], [`Refusal::Unavailable`] where the memory for bodies
/// is used up.
fn event(
    head: &Head,
    kind: EventType,
    now: &str,
    room: &mut Room<'_>,
) -> Result<Option<Value>, Refusal> {
    let mut event = json!({
        "channel": "web",
        "integrations": {"All": true},
        "originalTimestamp": now,
        "sentAt": now,
    });
    let mut seen = HashSet::new();
    for (key, value) in query::pairs(head.uri.query().unwrap_or_default()) {
        if key == "writeKey" || seen.contains(&key) {
            continue;
        }
        let value = if key == "anonymousId" { unquoted(&value) } else { &*value };
        set(&mut event, &key, value, room)?;
        seen.insert(key);
    }
    match (kind, event.get("name"), event.get("event")) {
        (EventType::Page, Some(Value::String(name)), _) if name.is_empty() => {
            event["name"] = Value::from("Unknown Page");
        }
        (EventType::Track, _, Some(Value::String(name))) if name.is_empty() => return Ok(None),
        _ => {}
    }
    capture(&mut event, head, room)?;
    Ok(Some(event))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Puts the browser's own headers where a script would have put them.
fn capture(event: &mut Value, head: &Head, room: &mut Room<'_>) -> Result<(), Refusal> {
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    for (path, value) in
        [("context.userAgent", header(USER_AGENT)), ("context.page.referrer", header(REFERER))]
    {
        let pointer = format!("/{}", path.replace('.', "/"));
        if let Some(value) = value.filter(|_| event.pointer(&pointer).is_none()) {
            set(event, path, value, room)?;
        }
    }
    Ok(())
}

/// Longest path a parameter may name: JSON may nest 128 deep.
const SEGMENTS_MAX: usize = 100;
/// Largest index that makes an array grow: the empty places before it are written out.
const INDEX_MAX: usize = 1_000;

/// Sets `path`, segments divided by dots, `\.` for a dot within one. A number makes an array or
/// looks into one; a value on the way that is no container gives way to one. A path into an array
/// by something else than an index, or out of bounds, sets nothing.
fn set(event: &mut Value, path: &str, value: &str, room: &mut Room<'_>) -> Result<(), Refusal> {
    let Some(segments) = segments(path) else { return Ok(()) };
    if segments.iter().any(String::is_empty) {
        return Ok(());
    }
    let mut at = event;
    for segment in &segments {
        let index = segment.parse::<usize>().ok().filter(|index| *index <= INDEX_MAX);
        if !at.is_object() && !at.is_array() {
            let list = index.is_some();
            *at = if list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        at = match (at, index) {
            (Value::Array(list), Some(index)) => {
                if list.len() <= index {
                    room.take(index + 1 - list.len())?;
                    list.resize(index + 1, Value::Null);
                }
                &mut list[index]
            }
            (Value::Object(map), _) => {
                if !map.contains_key(segment) {
                    room.take(1)?;
                }
                map.entry(segment.as_str()).or_insert(Value::Null)
            }
            _ => return Ok(()),
        };
    }
    *at = Value::from(value);
    Ok(())
}

/// The segments of a path; none of one that is too long.
fn segments(path: &str) -> Option<Vec<String>> {
    let mut out = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' if out.len() == SEGMENTS_MAX => return None,
            '.' => out.push(String::new()),
            _ => {
                let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                if let Some(last) = out.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::limits::Budget;

    const NOW: &str = "2026-01-02T03:04:05.678Z";

    fn of(query: &str, kind: EventType, headers: &[(&str, &str)]) -> Option<Value> {
        let mut request = Request::builder().uri(format!("/pixel/v1/page?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let mut permit = Budget::new(16 << 20).take(REQUEST_BYTES).unwrap();
        event(&head, kind, NOW, &mut Room { permit: &mut permit, left: PLACES_MAX }).unwrap()
    }

    /// The text of a query's event within a budget, and what of that is taken then.
    fn paid(query: &str, budget: usize) -> (Result<usize, Refusal>, usize) {
        let request = Request::builder().uri(format!("/pixel/v1/page?{query}")).body(()).unwrap();
        let budget = Budget::new(budget);
        let mut permit = budget.take(REQUEST_BYTES).unwrap();
        let done = body(&request.into_parts().0, EventType::Page, NOW, &mut permit);
        (done.map(|text| text.unwrap().len()), permit.held())
    }

    #[test]
    fn a_query_makes_so_many_values_and_no_more() {
        let lists = |lists: usize, end: usize| {
            let lists: Vec<String> = (0..lists).map(|n| format!("a{n}.{end}=x")).collect();
            lists.join("&")
        };
        let (done, held) = paid(&lists(9, 999), 16 << 20);
        assert_eq!(held, REQUEST_BYTES + done.unwrap());
        assert_eq!(paid(&lists(10, 999), 16 << 20).0, Err(Refusal::TooLarge));
        let deep = ".999".repeat(99);
        let deep: Vec<String> = (0..160).map(|n| format!("{n:x}{deep}=x")).collect();
        assert_eq!(paid(&deep.join("&"), 16 << 20).0, Err(Refusal::TooLarge));
        let names: Vec<String> = (0..PLACES_MAX).map(|n| format!("{n:x}=")).collect();
        assert!(paid(&names.join("&"), 16 << 20).0.is_ok());
        assert_eq!(paid(&format!("{}&x=", names.join("&")), 16 << 20).0, Err(Refusal::TooLarge));
        // They are paid for before they are made.
        let (done, held) = paid(&lists(9, 999), 1 << 20);
        assert_eq!(done, Err(Refusal::Unavailable(Trouble::InFlight)));
        assert!(held <= 1 << 20);
    }

    #[test]
    fn a_path_has_a_limit_of_levels() {
        let path = |levels: usize| format!("a{}=x", ".b".repeat(levels - 1));
        assert!(of(&path(SEGMENTS_MAX), EventType::Page, &[]).unwrap().get("a").is_some());
        assert_eq!(of(&path(SEGMENTS_MAX + 1), EventType::Page, &[]).unwrap().get("a"), None);
    }

    #[test]
    fn parameters_are_set_as_paths() {
        let query = "writeKey=k&anonymousId=%22a%22&context.page.url=x&context.page.url=y&a.0=p&a.2=q\
                     &b%5C.c=1&a.x=lost&channel.x=2&n.5000=big&.=no&properties.n=7";
        let expected = json!({
            "channel": {"x": "2"},
            "integrations": {"All": true},
            "originalTimestamp": NOW,
            "sentAt": NOW,
            "anonymousId": "a",
            "context": {"page": {"url": "x"}},
            "a": ["p", null, "q"],
            "b.c": "1",
            "n": {"5000": "big"},
            "properties": {"n": "7"},
        });
        assert_eq!(of(query, EventType::Page, &[]), Some(expected));
    }

    #[test]
    fn names_that_are_empty() {
        assert_eq!(of("name=", EventType::Page, &[]).unwrap()["name"], "Unknown Page");
        assert_eq!(of("", EventType::Page, &[]).unwrap().get("name"), None);
        assert_eq!(of("event=&anonymousId=a", EventType::Track, &[]), None);
        assert_eq!(of("event=e", EventType::Track, &[]).unwrap()["event"], "e");
        assert_eq!(of("anonymousId=%22", EventType::Page, &[]).unwrap()["anonymousId"], "\"");
    }

    #[test]
    fn the_browsers_headers_fill_gaps() {
        let headers = [("user-agent", "UA"), ("referer", "https://a.example/")];
        let event = of("", EventType::Page, &headers).unwrap();
        assert_eq!(event["context"]["userAgent"], "UA");
        assert_eq!(event["context"]["page"]["referrer"], "https://a.example/");
        let event = of("context.userAgent=own", EventType::Page, &headers).unwrap();
        assert_eq!(event["context"]["userAgent"], "own");
    }
}
