//! Events of sources with scripts: from text to text, stage by stage, then on to the journal.

use std::sync::Arc;

use super::chain::Stage;
use super::desk::{Desk, Identity, close};
use super::judge::Fault;
use super::scratch::Work;
use super::seam::Refusal;
use crate::event::enrich::Fields;
use crate::event::{KeyId, Node, Parser, id, known};
use crate::record::Rejection;
use crate::script::{self, Input, Metadata, Outcome, Script};
use crate::source::{Platform, Source};
use crate::transform::{self, Pack, Verdict};

/// An engine, and the question whether the client still waits.
pub(super) struct Scripts<'a> {
    pub(super) runtime: &'a mut script::Runtime,
    pub(super) stop: &'a dyn Fn() -> bool,
}

/// An event that waits for the scripts, as the packs before them left it.
pub(super) struct Scripted {
    /// One text for each part that is left.
    parts: Vec<String>,
    /// Parts that a script failed on: their shape, and why.
    failed: Vec<(String, Rejection)>,
    /// Which stage took the last part out, and whether it was the suppression list.
    dropped: Option<(String, bool)>,
    /// Why it goes to the rejected table whatever the scripts make of it.
    rejected: Option<&'static str>,
    identity: Identity,
    /// The messageId that the client sent.
    sent_id: Option<String>,
    /// The messageId that the event has.
    message_id: String,
}

impl Scripted {
    pub(super) fn new(event: Vec<u8>, identity: Identity, sent_id: Option<String>) -> Self {
        let event = String::from_utf8(event).unwrap_or_default();
        let message_id = Names::of(&mut Parser::new(), &event).message_id;
        Self {
            parts: vec![event],
            failed: Vec::new(),
            dropped: None,
            rejected: None,
            identity,
            sent_id,
            message_id,
        }
    }

    /// An event that was rejected for `reason`, whose payload the scripts are to see as well.
    pub(super) fn rejected(
        event: Vec<u8>,
        identity: Identity,
        sent_id: Option<String>,
        reason: &'static str,
    ) -> Self {
        Self { rejected: Some(reason), ..Self::new(event, identity, sent_id) }
    }

    /// The messageId of part `part`.
    pub(super) fn message_id(&self, part: u32) -> String {
        match part {
            0 => self.message_id.clone(),
            part => format!("{}#{part}", self.message_id),
        }
    }

    /// The hashes of part `part`.
    pub(super) fn identity(&self, source_id: &str, part: u32) -> Identity {
        let key_hash = match (part, &self.sent_id) {
            (0, _) => self.identity.key_hash,
            (_, None) => 0,
            (part, Some(sent)) => id::key_hash(source_id, sent, part),
        };
        Identity { key_hash, ..self.identity }
    }
}

/// What `metadata()` tells of an event.
#[derive(Default)]
struct Names {
    message_id: String,
    event: String,
    kind: String,
    received_at: String,
    user_id: String,
    anonymous_id: String,
}

impl Names {
    fn of(parser: &mut Parser, event: &str) -> Self {
        let Ok(tape) = parser.parse(event.as_bytes()) else { return Self::default() };
        let fields = Fields::of(tape.root());
        let text = |key: KeyId| fields.get(key).and_then(Node::text).unwrap_or_default().into();
        Self {
            message_id: text(known::MESSAGE_ID),
            event: text(known::EVENT),
            kind: text(known::TYPE),
            received_at: text(known::RECEIVED_AT),
            user_id: id::stringified(fields.get(known::USER_ID)).into_owned(),
            anonymous_id: id::stringified(fields.get(known::ANONYMOUS_ID)).into_owned(),
        }
    }
}

