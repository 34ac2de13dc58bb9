//! The events of one request, one by one: judged, enriched, transformed, written as frames.

use std::borrow::Cow;
use std::time::Duration;

use super::Services;
use super::chain::Chain;
use super::copies::Copies;
use super::judge::{Fault, judge};
use super::scratch::Work;
use super::scripted::Scripted;
use super::seam::Refusal;
use crate::clock::Timestamp;
use crate::event::enrich::{self, Arrival, BatchLevel, EventType, Fields};
use crate::event::id::{self, RudderIds};
use crate::event::{Edits, Kind, Node, Value, known, text};
use crate::journal::Group;
use crate::limits::RetryAfter;
use crate::record::{self, FrameKind, Rejection, Stamp, Tally};
use crate::source::Source;
use crate::transform::{self, Pseudonyms, Suppression, Verdict};

/// What an event grows by on its way into the journal, by and large: headers, route and hashes, and
/// what enrichment adds.
const ADDED_BYTES: usize = 384;

/// Bytes of events between two looks at the clock: a few microseconds of work as a rule, and the worst
/// that so many can ask for some milliseconds.
const WATCH_BYTES: usize = 8 << 10;

/// Events of one request and reason that left no row.
pub(super) struct Tallied {
    reason: String,
    dropped: u32,
    suppressed: u32,
}

/// Works through the events of one request.
pub(super) struct Desk<'a> {
    pub(super) services: &'a Services,
    pub(super) source: &'a Source,
    pub(super) chain: &'a Chain,
    pub(super) suppression: &'a Suppression,
    pub(super) arrival: Arrival<'a>,
    pub(super) batch: BatchLevel<'a>,
    /// What may still be spent on copying the batch's own members into events.
    pub(super) copies: Copies,
    /// When the client's patience ends.
    pub(super) deadline: Duration,
    /// Bytes worked on since the clock was last looked at.
    pub(super) unwatched: usize,
    pub(super) work: &'a mut Work,
    pub(super) group: Group,
    pub(super) tallies: Vec<Tallied>,
    /// Events that wait for the source's scripts.
    pub(super) scripted: Vec<Scripted>,
    pub(super) split: u32,
}

