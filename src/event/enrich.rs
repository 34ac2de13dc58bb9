//! What the gateway adds to an event: ids, times, the client's address, what its batch said.
//!
//! contract: docs/api.md, "What happens to each event". All of it is noted as edits; only a batch
//! that carries a context of its own, or a time that needs a context to be remarked in, makes the
//! event be written out and read again first.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::edit::Edits;
use super::id;
use super::keys::{KeyId, known};
use super::parse::{Error, Parser};
use super::tape::{Kind, Node};
use super::text;
use super::time::{Moment, Text};
use crate::clock::{IdSource, Timestamp};

/// The kinds of event there are tables for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Something a user did.
    Track,
    /// Who a user is.
    Identify,
    /// A page of a web site.
    Page,
    /// A screen of an app.
    Screen,
    /// A user belongs to a group.
    Group,
    /// Two ids of one user.
    Alias,
    /// Two identities to merge.
    Merge,
    /// A row of a cloud source.
    Extract,
}

impl EventType {
    /// The type of that name, in any letter case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Track,
            Self::Identify,
            Self::Page,
            Self::Screen,
            Self::Group,
            Self::Alias,
            Self::Merge,
            Self::Extract,
        ];
        all.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The name in lower case, as the SDKs write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
            Self::Merge => "merge",
            Self::Extract => "extract",
        }
    }
}

/// Which times of an event are believed.
#[derive(Clone, Copy, Debug)]
pub struct ClockGuard {
    /// How far after its arrival an event may say it happened.
    pub max_future: Duration,
    /// The earliest moment an event may say it happened.
    pub min: Timestamp,
}

/// What is true of all events of a request.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// When the request arrived.
    pub at: Timestamp,
    /// The same, written.
    pub text: Text,
    /// The client's address.
    pub client_ip: &'a str,
    /// The source keeps a `receivedAt` that the client sent.
    pub keep_received_at: bool,
    /// Which times are believed.
    pub guard: ClockGuard,
}

/// The members at the top of an event (or of a batch) that the gateway knows.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    event: Node<'a>,
    tokens: [u32; known::TEXTS.len()],
}

impl<'a> Fields<'a> {
    /// Looks once over the members of `event`.
    #[must_use]
    pub fn of(event: Node<'a>) -> Self {
        let mut tokens = [0; known::TEXTS.len()];
        if event.kind() == Kind::Object {
            for member in event.children() {
                if let Some(slot) = tokens.get_mut(member.key_id().index()) {
                    *slot = member.index();
                }
            }
        }
        Self { event, tokens }
    }

    /// The event itself.
    #[must_use]
    pub const fn event(&self) -> Node<'a> {
        self.event
    }

    /// The member with a known key.
    #[must_use]
    pub fn get(&self, key: KeyId) -> Option<Node<'a>> {
        // A member is never token 0, which is the root of its text.
        let token = self.tokens.get(key.index()).copied().filter(|&token| token != 0)?;
        Some(self.event.tape().node(token))
    }

    /// The member, unless it is null.
    #[must_use]
    pub fn present(&self, key: KeyId) -> Option<Node<'a>> {
        self.get(key).filter(|node| node.kind() != Kind::Null)
    }

    /// Sets the member to a string, whether it is there, removed or missing.
    pub fn put(&self, key: KeyId, text: &str, edits: &mut Edits) {
        let name = known::TEXTS.get(key.index()).copied().unwrap_or_default();
        edits.set_member((self.event.index(), self.get(key)), name, key, text);
    }

    fn set_time(&self, key: KeyId, moment: Moment, edits: &mut Edits) {
        let there = self.get(key).filter(|node| node.is_plain_string()).and_then(Node::spelled);
        if !there.is_some_and(|there| moment.is_written(there)) {
            self.set(key, &moment.text(), edits);
        }
    }

    fn set(&self, key: KeyId, text: &str, edits: &mut Edits) {
        match self.get(key) {
            Some(node) if node.is_plain_string() && node.spelled() == Some(text) => {}
            Some(node) => edits.replace_with_string(node.index(), text),
            None => {
                let name = self.event.tape().keys().text(key);
                edits.insert_string(self.event.index(), name, key, text);
            }
        }
    }
}

/// Why a time is not the one that the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjusted {
    /// It lies too far after the arrival.
    Future,
    /// It lies before the earliest moment allowed.
    Ancient,
    /// It could not be read.
    Unparsable,
}

