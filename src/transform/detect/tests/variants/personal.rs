//! Which personal values and secrets there are, and where each may stand.

use super::dice::Dice;
use super::frames::ANY;
use super::numbers::{card, iban, imei, ipv4, ipv6, mac, printed_card};
use super::people::{bare_ssn, birth, email, international, national, north_american, ssn, user};
use super::secrets::{bearer, credentials, jwt, password, pem, token, wallet};

/// A type of value, its maker and where it may stand.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) make: fn(&mut Dice) -> String,
    pub(super) frames: &'static [(&'static str, &'static str)],
    /// The name before it in a query, with its `=`, and what follows before the next `&`.
    pub(super) query: (&'static str, &'static str),
}

const fn kind(name: &'static str, make: fn(&mut Dice) -> String) -> Kind {
    Kind { name, make, frames: ANY, query: ("q=", "") }
}

const fn known(
    name: &'static str,
    make: fn(&mut Dice) -> String,
    frames: &'static [(&'static str, &'static str)],
    query: (&'static str, &'static str),
) -> Kind {
    Kind { name, make, frames, query }
}

pub(super) const KINDS: &[Kind] = &[
    kind("e-mail", email),
    known("e-mail in its places", email, MAILS, ("mailto:", "")),
    kind("phone, international", international),
    kind("phone, North American", north_american),
    known("phone, national, announced", national, CALLS, ("phone=", "")),
    kind("card", card),
    kind("card, as printed", printed_card),
    kind("IBAN", iban),
    kind("SSN", ssn),
    known("SSN, announced", bare_ssn, SOCIAL, ("ssn=", "")),
    kind("IPv4", ipv4),
    known("IPv4 in its places", ipv4, HOSTS, ("ip=", ":8080")),
    kind("IPv6", ipv6),
    known("IPv6 in its places", ipv6, HOSTS6, ("ip=", "")),
    kind("MAC", mac),
    kind("IMEI", imei),
    kind("JWT", jwt),
    kind("token", token),
    known("bearer", bearer, BEARERS, ("auth=", "")),
    kind("PEM", pem),
    known("credentials", credentials, URLS, ("u=ftp://", "@host.example.com/x")),
    known("home folder, Windows", user, WINDOWS, ("p=C:\\Users\\", "\\x.txt")),
    known("home folder, Unix", user, UNIX, ("p=/Users/", "/x.txt")),
    known("secret, assigned", password, SECRETS, ("password=", "")),
    known("secret, quoted", password, QUOTED, ("api_key=\"", "\"")),
    kind("wallet", wallet),
    known("birth date", birth, BIRTHS, ("dob=", "")),
];

