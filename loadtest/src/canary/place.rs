//! Puts canaries into every place a client can write to: each string and key of each kind of event,
//! whole, amid text, in a URL's query and in JSON within a string; sent singly, in batches, as
//! beacons, pixels and webhooks; in events that are refused or rejected; in headers and paths.

use std::collections::BTreeMap;

use base64::Engine;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::value::{self, Canary, Kind};
use crate::rng::Rng;

/// How a value stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// Nothing but the value.
    Whole,
    /// Amid words.
    Text,
    /// Percent-encoded in a query.
    Url,
    /// In JSON text within the string.
    Json,
    /// As an object's key.
    Key,
}

const FORMS: [Form; 4] = [Form::Whole, Form::Text, Form::Url, Form::Json];

/// Where a canary was put.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The value.
    pub(crate) canary: Canary,
    /// Path of the place, such as `track properties.label`.
    pub(crate) place: String,
    /// How it stands there.
    pub(crate) form: Form,
}

/// One request to send, without the Host header.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Method and path with query.
    pub(crate) line: String,
    /// Further header lines, each with its line end.
    pub(crate) headers: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Whether the server keeps something of it.
    pub(crate) kept: bool,
}

/// Everything that is sent.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// The requests, in order.
    pub(crate) letters: Vec<Letter>,
    /// The canaries in them.
    pub(crate) placed: Vec<Placed>,
}

impl Mail {
    /// Canaries by kind.
    pub(crate) fn census(&self) -> BTreeMap<Kind, usize> {
        let mut census = BTreeMap::new();
        for placed in &self.placed {
            *census.entry(placed.canary.kind).or_default() += 1;
        }
        census
    }
}

/// A source that takes what is sent.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Write keys of ordinary sources.
    pub(crate) sdk: Vec<String>,
    /// Write key of a webhook source, if there is one.
    pub(crate) webhook: Option<String>,
}

const EVENT_KINDS: [&str; 7] = ["track", "page", "screen", "identify", "group", "alias", "merge"];

/// Writes all the mail of `seed`.
pub(crate) fn write(keys: &Keys, seed: u64) -> Mail {
    let mut post = Post { keys, rng: Rng::lane(seed, 0xCA9A), mail: Mail::default(), turn: 0 };
    // Each place meets each kind in each form: forms times kinds turns.
    for turn in 0..FORMS.len() * value::BY_FORM.len() {
        post.turn = turn;
        for kind in EVENT_KINDS {
            post.event(kind);
        }
        post.bad_events();
        post.pixel();
        post.webhook();
        post.around();
    }
    post.mail
}

struct Post<'a> {
    keys: &'a Keys,
    rng: Rng,
    mail: Mail,
    turn: usize,
}