impl Adjusted {
    const fn name(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::Ancient => "ancient",
            Self::Unparsable => "unparsable",
        }
    }
}

/// The times of an event as the client spelled them; `None` where it sent none.
#[derive(Clone, Debug, Default)]
pub struct RawTimes<'a> {
    /// `receivedAt`
    pub received: Option<Cow<'a, str>>,
    /// `originalTimestamp`
    pub original: Option<Cow<'a, str>>,
    /// `sentAt`, of the event or of its batch.
    pub sent: Option<Cow<'a, str>>,
    /// `timestamp`
    pub timestamp: Option<Cow<'a, str>>,
}

/// The times of an event as they are stored.
#[derive(Clone, Debug)]
pub struct Times {
    /// `receivedAt`
    pub received: Moment,
    /// `originalTimestamp`
    pub original: Moment,
    /// `sentAt`
    pub sent: Moment,
    /// `timestamp`
    pub timestamp: Moment,
    /// Why `timestamp` is not what the client meant.
    pub adjusted: Option<Adjusted>,
    /// The spelling that `timestamp` replaced.
    pub raw_timestamp: Option<String>,
    /// The spelling that `originalTimestamp` replaced.
    pub raw_original: Option<String>,
}

impl Times {
    /// Works out all four times.
    #[must_use]
    pub fn resolve(raw: &RawTimes<'_>, arrival: &Arrival<'_>) -> Self {
        let parse = |text: &Option<Cow<'_, str>>| text.as_deref().map(Moment::parse);
        let kept = arrival.keep_received_at.then(|| parse(&raw.received).flatten()).flatten();
        let received = kept.unwrap_or_else(|| Moment::coarse(arrival.at));
        let sent = parse(&raw.sent);
        let client = parse(&raw.timestamp);
        // Segment's form: the time of the event is in `timestamp`, and sentAt tells the skew.
        let segment = raw.original.is_none() && raw.timestamp.is_some() && raw.sent.is_some();
        let original = if segment { client } else { parse(&raw.original) };
        let mut times = Self {
            received,
            original: original.flatten().unwrap_or(received),
            sent: sent.flatten().unwrap_or(received),
            timestamp: received,
            adjusted: None,
            raw_timestamp: None,
            raw_original: None,
        };
        if sent == Some(None) {
            times.adjusted = Some(Adjusted::Unparsable);
        }
        if original == Some(None) && !segment {
            times.adjusted = Some(Adjusted::Unparsable);
            times.raw_original = raw.original.as_deref().map(str::to_owned);
        }
        if client == Some(None) {
            times.adjusted = Some(Adjusted::Unparsable);
            times.raw_timestamp = raw.timestamp.as_deref().map(str::to_owned);
        }
        times.timestamp = match client.flatten() {
            Some(client) if !segment => client,
            _ if original == Some(None) => received,
            _ => times.skew_corrected(),
        };
        times.guard(raw, arrival);
        times
    }

    /// `receivedAt - (sentAt - originalTimestamp)`: right for a client whose clock is wrong.
    fn skew_corrected(&self) -> Moment {
        let skew = self.sent.at.micros().saturating_sub(self.original.at.micros());
        let at = Timestamp::from_micros(self.received.at.micros().saturating_sub(skew));
        Moment { at, fine: self.original.fine || self.sent.fine || self.received.fine }
    }

    fn guard(&mut self, raw: &RawTimes<'_>, arrival: &Arrival<'_>) {
        let latest = self.received.at.saturating_add(arrival.guard.max_future);
        let adjusted = if self.timestamp.at > latest {
            Adjusted::Future
        } else if self.timestamp.at < arrival.guard.min {
            Adjusted::Ancient
        } else {
            return;
        };
        self.adjusted = Some(adjusted);
        let spelled = raw.timestamp.as_deref().map(str::to_owned);
        self.raw_timestamp = spelled.or_else(|| Some(self.timestamp.text().to_string()));
        self.timestamp = self.received;
    }
}

