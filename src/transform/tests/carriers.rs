//! Values of every type in every place of an event that can carry a text: none may come out.

use serde_json::{Value as Json, json};

use super::golden::Run;
use crate::transform::detect::tests::variants::samples;

/// Values of each type.
const EACH: usize = 40;

type Carrier = (&'static str, fn(&str) -> Json);

/// Each puts a value into an event.
const CARRIERS: &[Carrier] = &[
    ("a property", |v| json!({"properties": {"note": v}})),
    ("a text", |v| json!({"properties": {"note": format!("we saw {v} there")}})),
    ("a list", |v| json!({"properties": {"list": [1, [v], {"k": [v]}]}})),
    ("a key", |v| json!({"properties": {v: 1}})),
    ("a key within a text", |v| json!({"context": {"deep": {format!("opened {v}"): {"x": 1}}}})),
    ("the event's name", |v| json!({"type": "track", "event": format!("Opened {v}")})),
    ("JSON in a string", |v| json!({"properties": {"j": json!({"k": v}).to_string()}})),
    ("a key of JSON in a string", |v| json!({"properties": {"j": json!({v: 1}).to_string()}})),
    ("JSON in JSON in a string", |v| {
        let inner = json!([{"k": v}]).to_string();
        json!({"properties": {"j": json!({"inner": inner}).to_string()}})
    }),
    ("JSON in a string, cut off", |v| {
        let whole = json!({"a": 1, "k": v, "z": 2}).to_string();
        json!({"properties": {"j": whole.trim_end_matches('}')}})
    }),
    ("JSON behind a word", |v| json!({"properties": {"j": format!("body: {}", json!({"k": v}))}})),
    (
        "a query",
        |v| json!({"context": {"page": {"url": format!("https://x.de/p?q={}&l=de", percent(v))}}}),
    ),
    (
        "a fragment",
        |v| json!({"context": {"page": {"url": format!("https://x.de/p#{}", percent(v))}}}),
    ),
    ("a query within a query", |v| {
        let inner = percent(&format!("/p?q={}", percent(v)));
        json!({"context": {"page": {"referrer": format!("https://x.de/?next={inner}")}}})
    }),
    ("JSON in a query", |v| {
        let inner = percent(&json!({"k": v}).to_string());
        json!({"context": {"page": {"search": format!("?state={inner}")}}})
    }),
    ("traits", |v| json!({"traits": {"bio": v}, "context": {"traits": {"x": {"y": v}}}})),
    ("an integration", |v| json!({"integrations": {"Some": {"option": v}}})),
    ("a time", |v| json!({"originalTimestamp": v, "sentAt": v})),
    ("a channel", |v| json!({"channel": v, "anything": v})),
];

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The value as it may be spelled in what came out: as it is, within JSON, within JSON in JSON,
/// percent-encoded.
fn spellings(value: &str) -> Vec<String> {
    let quoted = |text: &str| Json::from(text).to_string().trim_matches('"').to_owned();
    let once = quoted(value);
    let (twice, encoded) = (quoted(&once), percent(value));
    vec![value.to_owned(), twice, once, percent(&encoded), encoded]
}

#[test]
fn no_carrier_brings_a_value_through() {
    let mut run = Run::new();
    let values = samples(7, EACH);
    let mut leaks = Vec::new();
    for (carrier, make) in CARRIERS {
        for (kind, value) in &values {
            let out = run.apply(&make(value));
            assert!(serde_json::from_str::<Json>(&out).is_ok(), "{out}");
            if spellings(value).iter().any(|spelled| out.contains(spelled)) {
                leaks.push(format!("{kind} in {carrier}: {out}"));
            }
        }
    }
    let sent = values.len() * CARRIERS.len();
    let shown = leaks.iter().step_by(leaks.len() / 40 + 1).cloned().collect::<Vec<_>>();
    assert!(leaks.len() * 500 <= sent, "{} of {sent}\n{}", leaks.len(), shown.join("\n"));
}

/// Names of secrets and of what belongs to people, in the spellings of several languages' habits.
const TELLING: &[&str] = &[
    "password",
    "userPassword",
    "DB_PASSWORD",
    "passwd",
    "pwd",
    "secret",
    "client_secret",
    "clientSecret",
    "api_key",
    "apiKey",
    "X-Api-Key",
    "auth_token",
    "accessToken",
    "refresh_token",
    "id_token",
    "privateKey",
    "Authorization",
    "cookie",
    "csrfToken",
    "sessionToken",
    "firstName",
    "last_name",
    "Full-Name",
    "surname",
    "email",
    "e-mail",
    "emailAddress",
    "user_email",
    "phone",
    "phoneNumber",
    "mobile_phone",
    "homePhone",
    "street",
    "address_line_1",
    "postalCode",
    "dateOfBirth",
    "date_of_birth",
    "birthday",
    "dob",
    "ssn",
    "passportNumber",
    "iban",
    "cardNumber",
    "credit_card",
    "imei",
    "macAddress",
    "authtoken",
    "AUTHTOKEN",
    "mmauthtoken",
    "MMAUTHTOKEN",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "apitoken",
    "csrftoken",
    "userapikey",
    "appsecret",
    "userpassword",
    "newpassword",
    "passwordHash",
    "userPasswort",
    "pass",
    "pin",
    "userfirstname",
    "mobilephone",
    "userphonenumber",
    "email_1",
    "email2",
    "phone1",
    "phone_2",
];

/// Keys in whose names those of secrets and people stand as a part, and those that tell of a secret
/// without holding it.
const HARMLESS: &[&str] = &[
    "mapping",
    "shipping",
    "spinning",
    "opinion",
    "compass",
    "bypass",
    "passenger",
    "passive",
    "pass_rate",
    "boarding_pass",
    "tokens_used",
    "token_count",
    "max_tokens",
    "secretary",
    "passwordless",
    "password_changed_at",
    "passwordChangedAt",
    "password_reset_sent_at",
    "password_strength",
    "headphone",
    "microphone",
    "smartphone",
    "phone_model",
    "email_count",
    "keyboard",
    "hotkey",
];

#[test]
fn keys_that_say_so_take_any_value() {
    let mut run = Run::new();
    let value = "Qua zzyx vorn";
    for key in TELLING {
        for event in [
            json!({"properties": {*key: value}}),
            json!({"traits": {"deep": [{*key: {"inner": [value]}}]}}),
            json!({"properties": {"j": json!({*key: value}).to_string()}}),
        ] {
            let out = run.apply(&event);
            assert!(!out.contains(value), "{key}: {out}");
        }
    }
}

#[test]
fn keys_that_only_sound_alike_keep_their_values() {
    let mut run = Run::new();
    for key in HARMLESS {
        for value in [json!("weekly plan"), json!(12), json!("2024-05-01T10:00:00Z")] {
            let event = json!({"properties": {*key: value}});
            assert_eq!(run.apply(&event), event.to_string(), "{key}");
        }
    }
    for key in ["has_password", "haspassword", "email_verified", "is_phone", "userpassword"] {
        let event = json!({"properties": {key: true}});
        assert_eq!(run.apply(&event), event.to_string(), "{key}");
    }
}
