//! The demo's sample traffic: what web, desktop and mobile SDKs send, with personal data in it.

use std::error::Error;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Personal data in the sample events: none of it may be found in a file.
pub(super) const PERSONAL: [&str; 6] = [
    "kim.doe@example.org",
    "Kim Doe",
    "+1 202 555 0143",
    "4111 1111 1111 1111",
    "198.51.100.77",
    "/home/kimdoe/",
];

/// Posts all of it and returns the number of events.
pub(super) async fn post(gateway: SocketAddr) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut posted = 0;
    for environment in ["prod", "rc", "qa"] {
        for (app, events) in [("web", web()), ("desktop", desktop()), ("mobile", mobile())] {
            let events: Vec<Value> = events
                .into_iter()
                .enumerate()
                .map(|(n, event)| stamped(event, app, environment, n))
                .collect();
            posted += events.len();
            let body = json!({"batch": events, "sentAt": "2026-01-15T09:30:05.000Z"}).to_string();
            let key = STANDARD.encode(format!("demo-{app}-{environment}:"));
            client
                .post(format!("http://{gateway}/v1/batch"))
                .header("authorization", format!("Basic {key}"))
                .header("content-type", "application/json")
                .header("x-forwarded-for", PERSONAL[4])
                .body(body)
                .send()
                .await?
                .error_for_status()?;
        }
    }
    Ok(posted)
}

/// Gives an event its ids and times. The messageId is the same at every start of the demo, so a
/// second start shows the repeats left out.
fn stamped(mut event: Value, app: &str, environment: &str, number: usize) -> Value {
    let fields = json!({
        "messageId": format!("demo-{app}-{environment}-{number}"),
        "anonymousId": format!("anonymous-{app}"),
        "userId": "u-4711",
        "originalTimestamp": format!("2026-01-15T09:30:0{}.000Z", number % 5),
    });
    if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
        event.extend(fields);
    }
    event
}

fn web() -> Vec<Value> {
    let context = json!({
        "library": {"name": "RudderLabs JavaScript SDK", "version": "3.34.1"},
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36",
        "page": {"path": "/town-square", "url": "https://chat.example.org/town-square?email=kim.doe@example.org"},
        "traits": {"email": "kim.doe@example.org", "plan": "team"},
    });
    vec![
        json!({"type": "identify", "context": context, "traits": {
            "email": "kim.doe@example.org", "name": "Kim Doe", "phone": "+1 202 555 0143",
            "plan": "team", "seats": 12}}),
        json!({"type": "page", "name": "Town Square", "context": context,
            "properties": {"path": "/town-square", "load_ms": 412.5}}),
        json!({"type": "track", "event": "Post Created", "context": context, "properties": {
            "words": 42, "channel_kind": "public",
            "note": "ask kim.doe@example.org or call +1 202 555 0143"}}),
        json!({"type": "track", "event": "Plan Upgraded", "context": context, "properties": {
            "price": 129.90, "currency": "EUR", "receipt": "card 4111 1111 1111 1111"}}),
    ]
}

fn desktop() -> Vec<Value> {
    let context = json!({
        "library": {"name": "RudderLabs JavaScript SDK", "version": "3.34.1"},
        "app": {"name": "Chat Desktop", "version": "6.1.0"},
        "os": {"name": "Linux", "version": "6.8"},
    });
    vec![
        json!({"type": "track", "event": "App Started", "context": context, "properties": {
            "cold": true, "duration_ms": 1840, "log_file": "/home/kimdoe/.config/chat/main.log"}}),
        json!({"type": "track", "event": "Post Created", "context": context, "properties": {
            "words": 7, "channel_kind": "direct"}}),
    ]
}

fn mobile() -> Vec<Value> {
    let context = json!({
        "library": {"name": "com.rudderstack.android.sdk.core", "version": "1.28.0"},
        "app": {"name": "Chat", "version": "2.19.0", "build": "558"},
        "device": {"manufacturer": "Fairphone", "model": "FP6", "type": "Android"},
        "os": {"name": "Android", "version": "16"},
        "network": {"carrier": "none", "wifi": true},
    });
    vec![
        json!({"type": "screen", "name": "Channel", "context": context, "properties": {"depth": 2}}),
        json!({"type": "track", "event": "Notification Opened", "context": context,
            "properties": {"delay_ms": 950, "from_ip": "198.51.100.77"}}),
        json!({"type": "track", "event": "Post Created", "context": context, "properties": {
            "words": 3, "channel_kind": "public", "dictated": true}}),
    ]
}
