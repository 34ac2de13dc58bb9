//! What people and programs say around a value: whole sentences, in which words of context stand far
//! from it, behind the end of a sentence, or are those of something else.

use super::dice::Dice;
use super::numbers::{card, iban, imei, ipv4, mac};
use super::people::{birth, email, international, national, north_american, ssn, user};
use super::secrets::{credentials, password, token};

type Make = fn(&mut Dice) -> String;

/// Values, and what is said with `{}` in their place.
pub(super) const SAID: &[(&str, Make, &[&str])] = &[
    (
        "birth dates",
        birth,
        &[
            "For the records I need your date of birth. It's {}",
            "And when is your birthday? It is {}, thanks.",
            "Happy birthday! She was born {} in Oslo",
            "signup payload {\"birth_date\":\"{}\",\"plan\":\"pro\"}",
            "GET /signup?birth_date={}&step=2",
            "birth-date={}",
            "The patient (DOB {}) was moved to room 4",
            "Née à Lyon le {}",
            "nato a Bari il {}",
            "Geboren: {}",
            "född {}",
            "data urodzenia: {}",
            "nascido em {}",
        ],
    ),
    (
        "cards",
        card,
        &[
            "I was charged twice on {}. Can you refund one?",
            "Customer 17 pays with {}, valid until 12/29",
            "My new card {} was not delivered, the old one is blocked",
            "Is {} still stored with you?",
            "order 12 was paid by card {}",
            "Decline: {} (insufficient funds)",
        ],
    ),
    (
        "IBANs",
        iban,
        &[
            "Please send the refund to {} until Friday",
            "Our account {} has no incoming payment.",
            "from {}, to the landlord",
            "invoice 4411: transfer to {} failed",
        ],
    ),
    (
        "telephones",
        international,
        &[
            "You reach me under {} after six",
            "sms to {} not delivered (error 30003)",
            "My office is in Bonn, {}, second floor",
            "caller={} duration=12s",
        ],
    ),
    (
        "telephones of North America",
        north_american,
        &[
            "Our desk: {} or by mail",
            "Please ring back. {} is the line.",
            "ticket 4411 opened by {}",
        ],
    ),
    (
        "telephones within a country",
        national,
        &[
            "call me on {} please",
            "please call Anna at {}",
            "Bo called support from {} about ticket 4411",
            "fax no. {}",
            "text us: {}",
        ],
    ),
    (
        "addresses of the network",
        ipv4,
        &[
            "login from {} (new device)",
            "dial tcp {}:5432: i/o timeout",
            "https://lookup.example.com/hosts/{}:80/json",
            "The server at {} does not answer. Is it down?",
            r"connect failed\n{} refused\n",
        ],
    ),
    ("hardware", mac, &["device {} joined", "station mac:{} left", "ether {} txqueuelen 1000"]),
    ("IMEIs", imei, &["phone with IMEI {} reported stolen", "imei:{}", "device {} found"]),
    (
        "social security numbers",
        ssn,
        &["my social security number is {}", "{} is what the form says", "ssn-{} on file"],
    ),
    (
        "e-mail",
        email,
        &["Invite sent to {}; waiting", "user {} asked for a reset.", "Reply-To: <{}>"],
    ),
    (
        "secrets",
        password,
        &[
            "SECRET_KEY_BASE={}",
            "?password_confirmation={}&x=1",
            "<password>{}</password>",
            "password1={}",
            "ENCRYPTION_KEY=\"{}\"",
        ],
    ),
    ("tokens", token, &["the token {} was rejected", "retry with x-key {} failed"]),
    (
        "credentials",
        credentials,
        &[
            "dsn={}@tcp(db:3306)/app",
            "mm: {}@unix(/run/db.sock)/app",
            "clone //{}@git.example.com/r",
        ],
    ),
    (
        "home folders",
        user,
        &["cwd=/data/home/{}/x", "at f (webpack:///home/{}/src/x.js:1)", "log >/home/{}/x"],
    ),
];
