//! What one journal frame carries: an event with its route and hashes, or a tally.
//!
//! The wire contract is `proto/keelrow/v1/record.proto`. [`Record`] is the whole message, for tools
//! and tests; the two pipelines use [`write_event`] and [`View`], which neither allocate nor copy
//! the payload twice.

use std::sync::Arc;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// The message of one frame.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// An event or a tally.
    #[prost(oneof = "Body", tags = "1, 2")]
    pub body: Option<Body>,
}

/// What a record is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// An event, accepted or rejected.
    #[prost(message, tag = "1")]
    Event(Event),
    /// Events that left no row.
    #[prost(message, tag = "2")]
    Tally(Tally),
}

/// Where an event belongs.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Route {
    /// The source's id, unique in the configuration.
    #[prost(string, tag = "1")]
    pub source_id: String,
    /// The source's name, shared by its environments.
    #[prost(string, tag = "2")]
    pub source_name: String,
    /// The environment, such as `prod`.
    #[prost(string, tag = "3")]
    pub environment: String,
    /// web, desktop, mobile, server, or empty.
    #[prost(string, tag = "4")]
    pub platform: String,
    /// The warehouse schema.
    #[prost(string, tag = "5")]
    pub schema: String,
}

/// An event as journaled.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Event {
    /// Where it belongs.
    #[prost(message, optional, tag = "1")]
    pub route: Option<Route>,
    /// JSON text after the transformations.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
    /// Hash of source, messageId and part; 0 for a minted id.
    #[prost(fixed64, tag = "3")]
    pub key_hash: u64,
    /// Hash of type, event name and original time.
    #[prost(fixed64, tag = "4")]
    pub content_hash: u64,
    /// Number of a split part, 0 for the first.
    #[prost(uint32, tag = "5")]
    pub part: u32,
    /// Arrival in microseconds since 1970.
    #[prost(sfixed64, tag = "6")]
    pub received_at: i64,
    /// Why it goes to the table `rejected`.
    #[prost(message, optional, tag = "7")]
    pub rejection: Option<Rejection>,
}

impl std::fmt::Debug for Event {
    /// Shows sizes, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("payload_bytes", &self.payload.len())
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// Why an event goes to the table `rejected`, and its ids.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct Rejection {
    /// A stable label.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// For a person; no content of the event.
    #[prost(string, tag = "2")]
    pub detail: String,
    /// The messageId.
    #[prost(string, tag = "3")]
    pub message_id: String,
    /// The type as sent.
    #[prost(string, tag = "4")]
    pub r#type: String,
    /// The event's name.
    #[prost(string, tag = "5")]
    pub event: String,
    /// The user id, hashed where nothing else may be kept.
    #[prost(string, tag = "6")]
    pub user_id: String,
    /// The anonymous id, likewise.
    #[prost(string, tag = "7")]
    pub anonymous_id: String,
}

impl std::fmt::Debug for Rejection {
    /// Shows the reason, never ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rejection").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Events of one request that left no row.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Tally {
    /// Where they would have belonged.
    #[prost(message, optional, tag = "1")]
    pub route: Option<Route>,
    /// How many a transformation dropped.
    #[prost(uint32, tag = "2")]
    pub dropped: u32,
    /// How many the suppression list dropped.
    #[prost(uint32, tag = "3")]
    pub suppressed: u32,
    /// Which transformation or list.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Arrival in microseconds since 1970.
    #[prost(sfixed64, tag = "5")]
    pub received_at: i64,
}

/// What a journal frame's header says of its record, so that a damaged one is booked right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// An event that was received, accepted or rejected.
    Event = 1,
    /// A further part that a transformation split off; not counted as received.
    Part = 2,
    /// A tally of events that were received and left no row.
    Tally = 3,
}

impl FrameKind {
    /// The kind that `byte` stands for.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Event),
            2 => Some(Self::Part),
            3 => Some(Self::Tally),
            _ => None,
        }
    }
}

/// A route with its encoding, made once per source.
#[derive(Clone, Debug)]
pub struct EncodedRoute {
    /// The route.
    pub route: Arc<Route>,
    bytes: Vec<u8>,
}

impl EncodedRoute {
    /// Encodes `route`.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self { bytes: route.encode_to_vec(), route: Arc::new(route) }
    }
}