impl Desk<'_> {
    pub(super) fn single(&mut self, event: Node<'_>, kind: EventType) -> Result<u32, Refusal> {
        self.within_rate(1)?;
        self.group.reserve(1, event.raw().len() + ADDED_BYTES);
        match judge(event, Some(kind), &self.services.limits) {
            Ok(fields) => {
                self.accept(&fields, Some(kind))?;
            }
            Err(Fault::TooLarge) => return Err(Refusal::TooLarge),
            Err(fault) => return Err(fault.refusal().unwrap_or(Refusal::NotAnObject)),
        }
        Ok(1)
    }

    fn within_rate(&self, events: u32) -> Result<(), Refusal> {
        self.services
            .rates
            .check(self.source, events)
            .map_err(|RetryAfter(retry_after)| Refusal::RateLimited { retry_after })
    }

    /// Takes each event by itself; refuses the request only if nothing in it is good.
    pub(super) fn batch(&mut self, body: &Fields<'_>) -> Result<u32, Refusal> {
        let Some(batch) = body.present(known::BATCH) else { return Ok(0) };
        // An object counts as the one event of the batch, as RudderStack takes it.
        let alone = (batch.kind() != Kind::Array).then_some(batch);
        let events = || {
            let many = alone.is_none().then(|| batch.children()).into_iter().flatten();
            alone.into_iter().chain(many)
        };
        let received = u32::try_from(events().count()).unwrap_or(u32::MAX);
        if received > self.services.limits.batch_events_max {
            return Err(Refusal::TooManyEvents);
        }
        self.within_rate(received)?;
        let frames = usize::try_from(received).unwrap_or_default();
        self.group.reserve(frames, body.event().raw().len() + frames * ADDED_BYTES);
        let (mut good, mut refusal) = (false, None);
        let mut events = events();
        loop {
            let mut some = [None; RudderIds::EVENTS];
            let limits = &self.services.limits;
            let judged = events.by_ref().map(|event| (event, judge(event, None, limits)));
            some.iter_mut().zip(judged).for_each(|(place, judged)| *place = Some(judged));
            self.foresee(some.iter().flatten().filter_map(|(_, judged)| judged.as_ref().ok()));
            for (event, judged) in some.iter().flatten() {
                self.in_time(event.raw().len())?;
                match judged {
                    Ok(fields) => {
                        good = true;
                        self.accept(fields, None)?;
                    }
                    Err(fault) => {
                        match fault.refusal() {
                            Some(first) => refusal = refusal.or(Some(first)),
                            None => good = true,
                        }
                        self.reject(*event, *fault)?;
                    }
                }
            }
            if some.iter().any(Option::is_none) {
                break;
            }
        }
        match refusal {
            Some(refusal) if !good => Err(refusal),
            _ => Ok(received),
        }
    }

    /// Works out the ids of the users of events that come next.
    fn foresee<'e>(&mut self, events: impl Iterator<Item = &'e Fields<'e>>) {
        if !self.chain.rest().is_empty() {
            return;
        }
        self.work.rudder_ids.foresee(events.map(|fields| {
            let cleaned = |key| id::cleaned_of(id::stringified(fields.get(key)));
            (cleaned(known::USER_ID), cleaned(known::ANONYMOUS_ID))
        }));
    }

    /// Looks at the clock where that is due before an event of so many bytes.
    ///
    /// # Errors
    /// [`Refusal::AckTimeout`] when the client's patience has ended.
    fn in_time(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.unwatched >= WATCH_BYTES {
            self.unwatched = 0;
            if self.services.clock.elapsed() > self.deadline {
                return Err(Refusal::AckTimeout);
            }
        }
        self.unwatched = self.unwatched.saturating_add(bytes);
        Ok(())
    }

    fn accept(&mut self, sent: &Fields<'_>, forced: Option<EventType>) -> Result<(), Refusal> {
        let mut fields = *sent;
        let identity = Identity::of(sent, forced, self.source);
        let times = enrich::times(sent, self.batch, &self.arrival);
        let work = &mut *self.work;
        if enrich::needs_merge(sent, self.batch, &times) {
            let (buffer, parser) = (&mut work.merged, &mut work.merged_parser);
            let merged = enrich::merge(sent, self.batch, buffer, parser, &mut work.edits);
            let bytes = merged.as_ref().map_or(0, |node| node.raw().len());
            self.unwatched = self.unwatched.saturating_add(bytes);
            self.copies.spend(merged.as_ref().ok().copied())?;
            match merged {
                Ok(node) if node.raw().len() <= self.services.limits.event_bytes_max => {
                    fields = Fields::of(node);
                }
                _ => return self.reject(sent.event(), Fault::TooLarge),
            }
        }
        let event = fields.event();
        work.edits.begin(event);
        let pseudonyms = &self.services.pseudonyms;
        if self.suppression.has(event, &work.edits, pseudonyms) {
            self.tally("suppressed", true);
            return Ok(());
        }
        let ids = &*self.services.ids;
        enrich::enrich(&fields, forced, &times, &self.arrival, ids, &mut work.edits);
        let verdict = self.chain.apply_leading(&mut work.rules, event, &mut work.edits, pseudonyms);
        if let Some((rule, is_suppressed)) = gone(&verdict) {
            self.tally(rule, is_suppressed);
            return Ok(());
        }
        if !self.chain.rest().is_empty() {
            let mut event_text = Vec::new();
            work.edits.write(event, &mut event_text);
            let message_id = enrich::message_id(sent).map(Cow::into_owned);
            self.scripted.push(Scripted::new(event_text, identity, message_id));
            return Ok(());
        }
        let target = target(self.services, self.source, self.arrival.at, &mut self.group);
        let Work { edits, payload, rudder_ids, .. } = work;
        finish(&fields, edits, payload, rudder_ids, identity.stamp(0, None), target)
    }

    /// Sends an event to the table `rejected`, after the source's transformations.
    fn reject(&mut self, event: Node<'_>, fault: Fault) -> Result<(), Refusal> {
        let work = &mut *self.work;
        work.payload.clear();
        let mut rejection = Rejection { reason: fault.reason().to_owned(), ..Rejection::default() };
        let is_object = fault != Fault::NotAnObject;
        let mut whole = is_object;
        let mut event = event;
        if whole && self.batch.has_context() && self.chain.asks_for_consent() {
            // What the sender denied may be said once for the whole batch.
            let (buffer, parser) = (&mut work.merged, &mut work.merged_parser);
            let fields = Fields::of(event);
            let merged = enrich::merge(&fields, self.batch, buffer, parser, &mut work.edits);
            let bytes = merged.as_ref().map_or(0, |node| node.raw().len());
            self.unwatched = self.unwatched.saturating_add(bytes);
            self.copies.spend(merged.as_ref().ok().copied())?;
            match merged {
                Ok(merged) => event = merged,
                Err(_) => whole = false,
            }
        }
        let pseudonyms = &self.services.pseudonyms;
        work.edits.begin(event);
        if is_object && self.suppression.has(event, &work.edits, pseudonyms) {
            self.tally("suppressed", true);
            return Ok(());
        }
        if whole {
            let verdict =
                self.chain.apply_leading(&mut work.rules, event, &mut work.edits, pseudonyms);
            if let Some((rule, is_suppressed)) = gone(&verdict) {
                self.tally(rule, is_suppressed);
                return Ok(());
            }
        }
        if is_object {
            let bytes_max = self.services.limits.rejected_bytes_max;
            name(&mut rejection, &Fields::of(event), &work.edits, bytes_max);
        }
        // No script is given what is too large, and nothing is told that one might have taken out.
        let has_scripts = !self.chain.rest().is_empty();
        let is_open = whole && !(has_scripts && fault == Fault::TooLarge);
        if is_open {
            work.edits.write(event, &mut work.payload);
        } else {
            close(&mut rejection, pseudonyms);
        }
        if is_open && has_scripts {
            // A script may take out what no pack does, so it sees rejected events too.
            let fields = Fields::of(event);
            let identity = Identity::of(&fields, None, self.source);
            let message_id = enrich::message_id(&fields).map(Cow::into_owned);
            let payload = work.payload.clone();
            self.scripted.push(Scripted::rejected(payload, identity, message_id, fault.reason()));
            return Ok(());
        }
        if !is_open || work.payload.len() > self.services.limits.rejected_bytes_max {
            work.payload.clear();
            work.payload.extend_from_slice(transform::shape(event).as_bytes());
        }
        let identity = Identity::of(&Fields::of(event), None, self.source);
        self.write_rejected(rejection, identity, 0)
    }

    /// Writes part `part` of an event that is rejected and that the scripts have seen.
    pub(super) fn write_rejected_part(
        &mut self,
        event: &str,
        origin: &Scripted,
        (reason, part): (&str, u32),
    ) -> Result<(), Refusal> {
        let Work { edits, payload, merged_parser, .. } = &mut *self.work;
        let tape = merged_parser.parse(event.as_bytes()).map_err(|_| Refusal::Internal)?;
        let mut rejection = Rejection { reason: reason.to_owned(), ..Rejection::default() };
        edits.begin(tape.root());
        let bytes_max = self.services.limits.rejected_bytes_max;
        name(&mut rejection, &Fields::of(tape.root()), edits, bytes_max);
        if part > 0 {
            rejection.message_id = origin.message_id(part);
        }
        payload.clear();
        if event.len() > bytes_max {
            payload.extend_from_slice(transform::shape(tape.root()).as_bytes());
        } else {
            payload.extend_from_slice(event.as_bytes());
        }
        self.write_rejected(rejection, origin.identity(&self.source.id, part), part)
    }

    /// Writes a rejected event, or part of one, whose payload lies in the work's buffer.
    pub(super) fn write_rejected(
        &mut self,
        mut rejection: Rejection,
        identity: Identity,
        part: u32,
    ) -> Result<(), Refusal> {
        if rejection.message_id.is_empty() {
            rejection.message_id = self.services.ids.uuid().to_string();
        }
        let stamp = identity.stamp(part, Some(&rejection));
        target(self.services, self.source, self.arrival.at, &mut self.group)
            .push(&self.work.payload, stamp)
    }

    /// Writes part `part` of an event that the scripts have seen.
    pub(super) fn write_part(
        &mut self,
        event: &str,
        origin: &Scripted,
        part: u32,
    ) -> Result<(), Refusal> {
        let Work { edits, payload, merged_parser, rudder_ids, .. } = &mut *self.work;
        // The engine gives back nothing that the parser would refuse.
        let tape = merged_parser.parse(event.as_bytes()).map_err(|_| Refusal::Internal)?;
        let fields = Fields::of(tape.root());
        edits.begin(fields.event());
        let id = origin.message_id(part);
        edits.set_string(fields.event(), "messageId", known::MESSAGE_ID, &id);
        let identity = origin.identity(&self.source.id, part);
        let target = target(self.services, self.source, self.arrival.at, &mut self.group);
        finish(&fields, edits, payload, rudder_ids, identity.stamp(part, None), target)
    }

    /// Counts an event that leaves no row.
    pub(super) fn tally(&mut self, reason: &str, suppressed: bool) {
        let at = match self.tallies.iter().position(|tally| tally.reason == reason) {
            Some(at) => at,
            None => {
                self.tallies.push(Tallied { reason: reason.to_owned(), dropped: 0, suppressed: 0 });
                self.tallies.len() - 1
            }
        };
        let tally = &mut self.tallies[at];
        *(if suppressed { &mut tally.suppressed } else { &mut tally.dropped }) += 1;
    }

    pub(super) fn write_tallies(&mut self) -> Result<(), Refusal> {
        for tally in std::mem::take(&mut self.tallies) {
            let count = tally.dropped + tally.suppressed;
            let message = Tally {
                route: Some((*self.source.route.route).clone()),
                dropped: tally.dropped,
                suppressed: tally.suppressed,
                reason: tally.reason,
                received_at: self.arrival.at.micros(),
            };
            self.group
                .frame(FrameKind::Tally as u8, &self.source.id, count, |out| {
                    record::write_tally(message, out);
                })
                .map_err(|_| Refusal::TooLarge)?;
        }
        Ok(())
    }
}