/// A time as it was spelled; nothing for null and for blank text.
fn spelling(node: Option<Node<'_>>) -> Option<Cow<'_, str>> {
    let node = node?;
    match node.kind() {
        Kind::Null => None,
        Kind::String => node.text().filter(|text| !text.chars().all(char::is_whitespace)),
        _ => Some(Cow::Borrowed(node.raw())),
    }
}

/// The original time of an event as it was spelled, for the second hash of de-duplication.
#[must_use]
pub fn original_time<'a>(fields: &Fields<'a>) -> Cow<'a, str> {
    spelling(fields.get(known::ORIGINAL_TIMESTAMP))
        .or_else(|| spelling(fields.get(known::TIMESTAMP)))
        .unwrap_or(Cow::Borrowed(""))
}

/// What a batch says for all its events.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchLevel<'a> {
    /// `sentAt`
    pub sent_at: Option<Node<'a>>,
    /// `context`
    pub context: Option<Node<'a>>,
    /// `integrations`
    pub integrations: Option<Node<'a>>,
}

impl<'a> BatchLevel<'a> {
    /// Looks at the members beside `batch`.
    #[must_use]
    pub fn of(body: &Fields<'a>) -> Self {
        Self {
            sent_at: body.present(known::SENT_AT),
            context: body.present(known::CONTEXT).filter(|node| node.kind() == Kind::Object),
            integrations: body.present(known::INTEGRATIONS),
        }
    }

    /// True if the batch has a context of its own.
    #[must_use]
    pub const fn has_context(&self) -> bool {
        self.context.is_some()
    }

    fn adds_to(&self, event: &Fields<'_>) -> bool {
        self.context.is_some()
            || (self.integrations.is_some() && event.present(known::INTEGRATIONS).is_none())
    }
}

/// Works out the times of an event.
#[must_use]
pub fn times(event: &Fields<'_>, batch: BatchLevel<'_>, arrival: &Arrival<'_>) -> Times {
    let raw = RawTimes {
        received: spelling(event.get(known::RECEIVED_AT)),
        original: spelling(event.get(known::ORIGINAL_TIMESTAMP)),
        sent: spelling(event.get(known::SENT_AT)).or_else(|| spelling(batch.sent_at)),
        timestamp: spelling(event.get(known::TIMESTAMP)),
    };
    Times::resolve(&raw, arrival)
}

/// True if the event must be written out with [`merge`] before it can be enriched.
#[must_use]
pub fn needs_merge(event: &Fields<'_>, batch: BatchLevel<'_>, times: &Times) -> bool {
    batch.adds_to(event) || (times.adjusted.is_some() && event.present(known::CONTEXT).is_none())
}

/// Writes the event with what its batch adds, and with a context where one is needed, and reads it
/// again.
///
/// # Errors
/// As the parser says, where the merged event nests too deep or holds too much.
pub fn merge<'a>(
    event: &Fields<'_>,
    batch: BatchLevel<'_>,
    buffer: &'a mut Vec<u8>,
    parser: &'a mut Parser,
    edits: &mut Edits,
) -> Result<Node<'a>, Error> {
    let node = event.event;
    edits.begin(node);
    let json = |node: Node<'_>| {
        let mut out = Vec::new();
        node.write_compact(&mut out);
        String::from_utf8(out).unwrap_or_default()
    };
    let context = match (event.get(known::CONTEXT), batch.context) {
        (Some(own), Some(shared)) if own.kind() == Kind::Object => {
            let mut out = Vec::new();
            write_merged(own, shared, &mut out);
            Some(String::from_utf8(out).unwrap_or_default())
        }
        (Some(own), _) if own.kind() != Kind::Null => None,
        (_, shared) => Some(shared.map_or_else(|| "{}".to_owned(), json)),
    };
    let integrations =
        batch.integrations.filter(|_| event.present(known::INTEGRATIONS).is_none()).map(json);
    for (key, value) in [(known::CONTEXT, context), (known::INTEGRATIONS, integrations)] {
        match (value, event.get(key)) {
            (Some(value), Some(own)) => edits.replace(own.index(), &value),
            (Some(value), None) => {
                edits.insert(node.index(), node.tape().keys().text(key), key, &value);
            }
            (None, _) => {}
        }
    }
    buffer.clear();
    edits.write(node, buffer);
    Ok(parser.parse(buffer)?.root())
}

