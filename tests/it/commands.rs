//! The program as a process: commands, exit codes, signals.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::lake;

pub(crate) fn keelrow() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keelrow"))
}

/// Runs a command to its end with `input`.
pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = keelrow()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends early does not read all of it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration on `folder` with one source.
fn configuration(folder: &Path) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [journal]\npath = \"{0}/journal\"\nmax_bytes = \"1GiB\"\n\
         [storage]\nurl = \"{0}/lake\"\n\
         [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n",
        folder.display()
    )
}

#[test]
fn check_tells_all_faults_at_once_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    let wrong =
        configuration(folder.path()).replace("127.0.0.1:0\"\nadmin", "nowhere\"\nadmin").replace(
            "write_key = \"wk\"",
            "write_key = \"wk\"\nno_such_key = 1\ntransforms = [\"pii\", \"nope\"]",
        );
    std::fs::write(&file, wrong).unwrap();
    let output = run(&["check", "--config", file.to_str().unwrap()], "");
    let faults = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{faults}");
    assert!(faults.contains("http.listen") && faults.contains("no_such_key"), "{faults}");
    assert!(faults.contains("source[0].transforms = \"nope\""), "{faults}");
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let output = run(&["check", "--show", "--config", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("\"wk\""), "a key is shown");
}

#[test]
fn shipped_examples_are_right() {
    for example in ["minimal.toml", "mattermost.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        let mut command = keelrow();
        let output = command
            .args(["check", "--config", file.to_str().unwrap()])
            .env("WEBAPP_WRITE_KEY", "k")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{example}: {}", text(&output.stderr));
    }
}

#[test]
fn map_answers_one_line_for_each() {
    let lines = "{\"type\":\"track\",\"event\":\"A B\",\"messageId\":\"m\"}\nnot json\n";
    let output = run(&["map", "--dialect", "snowflake"], lines);
    let answers: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0][1]["metadata"]["table"], "A_B");
    assert!(answers[1]["error"].is_string());
}

#[test]
fn transform_keeps_lines_in_order_and_names_a_wrong_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let file = file.to_str().unwrap();
    let lines = "{\"type\":\"track\",\"properties\":{\"note\":\"mail kim@example.org\"}}\n\
        {\"path\":\"/v1/track\",\"writeKey\":\"wk\",\"body\":{\"traits\":{\"email\":\"k@e.org\"}}}\n";
    let output = run(&["transform", "--config", file], lines);
    let want = "{\"type\":\"track\",\"properties\":{\"note\":\"mail [email]\"}}\n\
        {\"path\":\"/v1/track\",\"writeKey\":\"wk\",\"body\":{\"traits\":{\"email\":\"[email]\"}}}\n";
    assert_eq!(text(&output.stdout), want);
    let wrong = "{}\n{\"path\":\"/v1/track\",\"writeKey\":\"nope\",\"body\":{}}\n";
    let output = run(&["transform", "--config", file], wrong);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 2"), "{}", text(&output.stderr));
}

/// A running `keelrow serve` and its log.
struct Served {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Served {
    fn start(file: &Path) -> Self {
        let mut child = keelrow()
            .args(["serve", "--log-json", "--config", file.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The fields of the next log line with this message.
    fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "ended before {message:?}");
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            if line["fields"]["message"] == message {
                return line["fields"].clone();
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

async fn post(public: &str, key: &str, body: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{public}/v1/track")).body(body.to_owned());
    request.basic_auth(key, Some("")).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_commits_what_was_acknowledged_and_sighup_takes_over_sources() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let mut served = Served::start(&file);
    let public = served.wait_for("accepting events")["public"].as_str().unwrap().to_owned();
    let event = |id: &str| format!(r#"{{"userId":"u","event":"e","messageId":"{id}"}}"#);
    assert_eq!(post(&public, "wk", &event("m-1")).await, 200);
    assert_eq!(post(&public, "wk-new", &event("m-2")).await, 401);
    let more = "[[source]]\nname = \"new\"\nenvironment = \"prod\"\nwrite_key = \"wk-new\"\n";
    std::fs::write(&file, configuration(folder.path()) + more).unwrap();
    served.signal("-HUP");
    served.wait_for("configuration taken over");
    assert_eq!(post(&public, "wk-new", &event("m-2")).await, 200);
    std::fs::write(&file, "nonsense = 1").unwrap();
    served.signal("-HUP");
    served.wait_for("new configuration refused, old one stays");
    assert_eq!(post(&public, "wk", &event("m-3")).await, 200);
    served.signal("-TERM");
    served.wait_for("stopping");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let rows = lake::rows(&folder.path().join("lake/unified/prod/user_events"));
    let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["m-1", "m-2", "m-3"]);
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let shown = run(&["tables", "--json", "--config", file.to_str().unwrap()], "");
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("user_events"), "{}", text(&shown.stdout));
}