/// The two hashes of de-duplication, taken before the transformations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) key_hash: u64,
    pub(super) content_hash: u64,
}

impl Identity {
    fn stamp(self, part: u32, rejection: Option<&Rejection>) -> Stamp<'_> {
        let Self { key_hash, content_hash } = self;
        Stamp { key_hash, content_hash, part, rejection, ..Stamp::default() }
    }

    fn of(fields: &Fields<'_>, forced: Option<EventType>, source: &Source) -> Self {
        let text = |key| fields.get(key).and_then(Node::text).unwrap_or_default();
        let sent = text(known::TYPE);
        let kind = match forced {
            Some(kind) => kind.name(),
            None => &sent,
        };
        let time = enrich::original_time(fields);
        Self {
            key_hash: enrich::message_id(fields)
                .map_or(0, |message_id| id::key_hash(&source.id, &message_id, 0)),
            content_hash: id::content_hash(kind, &text(known::EVENT), &time),
        }
    }
}

fn target<'a>(
    services: &'a Services,
    source: &'a Source,
    at: Timestamp,
    group: &'a mut Group,
) -> Target<'a> {
    Target { services, source, at, group }
}

/// Where frames go.
struct Target<'a> {
    services: &'a Services,
    source: &'a Source,
    at: Timestamp,
    group: &'a mut Group,
}