/// Writes the object `own` with the members of `shared`, of the same tape, that it lacks, at every
/// level.
fn write_merged(own: Node<'_>, shared: Node<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    let mut key = |name: &str, out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        text::write_string(name, out);
        out.push(b':');
    };
    let (owned, offered) = (Members::of(own), Members::of(shared));
    for member in own.children() {
        key(member.key(), out);
        match offered.get(member.key_id()) {
            Some(other) if member.kind() == Kind::Object && other.kind() == Kind::Object => {
                write_merged(member, other, out);
            }
            _ => member.write_compact(out),
        }
    }
    for member in shared.children().filter(|member| owned.get(member.key_id()).is_none()) {
        key(member.key(), out);
        member.write_compact(out);
    }
    out.push(b'}');
}

/// Finds members by key: by looking at each where they are few, else through a map, so that two
/// large objects never cost the product of their sizes.
enum Members<'a> {
    Few(Node<'a>),
    Many(HashMap<KeyId, Node<'a>>),
}

impl<'a> Members<'a> {
    /// Past so many a map is made; a context of an SDK has about twenty.
    const FEW: usize = 64;

    fn of(object: Node<'a>) -> Self {
        if object.children().nth(Self::FEW).is_none() {
            return Self::Few(object);
        }
        Self::Many(object.children().map(|member| (member.key_id(), member)).collect())
    }

    fn get(&self, key: KeyId) -> Option<Node<'a>> {
        match self {
            Self::Few(object) => object.member(key),
            Self::Many(members) => members.get(&key).copied(),
        }
    }
}

/// Notes all that is added to an event beside its rudderId: type, messageId, address, times.
pub fn enrich(
    event: &Fields<'_>,
    kind: Option<EventType>,
    times: &Times,
    arrival: &Arrival<'_>,
    ids: &dyn IdSource,
    edits: &mut Edits,
) {
    if let Some(kind) = kind {
        event.set(known::TYPE, kind.name(), edits);
    }
    match message_id(event) {
        Some(id) => event.set(known::MESSAGE_ID, &id, edits),
        None => {
            let mut buffer = uuid::Uuid::encode_buffer();
            let id = ids.uuid().hyphenated().encode_lower(&mut buffer);
            event.set(known::MESSAGE_ID, id, edits);
        }
    }
    let own_ip = event.get(known::REQUEST_IP).and_then(Node::text);
    if own_ip.is_none_or(|ip| ip.trim().is_empty()) {
        event.set(known::REQUEST_IP, arrival.client_ip, edits);
    }
    let received = if times.received == Moment::coarse(arrival.at) {
        arrival.text
    } else {
        times.received.text()
    };
    event.set(known::RECEIVED_AT, &received, edits);
    for (key, moment) in [
        (known::ORIGINAL_TIMESTAMP, times.original),
        (known::SENT_AT, times.sent),
        (known::TIMESTAMP, times.timestamp),
    ] {
        if moment == times.received {
            event.set(key, &received, edits);
        } else {
            event.set_time(key, moment, edits);
        }
    }
    remark(event, times, edits);
}

/// Says in the context why a time was replaced, and what it was.
fn remark(event: &Fields<'_>, times: &Times, edits: &mut Edits) {
    let context = event.get(known::CONTEXT).filter(|node| node.kind() == Kind::Object);
    let (Some(adjusted), Some(context)) = (times.adjusted, context) else { return };
    let mut set = |key: KeyId, text: &str| {
        let name = context.tape().keys().text(key);
        edits.set_string(context, name, key, text);
    };
    set(known::TIME_ADJUSTED, adjusted.name());
    if let Some(raw) = &times.raw_timestamp {
        set(known::RAW_TIMESTAMP, raw);
    }
    if let Some(raw) = &times.raw_original {
        set(known::RAW_ORIGINAL_TIMESTAMP, raw);
    }
}

/// The messageId as the client sent it, cleaned; `None` if there is none to speak of.
#[must_use]
pub fn message_id<'a>(event: &Fields<'a>) -> Option<Cow<'a, str>> {
    let id = id::cleaned_of(event.get(known::MESSAGE_ID)?.text()?);
    (!id.is_empty()).then_some(id)
}

/// True if the event has a userId or an anonymousId that prints something.
#[must_use]
pub fn has_identity(event: &Fields<'_>) -> bool {
    [known::USER_ID, known::ANONYMOUS_ID]
        .into_iter()
        .any(|key| !id::cleaned(&id::stringified(event.get(key))).is_empty())
}