/// The fields of an event beside route and payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp<'a> {
    /// As [`Event::key_hash`].
    pub key_hash: u64,
    /// As [`Event::content_hash`].
    pub content_hash: u64,
    /// As [`Event::part`].
    pub part: u32,
    /// As [`Event::received_at`].
    pub received_at: i64,
    /// As [`Event::rejection`].
    pub rejection: Option<&'a Rejection>,
}

/// Appends the [`Record`] of an event to `out`, just as `prost` would encode it.
pub fn write_event(route: &EncodedRoute, payload: &[u8], stamp: Stamp<'_>, out: &mut Vec<u8>) {
    let mut tail = [0_u8; 48];
    let tail_len = {
        let mut rest = &mut tail[..];
        let start = rest.len();
        for (tag, value) in [(3, stamp.key_hash), (4, stamp.content_hash)] {
            if value != 0 {
                encode_key(tag, WireType::SixtyFourBit, &mut rest);
                bytes::BufMut::put_u64_le(&mut rest, value);
            }
        }
        if stamp.part != 0 {
            encode_key(5, WireType::Varint, &mut rest);
            encode_varint(u64::from(stamp.part), &mut rest);
        }
        if stamp.received_at != 0 {
            encode_key(6, WireType::SixtyFourBit, &mut rest);
            bytes::BufMut::put_i64_le(&mut rest, stamp.received_at);
        }
        start - rest.len()
    };
    let rejection = stamp.rejection.map(Message::encode_to_vec);
    let body = delimited_len(route.bytes.len())
        + if payload.is_empty() { 0 } else { delimited_len(payload.len()) }
        + tail_len
        + rejection.as_ref().map_or(0, |bytes| delimited_len(bytes.len()));
    encode_key(1, WireType::LengthDelimited, out);
    encode_varint(body as u64, out);
    write_delimited(1, &route.bytes, out);
    if !payload.is_empty() {
        write_delimited(2, payload, out);
    }
    out.extend_from_slice(&tail[..tail_len]);
    if let Some(bytes) = rejection {
        write_delimited(7, &bytes, out);
    }
}

/// Appends the [`Record`] of a tally to `out`.
pub fn write_tally(tally: Tally, out: &mut Vec<u8>) {
    out.extend_from_slice(&Record { body: Some(Body::Tally(tally)) }.encode_to_vec());
}

/// All tags here are below 16, so a key is one byte.
fn delimited_len(len: usize) -> usize {
    1 + prost::length_delimiter_len(len) + len
}

fn write_delimited(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A record read in place.
#[derive(Debug)]
pub enum View<'a> {
    /// An event.
    Event(EventView<'a>),
    /// A tally.
    Tally(Tally),
}

/// An event read in place: the payload and the route's encoding stay in the frame.
#[derive(Clone)]
pub struct EventView<'a> {
    /// The encoded [`Route`]: equal bytes are equal routes, so a reader decodes each once.
    pub route: &'a [u8],
    /// As [`Event::payload`].
    pub payload: &'a [u8],
    /// As [`Event::key_hash`].
    pub key_hash: u64,
    /// As [`Event::content_hash`].
    pub content_hash: u64,
    /// As [`Event::part`].
    pub part: u32,
    /// As [`Event::received_at`].
    pub received_at: i64,
    /// As [`Event::rejection`].
    pub rejection: Option<Rejection>,
}

impl std::fmt::Debug for EventView<'_> {
    /// Shows sizes, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventView")
            .field("payload_bytes", &self.payload.len())
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// The frame's payload is not a record of a kind this build knows.
#[derive(Debug, thiserror::Error)]
#[error("journal record of {bytes} bytes cannot be decoded")]
pub struct DecodeError {
    /// Length of the record.
    pub bytes: usize,
}

/// Reads a record in place.
///
/// # Errors
/// [`DecodeError`] for bytes that are no record; the frame's checksum was right, so another version
/// wrote it.
pub fn read(bytes: &[u8]) -> Result<View<'_>, DecodeError> {
    view(bytes).ok_or(DecodeError { bytes: bytes.len() })
}

fn view(bytes: &[u8]) -> Option<View<'_>> {
    let mut rest = bytes;
    let (tag, field) = next_field(&mut rest)?;
    match (tag, field) {
        (1, Field::Bytes(event)) => event_view(event).map(View::Event),
        (2, Field::Bytes(tally)) => Tally::decode(tally).ok().map(View::Tally),
        _ => None,
    }
}

