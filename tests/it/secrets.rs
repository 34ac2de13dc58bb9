//! No secret of a configuration is ever shown, and the admin listener lets nobody in without its
//! token: asked of the program as a process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;

/// Long enough for a privacy key, and found nowhere else.
const CANARY: &str = "CANARY-7f31-not-to-be-seen-anywhere";

/// SHA-256 of "abc", from FIPS 180-2.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn configuration(folder: &Path) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_token = \"token\"\n\
         [journal]\npath = \"{0}/journal\"\nmax_bytes = \"1GiB\"\n[storage]\nurl = \"{0}/lake\"\n\
         [privacy]\nkey = \"privacy-privacy-privacy-privacy-privacy\"\n\
         [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n",
        folder.display()
    )
}

/// What a command writes, and its exit code; `serve` is ended as soon as it takes events.
fn told(folder: &Path, text: &str, command: &[&str], variables: &[(&str, String)]) -> String {
    let file = folder.join("keelrow.toml");
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keelrow"))
        .args(command)
        .args(["--config", file.to_str().unwrap()])
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("CANARY_REFERENCE", CANARY)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"userId\":\"u\"}\n").ok();
    let mut said = String::new();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    while log.read_line(&mut said).unwrap() > 0 {
        if said.contains("accepting events") {
            child.kill().unwrap();
        }
    }
    said + &String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout)
}

/// Right and wrong configurations with a secret in every place that can hold one, and in places
/// where one may end up by mistake.
fn with_canaries(good: &str) -> Vec<String> {
    let list = format!("[\"{CANARY}\"]");
    let in_place = |what: &str, with: &str| good.replace(what, with);
    let mut texts = vec![
        good.replace("\"wk\"", &format!("\"{CANARY}\""))
            .replace("\"token\"", &format!("\"{CANARY}\"")),
        good.replace("\"wk\"", "\"${CANARY_REFERENCE}\""),
        good.replace("privacy-privacy-privacy-privacy-privacy", CANARY),
        good.replace("\"token\"", "\"${CANARY_REFERENCE}\""),
    ];
    for wrong in [
        format!("\"{CANARY}"),
        format!("\"{CANARY}\" x"),
        CANARY.to_owned(),
        format!("\" {CANARY} \""),
        format!("\"{CANARY}:\""),
        list.clone(),
        format!("{{ x = \"{CANARY}\" }}"),
        "\"${CANARY_REFERENCE} x\"".to_owned(),
    ] {
        texts.push(in_place("\"wk\"", &wrong));
        texts.push(in_place("\"token\"", &wrong));
        texts.push(in_place("\"privacy-privacy-privacy-privacy-privacy\"", &wrong));
        texts.push(in_place("write_key = \"wk\"", &format!("write_keys = {wrong}")));
        texts.push(in_place("write_key = \"wk\"", &format!("write_key_sha256 = {wrong}")));
    }
    texts
        .push(in_place("admin_token", "admin_tokn").replace("\"token\"", &format!("\"{CANARY}\"")));
    texts.push(format!("{good}write_keys = {list}\n[[source]]\nname = \"b\"\nenvironment = \"prod\"\nwrite_key = \"{CANARY}\"\n"));
    let address = good.lines().find(|line| line.starts_with("url")).unwrap();
    for url in [
        "s3://AKIA:{}@bucket/x",
        "az://bucket/x?sig={}",
        "gs://bucket/x#{}",
        "ftp://u:{}@host/x",
        "s3://{}@",
    ] {
        texts.push(in_place(address, &format!("url = \"{}\"", url.replace("{}", CANARY))));
    }
    let public = format!("public_url = \"https://u:{CANARY}@host/\"\nadmin_token");
    texts.push(in_place("admin_token", &public));
    texts
}

