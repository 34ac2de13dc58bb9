//! The program from outside: signals, exit codes, servers behind TLS. Needs the keelrow program beside it,
//! which a build of the whole workspace makes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn keelrow() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("keelrow");
    assert!(path.is_file(), "build the whole workspace: {} is not there", path.display());
    path
}

fn loadtest(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `look` finds something, a minute at most.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within a minute");
}

/// Name, state and parent of a process.
fn process(id: u32) -> Option<(String, String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (front, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let (state, parent) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    Some((front.split_once('(')?.1.to_owned(), state, parent))
}

/// The keelrow that the process `parent` started.
fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let (name, _, its) = process(id)?;
        (name == "keelrow" && its == parent).then_some(id)
    })
}

/// Nobody may be there to collect what a dead parent left, so that a zombie is as good as gone.
fn is_gone(id: u32) -> bool {
    process(id).is_none_or(|(name, state, _)| name != "keelrow" || state == "Z")
}

/// The admin address that a keelrow was told; a process that is only just becoming one has none yet.
fn admin_of(server: u32) -> Option<String> {
    let environment = text(&fs::read(format!("/proc/{server}/environ")).ok()?);
    let mut lines = environment.split('\0');
    lines.find_map(|line| line.strip_prefix("KEELROW__HTTP__ADMIN_LISTEN=")).map(str::to_owned)
}

/// Events that the server at `admin` has taken.
fn received(admin: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(admin).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let line = answer
        .lines()
        .find(|line| line.starts_with("keelrow_events_total") && line.contains("\"received\""))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A run of an hour against a keelrow of its own, which has taken some events.
struct Running {
    run: Child,
    words: BufReader<ChildStderr>,
    server: u32,
    folder: TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let program = keelrow().display().to_string();
        let mut command = loadtest(&["run", "single", "--keelrow", &program, "--json"]);
        command.args(["--rate", "300", "--duration", "1h", "--warm-up", "0s"]);
        command.args(["--data", &at("data"), "--ledger", &at("ledger"), "--out", &at("out")]);
        let mut run = command.args(["--html", &at("html")]).spawn().unwrap();
        let server = until("a server", || child_of(run.id()));
        let admin = until("its address", || admin_of(server));
        until("events", || received(&admin).filter(|count| *count > 50));
        let words = BufReader::new(run.stderr.take().unwrap());
        Self { run, words, server, folder }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.run), signal).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        line
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn the_first_signal_ends_the_schedule_and_all_that_was_sent_is_reported() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Running::start();
        running.signal(signal);
        assert!(running.line().contains("ends early"));
        let mut out = String::new();
        running.run.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(running.run.wait().unwrap().code(), Some(130));
        assert!(is_gone(running.server));
        let report: Value = serde_json::from_str(&out).unwrap();
        let counts = &report["outcome"]["counts"];
        assert_eq!(report["cut_short"], true);
        assert!(counts["events_taken"].as_u64().unwrap() > 50, "{counts}");
        assert_eq!((&counts["given_up"], &counts["abandoned"]), (&0.into(), &0.into()), "{counts}");
        assert!(report["seed"].as_u64().unwrap() > 1, "for the same events once more");
        let written: Value =
            serde_json::from_slice(&fs::read(running.file("out")).unwrap()).unwrap();
        assert_eq!(written["cut_short"], true);
        assert!(fs::read_to_string(running.file("html")).unwrap().contains("CUT SHORT"));
        // What the ledger says is what the lake has, one by one.
        let (ledger, lake) = (running.file("ledger"), running.file("data/lake"));
        let (ledger, lake) = (ledger.display().to_string(), lake.display().to_string());
        let proof = loadtest(&["verify", "--ledger", &ledger, "--lake", &lake, "--json"]);
        let proof = answered(proof);
        assert_eq!(proof.status.code(), Some(0), "{}", text(&proof.stdout));
        let proof: Value = serde_json::from_slice(&proof.stdout).unwrap();
        assert!(proof["notes"][0].as_str().unwrap().contains("cut short"), "{proof}");
        assert!(proof["loaded_once"].as_u64().unwrap() > 50, "{proof}");
    }
}