impl Target<'_> {
    fn push(self, payload: &[u8], stamp: Stamp<'_>) -> Result<(), Refusal> {
        let kind = if stamp.part == 0 { FrameKind::Event } else { FrameKind::Part };
        let stamp = Stamp { received_at: self.at.micros(), ..stamp };
        let route = &self.source.route;
        self.group
            .frame(kind as u8, &self.source.id, 1, |out| {
                record::write_event(route, payload, stamp, out);
            })
            .map_err(|_| Refusal::TooLarge)?;
        if self.group.bytes() > self.services.limits.group_bytes_max {
            return Err(Refusal::TooLarge);
        }
        Ok(())
    }
}

/// Writes an event as it now stands, with the rudderId of the ids it now has.
fn finish(
    fields: &Fields<'_>,
    edits: &mut Edits,
    payload: &mut Vec<u8>,
    rudder_ids: &mut RudderIds,
    stamp: Stamp<'_>,
    target: Target<'_>,
) -> Result<(), Refusal> {
    let user_id = current(fields.get(known::USER_ID), edits);
    let anonymous_id = current(fields.get(known::ANONYMOUS_ID), edits);
    let rudder_id = rudder_ids.of(&id::cleaned(&user_id), &id::cleaned(&anonymous_id));
    let mut buffer = uuid::Uuid::encode_buffer();
    let rudder_id = rudder_id.hyphenated().encode_lower(&mut buffer);
    fields.put(known::RUDDER_ID, rudder_id, edits);
    payload.clear();
    edits.write(fields.event(), payload);
    target.push(payload, stamp)
}