#[test]
fn no_command_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let good = configuration(folder.path());
    let commands = [&["check", "--show"][..], &["check"], &["serve"], &["transform"], &["tables"]];
    let texts = with_canaries(&good);
    for (number, text) in texts.iter().enumerate() {
        // Faults are the same whatever the command, so the others take turns.
        for command in [commands[0], commands[1 + number % 4]] {
            let said = told(folder.path(), text, command, &[]);
            assert!(!said.contains("CANARY-7f31"), "{command:?} of\n{text}\nsays\n{said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    for (name, value) in [
        ("KEELROW__HTTP__ADMIN_TOKEN", CANARY.to_owned()),
        ("KEELROW__HTTP__ADMIN_TOKEN", format!("[\"{CANARY}\"]")),
        ("KEELROW__HTTP__ADMIN_TOKN", CANARY.to_owned()),
        ("KEELROW__PRIVACY__KEY", CANARY.to_owned()),
        ("KEELROW__SOURCE__0__WRITE_KEY", CANARY.to_owned()),
        ("KEELROW__SOURCE__0__WRITE_KEYS", format!("[\"{CANARY}\", [")),
        ("KEELROW__SOURCE__0__WRITE_KEY_SHA256", CANARY.to_owned()),
        ("KEELROW__STORAGE__URL", format!("s3://AKIA:{CANARY}@bucket/x")),
        ("KEELROW__NO__SUCH__KEY", CANARY.to_owned()),
    ] {
        for command in &commands[..2] {
            let said = told(folder.path(), &good, command, &[(name, value.clone())]);
            assert!(!said.contains("CANARY-7f31"), "{command:?} with {name} says\n{said}");
        }
    }
    // The configuration without canaries is right, so that the above is about them.
    assert!(told(folder.path(), &good, &["serve"], &[]).contains("accepting events"));
}

#[test]
fn an_admin_listener_in_the_open_needs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let open = configuration(folder.path())
        .replace("admin_listen = \"127.0.0.1:0\"", "admin_listen = \"0.0.0.0:0\"");
    for text in [open.replace("admin_token = \"token\"\n", ""), open.replace("\"token\"", "\" \"")]
    {
        let said = told(folder.path(), &text, &["serve"], &[]);
        assert!(said.contains("http.admin_token") && !said.contains("accepting"), "{said}");
    }
    assert!(told(folder.path(), &open, &["serve"], &[]).contains("accepting events"));
}

/// A program that serves, ended with the test.
struct Served {
    child: Child,
    public: String,
    admin: String,
}

impl Served {
    fn start(folder: &Path, text: &str) -> Self {
        let file = folder.join("keelrow.toml");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_keelrow"))
            .args(["serve", "--log-json", "--config", file.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut served = Self { child, public: String::new(), admin: String::new() };
        let mut log = BufReader::new(served.child.stderr.take().unwrap());
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
            let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let field = |name: &str| line["fields"][name].as_str().map(str::to_owned);
            if let (Some(public), Some(admin)) = (field("public"), field("admin")) {
                (served.public, served.admin) = (public, admin);
                return served;
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn keys_and_tokens_open_what_they_should() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let hashed = format!("write_key_sha256 = \"{ABC}\"");
    let text = configuration(folder.path()).replace("write_key = \"wk\"", &hashed);
    let served = Served::start(folder.path(), &text);
    let client =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    for (token, status) in [
        (None, 401),
        (Some("Bearer token"), 200),
        (Some("bearer token"), 200),
        (Some("Bearer toke"), 401),
        (Some("Bearer tokenn"), 401),
        (Some("Bearer"), 401),
        (Some("Basic token"), 401),
        (Some("token"), 401),
    ] {
        for path in ["/metrics", "/health/live", "/health/ready", "/nowhere"] {
            let mut request = client.get(format!("http://{}{path}", served.admin));
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let answer = request.send().await.unwrap();
            let wanted = if status == 200 && path == "/nowhere" { 404 } else { status };
            assert_eq!(answer.status().as_u16(), wanted, "{path} {token:?}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }
    for (key, status) in [("abc", 200), (ABC, 401), ("ab", 401), ("abcd", 401)] {
        let key = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let request = client.post(format!("http://{}/v1/track", served.public));
        let request =
            request.header("authorization", format!("Basic {key}")).body("{\"userId\":\"u\"}");
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
    for path in ["/metrics", "/health/live", "/health/ready"] {
        let answer = client.get(format!("http://{}{path}", served.public)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404, "{path} is public");
    }
}
