//! One request becomes journal frames: read, judge, enrich, transform, write. No IO, no waiting.

use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use super::copies::Copies;
use super::desk::Desk;
use super::scratch::Scratch;
use super::scripted::Scripts;
use super::seam::{Credential, Form, Refusal, Submission, admit};
use super::{Live, Services};
use crate::clock::Timestamp;
use crate::event::enrich::{Arrival, BatchLevel, Fields};
use crate::event::time::Moment;
use crate::event::{self, Mended, Node, known};
use crate::journal::Group;
use crate::source::Source;

/// The frames of one request and what they stand for.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) source: Arc<Source>,
    pub(super) group: Group,
    /// Events that the answer stands for.
    pub(super) received: u32,
    /// Extra events that a script made.
    pub(super) split: u32,
    /// Characters that were left out or replaced.
    pub(super) mended: Mended,
}

/// Why nothing was prepared.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is told so.
    Refused(Refusal),
    /// This source has scripts and `scripts` was `None`: call again where there is an engine.
    NeedsScripts(Arc<Source>),
    /// A fault of this program; what it left in an engine nobody knows.
    Panicked,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads, judges and writes one request. A panic, which is a fault of this program, costs that
/// request alone: its buffers are given up, it is counted and refused as [`Refusal::Internal`].
pub(super) fn prepare(
    services: &Services,
    live: &Live,
    scratch: &mut Scratch,
    submission: &Submission,
    now: Timestamp,
    scripts: Option<Scripts<'_>>,
) -> Result<Prepared, Stop> {
    let work = AssertUnwindSafe(|| write(services, live, scratch, submission, now, scripts));
    panic::catch_unwind(work).unwrap_or_else(|_| {
        *scratch = Scratch::default();
        services.counts.panicked();
        Err(Stop::Panicked)
    })
}

fn write(
    services: &Services,
    live: &Live,
    scratch: &mut Scratch,
    submission: &Submission,
    now: Timestamp,
    scripts: Option<Scripts<'_>>,
) -> Result<Prepared, Stop> {
    let Scratch { body, work } = scratch;
    let parsed = body.parse(&submission.body).map(event::Tape::root).map_err(refusal_of);
    let source = identify(live, submission, parsed.as_ref().ok())?;
    let root = parsed?;
    let fields = Fields::of(root);
    // Made with the sources, for each of them: a source without one went with a reload just now.
    let chain = live.chain(&source).ok_or(Refusal::UnknownKey)?;
    let client_ip = address(submission.client_ip.to_canonical());
    if !chain.rest().is_empty() && scripts.is_none() {
        return Err(Stop::NeedsScripts(source));
    }
    let mut desk = Desk {
        services,
        source: &source,
        chain: &chain,
        suppression: &live.suppression,
        arrival: Arrival {
            at: now,
            text: Moment::coarse(now).text(),
            client_ip: &client_ip,
            keep_received_at: source.keep_received_at,
            guard: services.limits.clock_guard,
        },
        batch: BatchLevel::default(),
        copies: Copies::of(submission.body.len()),
        deadline: submission.deadline,
        unwatched: usize::MAX,
        work,
        group: Group::default(),
        tallies: Vec::new(),
        scripted: Vec::new(),
        split: 0,
    };
    let received = match submission.form {
        Form::Single(kind) => desk.single(root, kind)?,
        Form::Batch | Form::Import => {
            desk.batch = BatchLevel::of(&fields);
            match desk.batch(&fields)? {
                0 if submission.form == Form::Import => 0,
                0 => return Err(Refusal::EmptyBatch.into()),
                received => received,
            }
        }
    };
    if let Some(scripts) = scripts {
        desk.run_scripts(scripts)?;
    }
    desk.write_tallies()?;
    let (group, split) = (desk.group, desk.split);
    let mended = root.tape().mended();
    Ok(Prepared { source, group, received, split, mended })
}

fn refusal_of(error: event::Error) -> Refusal {
    match error {
        event::Error::Invalid { .. } | event::Error::TooDeep { .. } => Refusal::InvalidJson,
        event::Error::TooMany => Refusal::TooLarge,
    }
}

/// The source that sends: known already, or by the `writeKey` in the body.
fn identify(
    live: &Live,
    submission: &Submission,
    root: Option<&Node<'_>>,
) -> Result<Arc<Source>, Refusal> {
    match &submission.credential {
        Credential::Known(source) => Ok(Arc::clone(source)),
        Credential::InBody { origin } => {
            let key = root.and_then(|root| root.member(known::WRITE_KEY)).and_then(Node::text);
            let key = key.filter(|key| !key.is_empty()).ok_or(Refusal::NoKeyInHeader)?;
            let source = live.sources.by_write_key(&key).ok_or(Refusal::UnknownKey)?;
            admit(source, origin.as_deref(), false)?;
            Ok(Arc::clone(source))
        }
    }
}

/// The address as text.
fn address(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { return ip.to_string() };
    // Without the machinery of formatting, which takes a microsecond's tenth.
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in ip.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}
