//! A pipeline that judges as the real one must and journals nothing.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::event::enrich::{Fields, has_identity};
use crate::event::{Kind, Node, Parser, known};
use crate::ingest::{
    Accepted, Credential, Form, Health, Pipeline, Refusal, Submission, Trouble, admit,
};
use crate::source::{Source, Sources};

/// What was accepted.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) source: String,
    pub(super) form: Form,
    pub(super) body: Value,
    pub(super) client_ip: IpAddr,
}

#[derive(Debug)]
pub(super) struct Fake {
    sources: Arc<ArcSwap<Sources>>,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) down: AtomicBool,
    /// The next submission ends in a panic.
    pub(super) faulty: AtomicBool,
    /// Requests that did.
    pub(super) panics: AtomicUsize,
    /// A permit for each answer; closed, it never holds one back.
    pub(super) gate: Semaphore,
    /// A permit for each submission that waits for its answer.
    pub(super) waiting: Semaphore,
}

impl Fake {
    pub(super) fn new(sources: Arc<ArcSwap<Sources>>) -> Self {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Self {
            sources,
            seen: Mutex::default(),
            down: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
            panics: AtomicUsize::new(0),
            gate,
            waiting: Semaphore::new(0),
        }
    }

    pub(super) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    pub(super) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn source(&self, credential: Credential, root: Node<'_>) -> Result<Arc<Source>, Refusal> {
        let origin = match credential {
            Credential::Known(source) => return Ok(source),
            Credential::InBody { origin } => origin,
        };
        let key = root.get("writeKey").and_then(Node::text).ok_or(Refusal::NoKeyInHeader)?;
        let sources = self.sources.load();
        let source = sources.by_write_key(&key).ok_or(Refusal::UnknownKey)?;
        admit(source, origin.as_deref(), false)?;
        Ok(Arc::clone(source))
    }

    fn judge(&self, submission: Submission) -> Result<Accepted, Refusal> {
        let mut parser = Parser::new();
        let parsed = parser.parse(&submission.body);
        let known = matches!(submission.credential, Credential::Known(_));
        let without_key = if known { Refusal::InvalidJson } else { Refusal::NoKeyInHeader };
        let tape = parsed.map_err(|_| without_key)?;
        let source = self.source(submission.credential, tape.root())?;
        let events: Vec<Node<'_>> = match (submission.form, tape.root().get("batch")) {
            (Form::Single(_), _) => vec![tape.root()],
            (_, Some(batch)) if batch.kind() == Kind::Array => batch.children().collect(),
            (_, Some(batch)) if batch.kind() == Kind::Object => vec![batch],
            _ => Vec::new(),
        };
        if events.is_empty() && submission.form != Form::Import {
            return Err(Refusal::EmptyBatch);
        }
        let verdicts: Vec<Option<Refusal>> = events.iter().map(|event| verdict(*event)).collect();
        if let Some(Some(first)) = verdicts.first().filter(|_| verdicts.iter().all(Option::is_some))
        {
            return Err(*first);
        }
        self.seen.lock().unwrap().push(Seen {
            source: source.id.clone(),
            form: submission.form,
            body: serde_json::from_slice(&submission.body).unwrap(),
            client_ip: submission.client_ip,
        });
        Ok(Accepted { source, events: u32::try_from(events.len()).unwrap() })
    }
}

fn verdict(event: Node<'_>) -> Option<Refusal> {
    if event.kind() != Kind::Object {
        return Some(Refusal::NotAnObject);
    }
    let exempt = event
        .member(known::TYPE)
        .and_then(Node::text)
        .is_some_and(|kind| kind == "extract" || kind == "record");
    (!exempt && !has_identity(&Fields::of(event))).then_some(Refusal::NoIds)
}

impl Pipeline for Fake {
    async fn submit(&self, submission: Submission) -> Result<Accepted, Refusal> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Refusal::Unavailable(Trouble::LogFull));
        }
        if self.faulty.swap(false, Ordering::SeqCst) {
            panic!("as a fault of the program would");
        }
        self.waiting.add_permits(1);
        let passed = self.gate.acquire().await;
        drop(passed);
        self.judge(submission)
    }

    fn health(&self) -> Health {
        let trouble = self.down.load(Ordering::SeqCst).then_some(Trouble::LogFull);
        let last_sync = Timestamp::from_millis(super::NOW_MS);
        Health { trouble, last_sync: trouble.is_none().then_some(last_sync) }
    }

    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::SeqCst);
    }
}