fn event_view(mut rest: &[u8]) -> Option<EventView<'_>> {
    let mut event = EventView {
        route: &[],
        payload: &[],
        key_hash: 0,
        content_hash: 0,
        part: 0,
        received_at: 0,
        rejection: None,
    };
    while !rest.is_empty() {
        match next_field(&mut rest)? {
            (1, Field::Bytes(bytes)) => event.route = bytes,
            (2, Field::Bytes(bytes)) => event.payload = bytes,
            (3, Field::Fixed(value)) => event.key_hash = value,
            (4, Field::Fixed(value)) => event.content_hash = value,
            (5, Field::Varint(value)) => event.part = u32::try_from(value).ok()?,
            (6, Field::Fixed(value)) => event.received_at = value.cast_signed(),
            (7, Field::Bytes(bytes)) => event.rejection = Some(Rejection::decode(bytes).ok()?),
            // A later version's field.
            _ => {}
        }
    }
    Some(event)
}

enum Field<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Field<'a>)> {
    let (tag, wire) = decode_key(rest).ok()?;
    let field = match wire {
        WireType::Varint => Field::Varint(decode_varint(rest).ok()?),
        WireType::SixtyFourBit => {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            *rest = tail;
            Field::Fixed(u64::from_le_bytes(*head))
        }
        WireType::LengthDelimited => {
            let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
            let (head, tail) = rest.split_at_checked(len)?;
            *rest = tail;
            Field::Bytes(head)
        }
        _ => return None,
    };
    Some((tag, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            source_id: "webapp_prod".into(),
            source_name: "webapp".into(),
            environment: "prod".into(),
            platform: "web".into(),
            schema: "mm_telemetry_prod".into(),
        }
    }

    #[test]
    fn hand_written_bytes_are_what_prost_writes_and_read_back() {
        let rejection = Rejection { reason: "no_ids".into(), ..Rejection::default() };
        for (payload, part, rejection) in [
            (&b"{\"a\":1}"[..], 0, None),
            (&b""[..], 3, Some(rejection)),
            (&[b'x'; 70_000][..], 300, None),
        ] {
            let stamp = Stamp {
                key_hash: 7,
                content_hash: u64::MAX,
                part,
                received_at: -5,
                rejection: rejection.as_ref(),
            };
            let mut out = Vec::new();
            write_event(&EncodedRoute::new(route()), payload, stamp, &mut out);
            let message = Record {
                body: Some(Body::Event(Event {
                    route: Some(route()),
                    payload: payload.to_vec(),
                    key_hash: 7,
                    content_hash: u64::MAX,
                    part,
                    received_at: -5,
                    rejection: rejection.clone(),
                })),
            };
            assert_eq!(out, message.encode_to_vec());
            let View::Event(view) = read(&out).unwrap() else { unreachable!() };
            assert_eq!(Route::decode(view.route).unwrap(), route());
            assert_eq!((view.payload, view.part, view.received_at), (payload, part, -5));
            assert_eq!(view.rejection, rejection);
        }
    }

    #[test]
    fn the_proto_file_says_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let set = protox::compile(["keelrow/v1/record.proto"], [path]).unwrap();
        let mut fields = Vec::new();
        for message in &set.file[0].message_type {
            for field in &message.field {
                fields.push(format!("{}.{}={}", message.name(), field.name(), field.number()));
            }
        }
        let ours = "Record.event=1 Record.tally=2 Route.source_id=1 Route.source_name=2 \
            Route.environment=3 Route.platform=4 Route.schema=5 Event.route=1 Event.payload=2 \
            Event.key_hash=3 Event.content_hash=4 Event.part=5 Event.received_at=6 \
            Event.rejection=7 Rejection.reason=1 Rejection.detail=2 Rejection.message_id=3 \
            Rejection.type=4 Rejection.event=5 Rejection.user_id=6 Rejection.anonymous_id=7 \
            Tally.route=1 Tally.dropped=2 Tally.suppressed=3 Tally.reason=4 Tally.received_at=5";
        assert_eq!(fields.join(" "), ours);
    }

    #[test]
    fn debug_shows_no_content() {
        let event = Event { payload: b"kim@example.org".to_vec(), ..Event::default() };
        assert!(!format!("{event:?}").contains("107, 105"), "{event:?}");
    }

    #[test]
    fn wrong_bytes_are_an_error() {
        for bytes in [&b""[..], b"\x0a\xff", b"garbage", b"\x0a\x02\x12\x09"] {
            assert!(read(bytes).is_err());
        }
    }
}
