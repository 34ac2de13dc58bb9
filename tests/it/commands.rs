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
pub(crate) fn configuration(folder: &Path) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [journal]\npath = \"{0}/journal\"\nmax_bytes = \"1GiB\"\n\
         [storage]\nurl = \"{0}/lake\"\n\
         [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n",
        folder.display()
    )
}

#[test]
fn a_script_sees_the_type_that_the_path_gives() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    let script = "export const transformEvent = (e) => e.type === 'page' ? e : null;";
    std::fs::write(folder.path().join("pages.js"), script).unwrap();
    let with = configuration(folder.path())
        .replace("write_key = \"wk\"", "write_key = \"wk\"\ntransforms = [\"pages.js\"]");
    std::fs::write(&file, with).unwrap();
    let line = |path: &str, body: &str| {
        format!("{{\"path\":\"{path}\",\"writeKey\":\"wk\",\"body\":{body}}}\n")
    };
    let lines = [
        line("/v1/page", r#"{"name":"a","userId":"u"}"#),
        line("/v1/track", r#"{"event":"a"}"#),
        line("/v1/track", r#"{"type":"page"}"#),
        line("/v1/page", "{}"),
    ];
    let output = run(&["transform", "--config", file.to_str().unwrap()], &lines.concat());
    let answers: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies: Vec<String> = answers.iter().map(|answer| answer["body"].to_string()).collect();
    assert_eq!(bodies, [r#"{"name":"a","userId":"u"}"#, "null", r#"{"type":"page"}"#, "{}"]);
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
pub(crate) struct Served {
    pub(crate) child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Served {
    pub(crate) fn start(file: &Path) -> Self {
        let mut child = keelrow()
            .args(["serve", "--log-json", "--config", file.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The fields of the next log line with this message.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let fields = self.line();
            if fields["message"] == message {
                return fields;
            }
        }
    }

    /// Waits until a configuration with so many sources is taken over; gives the keys that wait
    /// for a restart.
    pub(crate) fn taken_over(&mut self, sources: usize) -> String {
        let mut keys = String::new();
        loop {
            let fields = self.line();
            match fields["message"].as_str() {
                Some("these changes need a restart") => {
                    keys = fields["keys"].as_str().unwrap().to_owned();
                }
                Some("configuration taken over") if fields["sources"] == sources => return keys,
                // That of an earlier one, which signal and file have both told of.
                Some("configuration taken over") => keys.clear(),
                _ => {}
            }
        }
    }

    /// The fields of the next log line.
    fn line(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "ended early");
            if let Ok(line) = serde_json::from_str::<Value>(&line) {
                return line["fields"].clone();
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
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

/// What waits for a restart is not let in by a later reload: a lake of two dialects is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn no_reload_takes_over_what_needs_a_restart() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    // Of the two dialects only the other one reads it.
    let start =
        configuration(folder.path()) + "layout = { json_paths = [\"track.properties.where\"] }\n";
    let change = "[load]\ndialect = \"snowflake\"\n[scripts]\nmemory = \"1MiB\"\n";
    std::fs::write(&file, &start).unwrap();
    let mut served = Served::start(&file);
    let public = served.wait_for("accepting events")["public"].as_str().unwrap().to_owned();
    // Each with one source more, so that it is known in the log.
    for (more, change, waits) in [
        (1, change, "load, scripts"),
        (2, "", ""),
        (3, change, "load, scripts"),
        (4, change, "load, scripts"),
    ] {
        let source = |n| {
            format!("[[source]]\nname = \"s{n}\"\nenvironment = \"prod\"\nwrite_key = \"s{n}\"\n")
        };
        let sources: String = (0..more).map(source).collect();
        std::fs::write(&file, format!("{start}{sources}{change}")).unwrap();
        served.signal("-HUP");
        assert_eq!(served.taken_over(1 + more), waits, "reload {more}");
    }
    let event = r#"{"userId":"u","event":"e","properties":{"where":{"at":1}}}"#;
    assert_eq!(post(&public, "wk", event).await, 200);
    served.signal("-TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let rows = lake::rows(&folder.path().join("lake/rudder-datalake/web_prod/e"));
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(row.get("where_at"), Some(&Value::from(1)), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pack_is_refused_with_its_place_and_the_old_one_stays() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let (file, packs) = (folder.path().join("keelrow.toml"), folder.path().join("transforms"));
    std::fs::create_dir(&packs).unwrap();
    let pack = packs.join("own.toml");
    std::fs::write(&pack, "[[rule]]\nkeys = [\"note\"]\naction = \"remove\"\n").unwrap();
    let sources = configuration(folder.path()) + "transforms = [\"own\"]\n";
    std::fs::write(&file, &sources).unwrap();
    let mut served = Served::start(&file);
    let public = served.wait_for("accepting events")["public"].as_str().unwrap().to_owned();
    let wrong = "[[rule]]\nkeys = [\"note\"]\n\naction = \"vanish\"\n";
    std::fs::write(&pack, wrong).unwrap();
    served.signal("-HUP");
    let refused = served.wait_for("new configuration refused, old one stays");
    let faults = refused["faults"].as_str().unwrap();
    assert!(faults.contains("own.toml") && faults.contains('4'), "{faults}");
    assert!(faults.contains("action") && faults.contains("vanish"), "{faults}");
    let event =
        r#"{"userId":"u","event":"e","messageId":"m","properties":{"note":"x1","kept":"y1"}}"#;
    assert_eq!(post(&public, "wk", event).await, 200);
    served.signal("-TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let rows = lake::rows(&folder.path().join("lake"));
    let text = format!("{rows:?}");
    assert!(text.contains("y1") && !text.contains("x1"), "{text}");
    let check = run(&["check", "--config", file.to_str().unwrap()], "");
    assert_eq!(check.status.code(), Some(2), "{}", text_of(&check));
}

#[test]
fn what_a_pack_keeps_is_kept_from_those_behind_it_but_not_behind_a_script() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("shop.toml", "[[rule]]\nkeys = [\"contact\"]\naction = \"keep\"\n");
    write("same.js", "export function transformEvent(event) { return event; }");
    let file = folder.path().join("keelrow.toml");
    let event = r#"{"properties":{"contact":"a@b.de","x":"a@b.de"}}"#;
    for (transforms, contact) in [
        ("\"pii\"", "[email]"),
        ("\"shop\", \"pii\"", "a@b.de"),
        ("\"same\", \"shop\", \"pii\"", "a@b.de"),
        ("\"shop\", \"same\", \"pii\"", "[email]"),
    ] {
        let sources = configuration(folder.path()) + &format!("transforms = [{transforms}]\n");
        std::fs::write(&file, sources).unwrap();
        let config = file.to_str().unwrap();
        let out = run(&["transform", "--config", config, "--source", "web"], event);
        let out: Value = serde_json::from_slice(&out.stdout).unwrap();
        let wanted = serde_json::json!({"contact": contact, "x": "[email]"});
        assert_eq!(out["properties"], wanted, "{transforms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_in_a_sub_folder_is_taken_over_when_it_changes() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let script = "import { word } from './words/of/one.js';
        export function transformEvent(event) { event.properties = { word }; return event; }";
    write("transforms/own.js", script);
    write("transforms/words/of/one.js", "export const word = 'first';");
    let sources =
        |script: &str| configuration(folder.path()) + &format!("transforms = [{script:?}]\n");
    std::fs::write(&file, sources("own")).unwrap();
    let mut served = Served::start(&file);
    let public = served.wait_for("accepting events")["public"].as_str().unwrap().to_owned();
    let event = |id: &str| format!(r#"{{"userId":"u","event":"e","messageId":"{id}"}}"#);
    assert_eq!(post(&public, "wk", &event("m-1")).await, 200);
    write("transforms/words/of/one.js", "export const word = 'second';");
    served.wait_for("configuration taken over");
    assert_eq!(post(&public, "wk", &event("m-2")).await, 200);
    // Folders that a reload brings are watched too.
    write("elsewhere/own.js", script);
    write("elsewhere/words/of/one.js", "export const word = 'third';");
    std::fs::write(&file, sources("elsewhere/own.js")).unwrap();
    served.wait_for("configuration taken over");
    assert_eq!(post(&public, "wk", &event("m-3")).await, 200);
    write("elsewhere/words/of/one.js", "export const word = 'fourth';");
    served.wait_for("configuration taken over");
    assert_eq!(post(&public, "wk", &event("m-4")).await, 200);
    served.signal("-TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let rows = lake::rows(&folder.path().join("lake/unified/prod/user_events"));
    let mut words: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["word"].as_str().unwrap()))
        .collect();
    words.sort_unstable();
    assert_eq!(words, [("m-1", "first"), ("m-2", "second"), ("m-3", "third"), ("m-4", "fourth")]);
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn transform_knows_shapes_names_and_a_folder_of_cases() {
    let folder = tempfile::tempdir().unwrap();
    let (file, packs) = (folder.path().join("keelrow.toml"), folder.path().join("transforms"));
    std::fs::create_dir_all(packs.join("cases")).unwrap();
    let script = "export function transformEvent(event, metadata) {
        const { sourceId, sourceName, sourceType } = metadata(event);
        if (event.event === 'drop') return null;
        const told = { ...event, told: [sourceId, sourceName, sourceType] };
        return event.event === 'two' ? [told, told] : told; }";
    std::fs::write(packs.join("own.js"), script).unwrap();
    std::fs::write(packs.join("shop.toml"), "[[rule]]\nkeys = [\"n\"]\naction = \"remove\"\n")
        .unwrap();
    let case = r#"{"name": "n goes", "input": {"n": 1, "m": 2}, "expected": {"m": 2}}"#;
    std::fs::write(packs.join("cases/shop.jsonl"), case).unwrap();
    let two = "[[source]]\nname = \"web\"\nenvironment = \"qa\"\nwrite_key = \"qk\"\n";
    let own = "platform = \"web\"\ntransforms = [\"own\", \"pii\"]\n";
    std::fs::write(&file, configuration(folder.path()) + own + two).unwrap();
    let file = file.to_str().unwrap();
    let lines = r#"{"path":"/beacon/v1/batch","writeKey":"wk","body":{"batch":[{"event":"drop"},{"event":"two","m":"a@b.de"}]}}
{"path":"/v1/track","writeKey":"wk","body":{"event":"drop"}}
{"path":"/pixel/v1/track","writeKey":"qk","body":{"event":"e","properties":{"m":"a@b.de"}}}
"#;
    let told = r#""told":["web_prod","web","web"]"#;
    let want = format!(
        r#"{{"path":"/beacon/v1/batch","writeKey":"wk","body":{{"batch":[null,[{{"event":"two","m":"[email]",{told}}},{{"event":"two","m":"[email]",{told}}}]]}}}}
{{"path":"/v1/track","writeKey":"wk","body":null}}
{{"path":"/pixel/v1/track","writeKey":"qk","body":{{"event":"e","properties":{{"m":"[email]"}}}}}}
"#
    );
    let output = run(&["transform", "--config", file], lines);
    assert_eq!(text(&output.stdout), want, "{}", text(&output.stderr));
    let ambiguous = run(&["transform", "--config", file, "--source", "web"], "{}\n");
    assert_eq!(ambiguous.status.code(), Some(2));
    assert!(text(&ambiguous.stderr).contains("line 1"), "{}", text_of(&ambiguous));
    let by_id = run(&["transform", "--config", file, "--source", "web_qa"], "{\"a\":\"a@b.de\"}\n");
    assert_eq!(text(&by_id.stdout), "{\"a\":\"[email]\"}\n");
    let tested = run(&["transform", "test", "--config", file], "");
    assert_eq!(tested.status.code(), Some(0), "{}", text_of(&tested));
    assert!(text(&tested.stdout).contains("1 passed"), "{}", text_of(&tested));
    let typo = case.replace("\"name\"", "\"title\"");
    std::fs::write(packs.join("cases/shop.jsonl"), typo).unwrap();
    let tested = run(&["transform", "test", "--config", file], "");
    assert_ne!(tested.status.code(), Some(0), "{}", text_of(&tested));
    assert!(text_of(&tested).contains("unknown key `title`"), "{}", text_of(&tested));
}

/// A port of this machine at which nobody listens.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_lake_that_is_away_is_to_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = "s3://lake/x";
    let endpoint = &format!("http://127.0.0.1:{}", dead_port());
    let config = configuration(folder.path()).replace(
        &format!("url = \"{}/lake\"", folder.path().display()),
        &format!("url = \"{url}\""),
    );
    let file = folder.path().join("keelrow.toml");
    std::fs::write(&file, config).unwrap();
    let (file, out) = (file.to_str().unwrap(), folder.path().join("out"));
    let out = out.to_str().unwrap();
    let commands: [&[&str]; 7] = [
        &["tables", "--config", file],
        &["sql", "--dialect", "duckdb", "--config", file],
        &["dbt", "--out", out, "--config", file],
        &["columns", "suggest", "--config", file],
        &["unified", "rebuild", "user_events", "--config", file],
        &["schema", "diff", url, url],
        &["schema", "diff", file, file],
    ];
    std::thread::scope(|scope| {
        for arguments in commands {
            scope.spawn(move || {
                let output = keelrow()
                    .args(arguments)
                    .env("AWS_ENDPOINT", endpoint)
                    .env("AWS_ALLOW_HTTP", "true")
                    .env("AWS_ACCESS_KEY_ID", "k")
                    .env("AWS_SECRET_ACCESS_KEY", "s")
                    .env("AWS_REGION", "us-east-1")
                    .output()
                    .unwrap();
                let told = text(&output.stderr);
                assert_eq!(output.status.code(), Some(75), "{arguments:?}: {told}");
                assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
            });
        }
    });
}

#[test]
fn a_configuration_without_a_lake_has_no_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelrow.toml");
    std::fs::write(&file, configuration(folder.path())).unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["schema", "diff", file, file], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(&["tables", "--config", file], "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_of_whatever_prints() {
    for arguments in [&["completions", "bash"][..], &["openapi"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = keelrow().args(arguments).stdout(full).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.starts_with("keelrow: ") && !told.contains("panicked"), "{told}");
    }
}