#[test]
fn the_second_signal_ends_everything_at_once() {
    let mut running = Running::start();
    // A server that stands still gives no answer that could be waited for.
    kill_process(Pid::from_raw(running.server.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    running.signal(Signal::INT);
    assert!(running.line().contains("ends early"));
    running.signal(Signal::INT);
    assert!(running.line().contains("ended at once"));
    assert_eq!(running.run.wait().unwrap().code(), Some(130));
    assert!(is_gone(running.server));
    let mut out = String::new();
    running.run.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "", "there is no report");
}

#[test]
fn a_server_does_not_outlive_a_harness_that_is_killed() {
    let mut running = Running::start();
    running.run.kill().unwrap();
    running.run.wait().unwrap();
    until("the server's end", || is_gone(running.server).then_some(()));
}

fn answered(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn a_wrong_use_ends_with_2_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let url = "--url=http://127.0.0.1:1";
    let wrong = put(
        "wrong.toml",
        "description = ''\nrate = 0.0\n[traffic]\n[[source]]\nname = 'a'\nclient = 'web'\n",
    );
    let empty = put("empty.pem", "");
    let far = format!("--html={}/no/such/page.html", folder.path().display());
    let bare = put("bare.md", "# Figures\n");
    let (program, ca) = (keelrow().display().to_string(), format!("--ca={empty}"));
    let rows: [(&[&str], &str); 20] = [
        (&["run", "nope", url], "no profile nope"),
        (&["run", &wrong, url], "rate must be above 0"),
        (&["run", "single", "--url=127.0.0.1:80"], "must begin with http"),
        (&["run", "single", "--url=http://127.0.0.1:x"], "x is no port"),
        (&["run", "single", url, "--rate=0"], "--rate"),
        (&["run", "single", url, "--rate=inf"], "--rate"),
        (&["run", "single", url, "--duration=0s"], "--duration"),
        (&["run", "single", url, "--duration=5"], "needs a unit"),
        (&["run", "single", url, "--connections=0"], "--connections"),
        (&["run", "single", url, "--connections=60000"], "connections must be"),
        (&["run", "single", url, "--config=/no/such.toml"], "/no/such.toml"),
        (&["run", "single", url, &far], "its folder is not there"),
        (&["run", "single", "--url=https://127.0.0.1:1", &ca], "holds no certificate"),
        (&["run", "single", "--keelrow=/no/such/program"], "/no/such/program is no program"),
        (&["verify", "--lake=/no/such/lake"], "is no lake"),
        (&["verify", "--ledger=/no/such/ledger", "--lake", &program], "is no lake"),
        (&["compare", "--keelrow", &program, "--rounds=0"], "--rounds"),
        (&["compare", "--keelrow", &program, "--markdown=/no/such.md"], "read /no/such.md"),
        (&["compare", "--keelrow", &program, "--markdown", &bare], "has no <!-- loadtest compare"),
        (&["crash", "--keelrow", &program, "--rate=-1"], "--rate"),
    ];
    for (words, expected) in rows {
        let output = answered(loadtest(words));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{words:?}");
    }
    // What is right and does not work is another thing.
    let output = answered(loadtest(&["run", "single", url]));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot reach http://127.0.0.1:1"),
        "{}",
        text(&output.stderr)
    );
}

/// A keelrow that speaks TLS, until it is dropped.
struct Secured {
    child: Child,
    port: String,
}

fn certificate() -> String {
    golden("certificate.pem")
}

fn golden(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("tests/golden/http").join(name).display().to_string()
}

/// A configuration with the profile's source, and TLS.
fn configuration(folder: &Path) -> String {
    let (certificate, key, at) = (certificate(), golden("key.pem"), folder.display());
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n\
         [journal]\npath = \"{at}/journal\"\n[storage]\nurl = \"{at}/lake\"\n\
         [[source]]\nname = \"secure\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n"
    )
}

impl Secured {
    fn start(folder: &Path) -> Self {
        let file = folder.join("keelrow.toml");
        fs::write(&file, configuration(folder)).unwrap();
        let mut command = Command::new(keelrow());
        command.args(["serve", "--log-json", "--config"]).arg(&file);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = log.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let told = log.find(|line| line["fields"]["message"] == "accepting events").unwrap();
        let public = told["fields"]["public"].as_str().unwrap();
        let port = public.rsplit_once(':').unwrap().1.to_owned();
        // What it says later must not fill the pipe.
        std::thread::spawn(move || log.count());
        Self { child, port }
    }

    /// A short run against it.
    fn run(&self, host: &str, words: &[&str]) -> Output {
        let url = format!("--url=https://{host}:{}", self.port);
        let mut command = loadtest(&["run", "batch50-gzip", &url, "--write-key=wk", "--json"]);
        command.args(["--rate=2000", "--connections=4", "--duration=500ms", "--warm-up=0s"]);
        command.args(words);
        answered(command)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_server_behind_tls_is_measured_and_its_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Secured::start(folder.path());
    let ca = format!("--ca={}", certificate());
    // The name is in the certificate, the address is not.
    for (host, words) in [("localhost", ca.as_str()), ("127.0.0.1", "--insecure")] {
        let output = server.run(host, &[words]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (counts, url) = (&report["outcome"]["counts"], &report["url"]);
        assert!(counts["events_taken"].as_u64().unwrap() >= 50, "{counts}");
        assert_eq!((&counts["broken"], &counts["unexpected"]), (&0.into(), &0.into()), "{counts}");
        assert!(url.as_str().unwrap().starts_with("https://"), "{url}");
        assert!(report["server"]["version"].is_string(), "{}", report["server"]);
    }
    for (host, words) in [("localhost", &[][..]), ("127.0.0.1", &[ca.as_str()][..])] {
        let output = server.run(host, words);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert!(text(&output.stderr).contains("certificate"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_configuration_with_tls_is_served_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    fs::write(&file, configuration(folder.path())).unwrap();
    let (file, program) = (file.display().to_string(), keelrow().display().to_string());
    let mut command = loadtest(&["run", "batch50", "--keelrow", &program, "--config", &file]);
    command.args(["--verify", "--rate=1000", "--duration=500ms", "--warm-up=0s", "--json"]);
    let output = answered(command);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["conservation"]["loaded_once"].as_u64().unwrap() >= 50);
}

#[test]
fn a_seed_that_was_sent_before_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let program = keelrow().display().to_string();
    let run = || {
        let mut command = loadtest(&["run", "batch50", "--keelrow", &program, "--seed=7"]);
        command.args(["--data", &data, "--rate=1000", "--duration=500ms", "--warm-up=0s"]);
        command.arg("--connections=1");
        let output = answered(command);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(!run().contains("REPEATS"));
    let again = run();
    assert!(again.contains("REPEATS") && again.contains("seed                    7"), "{again}");
}
