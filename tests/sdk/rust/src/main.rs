//! Sends a job's calls through RudderStack's or Segment's Rust crate.
//!
//! Usage: `sdk-rust < job.json`, as jobs.py writes it. Neither crate keeps a queue: what a send
//! reports as failed is sent again by the caller, here as a program would do it.

use std::error::Error;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Sends of one message before the program gives up.
const ATTEMPTS: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);
/// Events of one batch.
const BATCH: usize = 4;

#[derive(Deserialize)]
struct Job {
    sdk: String,
    url: String,
    #[serde(rename = "writeKey")]
    write_key: String,
    calls: Vec<Call>,
    interval_ms: u64,
}

#[derive(Deserialize)]
struct Call {
    call: String,
    name: Option<String>,
    id: Option<String>,
    user: String,
    marker: String,
    fields: Map<String, Value>,
}

impl Call {
    /// The call in the words that the message types of both crates read.
    fn message(&self) -> Value {
        let Self { call, name, id, user, fields, .. } = self;
        let mut message = match call.as_str() {
            "track" => json!({"type": call, "userId": user, "event": name, "properties": fields}),
            "identify" => json!({"type": call, "userId": user, "traits": fields}),
            "group" => json!({"type": call, "userId": user, "groupId": id, "traits": fields}),
            "alias" => json!({"type": call, "userId": user, "previousId": id}),
            _ => json!({"type": call, "userId": user, "name": name, "properties": fields}),
        };
        // Segment's types want it there; the crate or the gateway sets it.
        message["timestamp"] = Value::Null;
        message
    }
}

fn main() -> Result<()> {
    let job: Job = serde_json::from_reader(io::stdin().lock())?;
    match job.sdk.as_str() {
        "rudder-rust" => rudder(&job, 1),
        "rudder-rust-batch" => rudder(&job, BATCH),
        "segment-rust" | "segment-rust-batch" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(segment(&job)),
        other => Err(format!("no such SDK: {other}").into()),
    }
}

fn rudder(job: &Job, size: usize) -> Result<()> {
    use rudderanalytics::client::RudderAnalytics;
    use rudderanalytics::message::{Batch, BatchMessage, Message};

    let client = RudderAnalytics::load(job.write_key.clone(), job.url.clone());
    let deliver = |message: &Message| {
        for _ in 1..ATTEMPTS {
            if client.send(message).is_ok() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        client.send(message)
    };
    for calls in job.calls.chunks(size) {
        let mut batch = Vec::new();
        for call in calls {
            batch.push(serde_json::from_value::<BatchMessage>(call.message())?);
        }
        if size > 1 {
            deliver(&Message::Batch(Batch { batch, ..Batch::default() }))?;
        } else {
            for message in batch {
                deliver(&match message {
                    BatchMessage::Identify(message) => Message::Identify(message),
                    BatchMessage::Track(message) => Message::Track(message),
                    BatchMessage::Page(message) => Message::Page(message),
                    BatchMessage::Screen(message) => Message::Screen(message),
                    BatchMessage::Group(message) => Message::Group(message),
                    BatchMessage::Alias(message) => Message::Alias(message),
                })?;
            }
        }
        std::thread::sleep(Duration::from_millis(job.interval_ms));
    }
    Ok(())
}

async fn segment(job: &Job) -> Result<()> {
    use segment::message::{BatchMessage, Message};
    use segment::{Batcher, Client, HttpClient};

    let client = HttpClient::new(reqwest::Client::new(), job.url.clone());
    let deliver = async |message: Message| {
        for _ in 1..ATTEMPTS {
            if client.send(job.write_key.clone(), message.clone()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        client.send(job.write_key.clone(), message.clone()).await
    };
    for calls in job.calls.chunks(BATCH) {
        let mut batcher = Batcher::new(None);
        for call in calls {
            let mut message = call.message();
            if job.sdk == "segment-rust-batch" {
                // The crate makes no messageId, but sends what it does not know of: with one of
                // the caller's, a batch that is sent twice counts once.
                message["messageId"] = call.marker.clone().into();
                batcher.push(serde_json::from_value::<BatchMessage>(message)?)?;
            } else {
                deliver(match serde_json::from_value(message)? {
                    BatchMessage::Identify(message) => Message::Identify(message),
                    BatchMessage::Track(message) => Message::Track(message),
                    BatchMessage::Page(message) => Message::Page(message),
                    BatchMessage::Screen(message) => Message::Screen(message),
                    BatchMessage::Group(message) => Message::Group(message),
                    BatchMessage::Alias(message) => Message::Alias(message),
                })
                .await?;
            }
            tokio::time::sleep(Duration::from_millis(job.interval_ms)).await;
        }
        if !batcher.is_empty() {
            deliver(batcher.into_message()).await?;
        }
    }
    Ok(())
}