impl Post<'_> {
    fn event(&mut self, kind: &str) {
        let event = self.filled(kind);
        let singles = self.turn % 3;
        if singles == 0 && kind != "merge" {
            self.send(&format!("/v1/{kind}"), &event, true);
            return;
        }
        let context = self.walk(json!({"traits": {"note": "S"}, "note": "S"}), "batch context");
        let batch = json!({"batch": [event], "context": context, "sentAt": SENT_AT});
        if singles == 1 { self.send("/v1/batch", &batch, true) } else { self.beacon(&batch) }
    }

    /// Events that go to the rejected table, and bodies that are refused as a whole.
    fn bad_events(&mut self) {
        let mut unknown = self.filled("track");
        set(&mut unknown, "type", self.place("type", &value::BY_FORM, self.form()));
        let mut nobody = self.filled("track");
        for key in ["userId", "anonymousId"] {
            set(&mut nobody, key, json!(""));
        }
        let bare = self.place("element", &value::BY_FORM, self.form());
        let good = self.filled("identify");
        let batch = json!({"batch": [unknown, nobody, bare, [5], good], "sentAt": SENT_AT});
        self.send("/v1/batch", &batch, true);
        // The same id for another event: kept as rejected, with its payload.
        let id = value::harmless_id(&mut self.rng);
        for _ in 0..2 {
            let mut event = self.filled("track");
            set(&mut event, "messageId", json!(id));
            self.send("/v1/track", &event, true);
        }
        let mut late = self.filled("page");
        for key in ["originalTimestamp", "timestamp", "sentAt"] {
            let time = self.place(key, &value::BY_FORM, self.form());
            set(&mut late, key, time);
        }
        self.send("/v1/page", &late, true);
        let refused = self.filled("track");
        let mut text = refused.to_string().into_bytes();
        text.truncate(text.len() - 1);
        let headers = self.authorization();
        self.letter("POST /v1/track", headers, text, false);
    }

    fn pixel(&mut self) {
        let key = self.key();
        let mut query = format!("writeKey={}", percent(&key));
        for name in ["event", "userId", "anonymousId", "properties.label", "context.page.url"] {
            let kinds: &[Kind] =
                if name.ends_with("Id") { &value::IN_IDS } else { &value::BY_FORM };
            let canary = Canary::new(self.kind(kinds, query.len()), &mut self.rng);
            query.push_str(&format!("&{name}={}", percent(&canary.text)));
            self.note(canary, &format!("pixel {name}"), Form::Whole);
        }
        let referrer = self.place("pixel referrer", &value::BY_FORM, Form::Url);
        let referrer = referrer.as_str().unwrap_or_default();
        let headers = format!("Referer: {referrer}\r\nUser-Agent: canary\r\n");
        self.letter(&format!("GET /pixel/v1/track?{query}"), headers, Vec::new(), true);
    }

    fn webhook(&mut self) {
        let Some(key) = self.keys.webhook.clone() else { return };
        let body = self.walk(json!({"note": "S", "list": ["S", {"deep": "S"}]}), "webhook");
        let line = format!("POST /v1/webhook?writeKey={}", percent(&key));
        let headers = "Content-Type: application/json\r\n".to_owned();
        self.letter(&line, headers, body.to_string().into_bytes(), true);
    }

    /// Headers, paths and keys of requests: nothing of them belongs into any file or output.
    fn around(&mut self) {
        let canary = |post: &mut Self, place: &str| {
            let canary = Canary::new(Kind::Email, &mut post.rng);
            let text = canary.text.clone();
            post.note(canary, place, Form::Whole);
            text
        };
        let cookie = canary(self, "header Cookie");
        let anonymous = canary(self, "header AnonymousId");
        let encoded = base64::engine::general_purpose::STANDARD.encode(anonymous);
        let mut headers = self.authorization();
        headers.push_str(&format!("Cookie: rl_trait={cookie}\r\nAnonymousId: {encoded}\r\n"));
        let event = json!({"userId": "u1", "event": "around", "sentAt": SENT_AT});
        self.letter("POST /v1/track", headers, event.to_string().into_bytes(), true);
        let path = percent(&canary(self, "path"));
        self.letter(&format!("GET /v1/{path}"), String::new(), Vec::new(), false);
        let key = percent(&canary(self, "query writeKey"));
        let line = format!("POST /beacon/v1/batch?writeKey={key}");
        let body = event.to_string().into_bytes();
        self.letter(&line, String::new(), body.clone(), false);
        let user = canary(self, "header Authorization");
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:"));
        self.letter("POST /v1/track", format!("Authorization: Basic {encoded}\r\n"), body, false);
    }

    /// An event of `kind` with a canary in each of its places.
    fn filled(&mut self, kind: &str) -> Value {
        let mut event = self.walk(template(kind), kind);
        set(&mut event, "type", json!(kind));
        for key in ["messageId", "userId", "anonymousId", "previousId", "groupId"] {
            if event.get(key).is_some() {
                let id = self.place(&format!("{kind} {key}"), &value::IN_IDS, Form::Whole);
                set(&mut event, key, id);
            }
        }
        event
    }

    /// Puts canaries in place of every "S" and, as keys, beside them.
    fn walk(&mut self, value: Value, path: &str) -> Value {
        match value {
            Value::String(text) if text == "S" => {
                let (kinds, form) = self.fitting(path);
                self.place(path, kinds, form)
            }
            Value::Array(items) => {
                let path = format!("{path}[]");
                items.into_iter().map(|item| self.walk(item, &path)).collect()
            }
            Value::Object(members) => {
                let mut out = Map::new();
                for (key, member) in members {
                    let under = format!("{path}.{key}");
                    if key == "K" {
                        let kind = self.kind(&value::IN_NAMES, path.len());
                        let canary = Canary::new(kind, &mut self.rng);
                        out.insert(canary.text.clone(), self.walk(member, &under));
                        self.note(canary, path, Form::Key);
                        continue;
                    }
                    out.insert(key, self.walk(member, &under));
                }
                Value::Object(out)
            }
            other => other,
        }
    }

    /// Which kinds a place can hold without asking more than is promised, and in which form.
    fn fitting(&self, path: &str) -> (&'static [Kind], Form) {
        let last = path.rsplit('.').next().unwrap_or_default();
        match last {
            "password" | "apiSecret" => (&[Kind::Secret], Form::Whole),
            "firstName" | "lastName" => (&[Kind::Name], Form::Whole),
            "event" => (&value::IN_NAMES, self.form()),
            _ if ["context.library", "context.app", "context.os", "userAgent", "version"]
                .iter()
                .any(|protected| path.contains(protected)) =>
            {
                (&value::IN_VERSIONS, Form::Whole)
            }
            _ => (&value::BY_FORM, self.form()),
        }
    }

    fn form(&self) -> Form {
        FORMS.get(self.turn / value::BY_FORM.len() % FORMS.len()).copied().unwrap_or(Form::Whole)
    }

    fn kind(&self, kinds: &[Kind], offset: usize) -> Kind {
        let index = (self.turn + offset) % kinds.len().max(1);
        kinds.get(index).copied().unwrap_or(Kind::Email)
    }

    /// The JSON string of a new canary for `place`.
    fn place(&mut self, place: &str, kinds: &[Kind], form: Form) -> Value {
        let kind = self.kind(kinds, place.len());
        let canary = Canary::new(kind, &mut self.rng);
        let value = &canary.text;
        let text = match form {
            Form::Whole | Form::Key => value.clone(),
            Form::Text => amid(kind, value),
            Form::Url => format!("https://example.com/a?q={}&b=1", percent(value)),
            Form::Json => json!({ "note": value, "n": 1 }).to_string(),
        };
        self.note(canary, place, form);
        Value::String(text)
    }

    fn note(&mut self, canary: Canary, place: &str, form: Form) {
        self.mail.placed.push(Placed { canary, place: place.to_owned(), form });
    }

    fn key(&mut self) -> String {
        self.rng.pick(&self.keys.sdk).cloned().unwrap_or_default()
    }

    fn authorization(&mut self) -> String {
        let user = format!("{}:", self.key());
        let encoded = base64::engine::general_purpose::STANDARD.encode(user);
        format!("Authorization: Basic {encoded}\r\n")
    }

    fn send(&mut self, path: &str, body: &Value, kept: bool) {
        let headers = self.authorization();
        self.letter(&format!("POST {path}"), headers, body.to_string().into_bytes(), kept);
    }

    fn beacon(&mut self, body: &Value) {
        let line = format!("POST /beacon/v1/batch?writeKey={}", percent(&self.key()));
        let headers = "Content-Type: text/plain\r\n".to_owned();
        self.letter(&line, headers, body.to_string().into_bytes(), true);
    }

    fn letter(&mut self, line: &str, headers: String, body: Vec<u8>, kept: bool) {
        self.mail.letters.push(Letter { line: line.to_owned(), headers, body, kept });
    }
}