const MAILS: &[(&str, &str)] = &[
    ("mailto:", "?subject=hi"),
    ("feedback from ", ": love it!"),
    ("login failed for ", " from web"),
    ("to=", "&cc="),
    ("Cc: <", ">, Bo"),
    ("user:", ";"),
    ("https://example.com/u/", "/edit"),
    ("e-mail:", ""),
    ("smtp;550 5.1.1 <", "> unknown"),
    ("User ", " (id 7) left"),
];
const CALLS: &[(&str, &str)] = &[
    ("phone: ", ""),
    ("Phone ", " is wrong"),
    ("my phone number is ", ", thanks"),
    ("call me at ", " please"),
    ("Tel. ", ""),
    ("Tel.: ", "\n"),
    ("mobile=", ";"),
    ("Fax: ", ""),
    ("SMS code sent to ", ""),
    ("whatsapp ", ""),
    ("Telefon: ", ""),
    ("{\"phoneNumber\":\"", "\"}"),
    ("{\"mobile\": \"", "\"}"),
    ("tel:", ""),
    ("cell ", " or mail"),
    ("dial ", " now"),
];
const SOCIAL: &[(&str, &str)] = &[
    ("SSN: ", ""),
    ("ssn ", " on file"),
    ("social security number is ", "."),
    ("{\"ssn\":\"", "\"}"),
    ("Social Security No. ", ""),
];
const HOSTS: &[(&str, &str)] = &[
    ("dial tcp ", ":5432: connect: connection refused"),
    ("http://", "/index.html"),
    ("https://", ":8443/x?y=1"),
    ("x-forwarded-for: 0.0.0.0, ", ", 127.0.0.1"),
    ("remote=", " user=7"),
    ("net ", "/24"),
    ("anna@", " closed"),
    ("from ", ". Retrying"),
    ("ssh://", ":22/"),
    ("postgres://", ":5432/db"),
    ("[", "]:22"),
    ("client ", "#53"),
    ("tcp/", ":443"),
];
const HOSTS6: &[(&str, &str)] = &[
    ("[", "]:443"),
    ("http://[", "]/x"),
    ("net ", "/64"),
    ("from ", "%eth0"),
    ("ip=", ", next"),
    ("addr:", ";"),
    ("src ", " dst"),
];
const BEARERS: &[(&str, &str)] = &[
    ("Authorization: Bearer ", ""),
    ("authorization: bearer ", ", x"),
    ("\"Authorization\": \"Bearer ", "\""),
    ("-H 'Authorization: Token ", "'"),
    ("Proxy-Authorization: Basic ", "\r\n"),
];
const URLS: &[(&str, &str)] = &[
    ("https://", "@git.example.com/org/repo.git"),
    ("postgres://", "@db:5432/app?sslmode=off"),
    ("clone http://", "@intranet/ failed"),
    ("amqp://", "@mq.example.com"),
    ("redis://", "@cache:6379/0"),
    ("mongodb+srv://", "@c.example.net/x"),
    ("smtp://", "@mail.example.com:587"),
    ("\"ftp://", "@files.example.com/\""),
];
const WINDOWS: &[(&str, &str)] = &[
    ("at C:\\Users\\", "\\AppData\\Local\\mm.exe"),
    ("c:\\users\\", "\\x.txt"),
    ("\"D:\\\\Users\\\\", "\\\\Desktop\\\\a.log\""),
    ("C:/Users/", "/Documents/x"),
    ("C:\\Documents and Settings\\", "\\x"),
    ("file:///C:/Users/", "/a.js"),
    ("\\\\server\\Users\\", "\\x"),
    ("C:\\Users\\", ""),
];
const UNIX: &[(&str, &str)] = &[
    ("ENOENT: open '/Users/", "/Library/app.log'"),
    ("/home/", "/.config/x"),
    ("/home/", "/app/main.go:12"),
    ("cd /home/", ""),
    ("file:///home/", "/x"),
    ("/Users/", ""),
    ("path=/home/", "/a b"),
    ("(/Users/", "/src/x.ts:3:4)"),
    ("/export/home/", "/x"),
    ("/mnt/c/Users/", "/x"),
    ("at f (file:///Users/", "/x.js:1:2)"),
];
const SECRETS: &[(&str, &str)] = &[
    ("password=", ""),
    ("user=x password=", " host=y"),
    ("?token=", "&y=1"),
    ("client_secret=", "&grant=1"),
    ("PGPASSWORD=", " psql"),
    ("DB_PASSWORD=", "\n"),
    ("api_key=", ""),
    ("pwd=", ";"),
    ("export AWS_SECRET_ACCESS_KEY=", ""),
    ("X-Api-Key=", ""),
    ("--password=", " run"),
    ("sessionid=", "; path=/"),
];
const QUOTED: &[(&str, &str)] = &[
    ("{\"password\": \"", "\"}"),
    ("{\"auth_token\":\"", "\",\"a\":1}"),
    ("{\\\"secret\\\":\\\"", "\\\"}"),
    ("{'api_key': '", "'}"),
    ("apiKey: \"", "\""),
    ("password = \"", "\""),
    ("secret => '", "'"),
    ("passwd: '", "'"),
    ("\"clientSecret\" : \"", "\""),
];
const BIRTHS: &[(&str, &str)] = &[
    ("born ", ", lives"),
    ("She was born on ", ". Her"),
    ("DOB: ", ""),
    ("date of birth: ", ""),
    ("Date of Birth - ", ""),
    ("dob=", "&x=1"),
    ("birthday is ", ""),
    ("{\"birthDate\":\"", "\"}"),
    ("{\"date_of_birth\": \"", "\"}"),
    ("geboren am ", ""),
    ("Geburtsdatum: ", ""),
    ("née le ", ""),
    ("Né le ", " à Lyon"),
    ("date de naissance : ", ""),
    ("fecha de nacimiento: ", ""),
    ("data di nascita ", ""),
];