/// The text of an id as it stands after the edits.
fn current<'e>(node: Option<Node<'e>>, edits: &'e Edits) -> Cow<'e, str> {
    let Some(node) = node else { return Cow::Borrowed("") };
    match edits.value(node.index()) {
        Value::Unchanged => id::stringified(Some(node)),
        Value::Removed => Cow::Borrowed(""),
        Value::Replaced(json) => {
            let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let Some(spelled) = inside else { return Cow::Borrowed(json) };
            let mut out = String::with_capacity(spelled.len());
            text::unescape_into(spelled, &mut out);
            Cow::Owned(out)
        }
    }
}

/// Fills in the ids and names of a rejected event, as they stand after the transformations; those
/// that are themselves too long for its row are left out.
fn name(rejection: &mut Rejection, fields: &Fields<'_>, edits: &Edits, bytes_max: usize) {
    let text = |key| {
        let text = current(fields.get(key), edits);
        if text.len() > bytes_max { String::new() } else { text.into_owned() }
    };
    rejection.message_id = id::cleaned(&text(known::MESSAGE_ID)).into_owned();
    rejection.r#type = text(known::TYPE);
    rejection.event = text(known::EVENT);
    rejection.user_id = text(known::USER_ID);
    rejection.anonymous_id = text(known::ANONYMOUS_ID);
}

/// Leaves of a rejected event's ids their pseudonyms, of its type only a known one, and no name:
/// anything else may hold anything.
pub(super) fn close(rejection: &mut Rejection, pseudonyms: &Pseudonyms) {
    for id in [&mut rejection.message_id, &mut rejection.user_id, &mut rejection.anonymous_id] {
        if !id.is_empty() {
            *id = pseudonyms.of(id);
        }
    }
    let kind = EventType::parse(&rejection.r#type);
    rejection.r#type = kind.map_or_else(String::new, |kind| kind.name().into());
    rejection.event.clear();
}

/// What an event that does not stay is counted as, and whether it was suppressed.
fn gone(verdict: &Verdict) -> Option<(&str, bool)> {
    match verdict {
        Verdict::Keep => None,
        Verdict::Drop { rule } => Some((rule, false)),
        Verdict::Suppressed => Some(("suppressed", true)),
    }
}