const SENT_AT: &str = "2026-06-15T00:05:41.865Z";

fn set(event: &mut Value, key: &str, value: Value) {
    if let Some(members) = event.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}

/// The value amid words that belong to it.
fn amid(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Email => format!("Grüße, please write to {value} today"),
        Kind::Phone => format!("call me at {value} after six"),
        Kind::Card => format!("my card {value} was refused"),
        Kind::Iban => format!("IBAN {value}, thank you"),
        Kind::Ipv4 | Kind::Ipv6 => format!("connection from {value} refused"),
        Kind::Token | Kind::Jwt => format!("used token {value} twice"),
        Kind::Secret | Kind::Name => value.to_owned(),
    }
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What an event of `kind` may hold; every `"S"` becomes a canary, every key `"K"` is one.
fn template(kind: &str) -> Value {
    let mut event = json!({
        "messageId": "", "userId": "", "anonymousId": "",
        "channel": "S",
        "originalTimestamp": "2026-06-15T00:05:39.865Z",
        "sentAt": SENT_AT,
        "context": {
            "app": {"name": "S", "namespace": "S", "version": "S"},
            "campaign": {"name": "S", "source": "S", "term": "S", "content": "S"},
            "device": {"id": "S", "model": "S", "name": "S", "manufacturer": "S"},
            "ip": "S", "library": {"name": "S", "version": "S"}, "locale": "S",
            "location": {"city": "S", "region": "S"}, "network": {"carrier": "S"},
            "os": {"name": "S", "version": "S"},
            "page": {"path": "S", "referrer": "S", "search": "S", "title": "S", "url": "S"},
            "referrer": {"id": "S", "link": "S"}, "timezone": "S", "userAgent": "S",
            "traits": {"note": "S", "password": "S", "firstName": "S", "nested": {"deep": "S", "K": 1}},
            "custom": {"a": {"b": {"c": "S"}}, "list": ["S", {"d": "S"}, ["S"]], "K": "S"}
        },
        "integrations": {"All": true, "Custom": {"option": "S"}},
        "_metadata": {"nodeVersion": "S"}, "unlisted": "S"
    });
    let properties = json!({
        "label": "S", "text": "S", "link": "S", "apiSecret": "S", "lastName": "S",
        "nested": {"a": {"b": "S"}, "K": true}, "list": ["S", ["S", {"x": "S"}]],
        "products": [{"name": "S", "sku": "S"}], "K": "S"
    });
    let own = match kind {
        "track" => json!({"event": "S", "properties": properties, "userProperties": {"note": "S"}}),
        "page" | "screen" => json!({"name": "S", "category": "S", "properties": properties}),
        "identify" => json!({"traits": properties, "userProperties": {"note": "S"}}),
        "group" => json!({"groupId": "", "traits": properties}),
        "alias" => json!({"previousId": "", "traits": {"note": "S"}}),
        _ => json!({"mergeProperties": [
            {"type": "email", "value": "S"}, {"type": "custom", "value": "S"}
        ]}),
    };
    if let (Value::Object(event), Value::Object(own)) = (&mut event, own) {
        event.extend(own);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(seed: u64) -> Mail {
        let keys = Keys { sdk: vec!["k".to_owned()], webhook: Some("w".to_owned()) };
        write(&keys, seed)
    }

    #[test]
    fn every_kind_of_event_place_form_and_value_is_used() {
        let mail = mail(1);
        let census = mail.census();
        assert_eq!(census.len(), 10, "{census:?}");
        assert!(census.values().all(|count| *count > 50), "{census:?}");
        for kind in EVENT_KINDS {
            let path = format!("{kind}.context.page.url");
            let met: std::collections::BTreeSet<_> = mail
                .placed
                .iter()
                .filter(|placed| placed.place == path)
                .map(|placed| (placed.canary.kind, placed.form))
                .collect();
            assert_eq!(met.len(), 32, "{path} meets every kind in every form");
        }
        assert!(mail.placed.iter().any(|placed| placed.form == Form::Key));
        for start in
            ["POST /v1/track", "POST /v1/batch", "POST /beacon", "GET /pixel", "POST /v1/webhook"]
        {
            assert!(mail.letters.iter().any(|letter| letter.line.starts_with(start)), "{start}");
        }
        assert!(mail.letters.iter().any(|letter| !letter.kept));
    }

    #[test]
    fn no_place_is_forgotten_and_equal_seeds_write_equal_mail() {
        let mail = mail(1);
        let left = mail.letters.iter().any(|letter| {
            let text = String::from_utf8_lossy(&letter.body);
            text.contains("\"S\"") || text.contains("\"K\"")
        });
        assert!(!left, "every S and K was replaced");
        let texts = |mail: &Mail| mail.letters.iter().map(|l| l.body.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&mail), texts(&self::mail(1)));
        assert_ne!(texts(&mail), texts(&self::mail(2)));
    }
}