impl Desk<'_> {
    /// Runs the stages after the leading packs over the waiting events, and writes what is left.
    pub(super) fn run_scripts(&mut self, mut scripts: Scripts<'_>) -> Result<(), Refusal> {
        let mut events = std::mem::take(&mut self.scripted);
        let chain = self.chain;
        for stage in chain.rest() {
            match stage {
                Stage::Pack(pack) => self.run_pack(pack, &mut events),
                Stage::Script(script) => self.run_script(script, &mut events, &mut scripts)?,
            }
        }
        for event in &events {
            self.write_scripted(event)?;
        }
        Ok(())
    }

    /// Writes what the stages made of one event: its first part or failure counts as received,
    /// each further one as split; with nothing left it is tallied.
    fn write_scripted(&mut self, event: &Scripted) -> Result<(), Refusal> {
        let mut number = 0;
        for part in &event.parts {
            let grown = part.len() > self.services.limits.event_bytes_max;
            match event.rejected.or_else(|| grown.then(|| Fault::TooLarge.reason())) {
                Some(reason) => self.write_rejected_part(part, event, (reason, number))?,
                None => self.write_part(part, event, number)?,
            }
            number += 1;
        }
        for (shape, rejection) in &event.failed {
            self.write_shape(shape, rejection.clone(), event, number)?;
            number += 1;
        }
        match (&event.dropped, number) {
            (Some((stage, suppressed)), 0) => self.tally(stage, *suppressed),
            _ => self.split += number.saturating_sub(1),
        }
        Ok(())
    }

    fn write_shape(
        &mut self,
        shape: &str,
        rejection: Rejection,
        event: &Scripted,
        number: u32,
    ) -> Result<(), Refusal> {
        self.work.payload.clear();
        self.work.payload.extend_from_slice(shape.as_bytes());
        self.write_rejected(rejection, event.identity(&self.source.id, number), number)
    }

    fn run_pack(&mut self, pack: &Arc<Pack>, events: &mut [Scripted]) {
        for event in events {
            // Whatever a script did to the event's own, this is the one that it is written with.
            let Work { rules, edits, merged_parser, .. } = &mut *self.work;
            let id = (event.message_id.as_str(), &self.services.pseudonyms);
            event.message_id = pack.message_id(rules, merged_parser, edits, id);
            for part in std::mem::take(&mut event.parts) {
                match self.packed(pack, &part) {
                    Ok(part) => event.parts.push(part),
                    Err(dropped) => event.dropped = Some(dropped),
                }
            }
        }
    }

    fn packed(&mut self, pack: &Pack, part: &str) -> Result<String, (String, bool)> {
        let work = &mut *self.work;
        // The engine gives back nothing that the parser would refuse.
        let tape = work.merged_parser.parse(part.as_bytes());
        let tape = tape.map_err(|_| (pack.name().to_owned(), false))?;
        work.edits.begin(tape.root());
        let pseudonyms = &self.services.pseudonyms;
        match pack.apply(&mut work.rules, tape.root(), &mut work.edits, pseudonyms) {
            Verdict::Keep => {
                let mut out = Vec::new();
                work.edits.write(tape.root(), &mut out);
                Ok(String::from_utf8(out).unwrap_or_default())
            }
            Verdict::Drop { rule } => Err((rule, false)),
            Verdict::Suppressed => Err(("suppressed".to_owned(), true)),
        }
    }

    fn run_script(
        &mut self,
        script: &Script,
        events: &mut [Scripted],
        scripts: &mut Scripts<'_>,
    ) -> Result<(), Refusal> {
        let mut parser = Parser::new();
        let texts: Vec<(usize, String)> = events
            .iter_mut()
            .enumerate()
            .flat_map(|(n, event)| event.parts.drain(..).map(move |part| (n, part)))
            .collect();
        let names: Vec<Names> =
            texts.iter().map(|(_, text)| Names::of(&mut parser, text)).collect();
        let inputs: Vec<Input<'_>> = texts
            .iter()
            .zip(&names)
            .map(|((_, event), names)| Input {
                event,
                metadata: Self::metadata(self.source, names),
            })
            .collect();
        let outcomes = scripts
            .runtime
            .run(script, &inputs, scripts.stop)
            .map_err(|script::Stopped| Refusal::AckTimeout)?;
        for (((owner, text), names), outcome) in texts.iter().zip(&names).zip(outcomes) {
            let Some(event) = events.get_mut(*owner) else { continue };
            match outcome {
                Ok(Outcome::Keep(part)) => event.parts.push(part),
                Ok(Outcome::Split(parts)) => event.parts.extend(parts),
                Ok(Outcome::Drop) => event.dropped = Some((script.name().to_owned(), false)),
                Err(error) => event.failed.push((self.shape(text), self.failure(names, error))),
            }
        }
        Ok(())
    }

    fn metadata<'n>(source: &'n Source, names: &'n Names) -> Metadata<'n> {
        fn some(text: &str) -> Option<&str> {
            (!text.is_empty()).then_some(text)
        }
        Metadata {
            source_id: Some(&source.id),
            source_name: Some(&source.name),
            source_type: source.platform.map(Platform::as_str),
            message_id: some(&names.message_id),
            event_name: some(&names.event),
            event_type: some(&names.kind),
            received_at: some(&names.received_at),
            ..Metadata::default()
        }
    }

    /// A script failed, so nothing of the event but its shape may be kept.
    fn failure(&self, names: &Names, error: script::Error) -> Rejection {
        let reason = match error {
            script::Error::TimedOut | script::Error::OutOfMemory => "script_limit",
            _ => "script_error",
        };
        self.services.counts.transformation_failed(&self.source.id, reason);
        let mut rejection = Rejection {
            reason: reason.to_owned(),
            detail: error.to_string(),
            message_id: names.message_id.clone(),
            r#type: names.kind.clone(),
            user_id: names.user_id.clone(),
            anonymous_id: names.anonymous_id.clone(),
            ..Rejection::default()
        };
        close(&mut rejection, &self.services.pseudonyms);
        rejection
    }

    fn shape(&self, text: &str) -> String {
        let mut parser = Parser::new();
        parser
            .parse(text.as_bytes())
            .map_or_else(|_| "{}".to_owned(), |t| transform::shape(t.root()))
    }
}
