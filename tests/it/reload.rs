//! What a reload takes over, step by step in this process.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use keelrow::app::Prints;
use keelrow::config::{self, Environment};

use crate::gateway::Gateway;

const EVENT: &str = r#"{"userId":"u","event":"e","properties":{"note":"n1"}}"#;

/// A folder with a configuration.
struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keelrow.toml");
        fs::create_dir_all(folder.path().join("transforms/words")).unwrap();
        Self { folder, file }
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }

    /// The configuration with this write key; `more` belongs to its source.
    fn configure(&self, key: &str, http: &str, more: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n{http}\n\
             [journal]\npath = \"{folder}/journal\"\nmax_bytes = \"1GiB\"\n\
             [storage]\nurl = \"{folder}/lake\"\n\
             [[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"{key}\"\n{more}\n"
        );
        self.put("keelrow.toml", &text);
    }

    /// Starts as `serve` does; `meanwhile` is done between reading the configuration and starting.
    async fn start(&self, meanwhile: impl FnOnce()) -> (Gateway, Prints) {
        let before = Prints::of_file(&self.file);
        let config = config::load(&self.file, &Environment::new()).unwrap();
        meanwhile();
        (Gateway::of(config).await.unwrap(), before)
    }

    fn lake(&self, table: &str) -> PathBuf {
        self.folder.path().join("lake/rudder-datalake/web_prod").join(table)
    }
}

/// The statuses that these keys are answered with.
async fn answers(gateway: &Gateway, keys: [&str; 2]) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (status, key) in statuses.iter_mut().zip(keys) {
        *status = gateway.try_post("/v1/track", key, EVENT).await.status;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_changes_while_it_is_read_is_taken_over() {
    let place = Place::new();
    place.configure("old", "", "");
    let (gateway, before) = place.start(|| place.configure("new", "", "")).await;
    assert_eq!(answers(&gateway, ["old", "new"]).await, [200, 401]);
    let mut reloader = gateway.reloader(before);
    reloader.reload_if_changed();
    assert_eq!(answers(&gateway, ["old", "new"]).await, [401, 200]);
    // Nothing has changed since.
    reloader.reload_if_changed();
    reloader.reload_if_changed();
    assert_eq!(gateway.metric("keelrow_config_reloads_total{result=\"done\"}").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_refused_configuration_waits_for_is_watched() {
    let place = Place::new();
    place.configure("old", "", "");
    let (gateway, before) = place.start(|| {}).await;
    let mut reloader = gateway.reloader(before);
    let list = place.folder.path().join("elsewhere/list.txt");
    fs::create_dir(list.parent().unwrap()).unwrap();
    place.configure("new", "", "");
    let more = format!("\n[privacy]\nsuppression_file = \"{}\"\n", list.display());
    fs::write(&place.file, fs::read_to_string(&place.file).unwrap() + &more).unwrap();
    reloader.reload_if_changed();
    assert_eq!(answers(&gateway, ["old", "new"]).await, [200, 401]);
    assert!(reloader.watched().1.contains(list.parent().unwrap()));
    fs::write(&list, "").unwrap();
    reloader.reload_if_changed();
    assert_eq!(answers(&gateway, ["old", "new"]).await, [401, 200]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_from_a_pipe_stays() {
    let mut place = Place::new();
    place.configure("piped", "", "");
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(&fs::read(&place.file).unwrap()).unwrap();
    drop(write);
    place.file = PathBuf::from(format!("/dev/fd/{}", read.as_raw_fd()));
    let (gateway, before) = place.start(|| {}).await;
    assert!(!gateway.reloader(before).reload());
    assert_eq!(answers(&gateway, ["piped", "other"]).await, [200, 401]);
    assert_eq!(gateway.metric("keelrow_config_reloads_total{result=\"failed\"}").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transformation_that_changes_while_the_program_starts_is_taken_over() {
    let script = "import { word } from './words/one.js';
        export function transformEvent(event) { return { ...event, event: word }; }";
    for (path, text) in [
        ("transforms/own.js", script.replace("event: word", "event: word + '_changed'")),
        ("transforms/words/one.js", "export const word = 'first_changed';".to_owned()),
    ] {
        let place = Place::new();
        place.put("transforms/own.js", script);
        place.put("transforms/words/one.js", "export const word = 'first';");
        place.configure("key", "", "transforms = [\"own\"]");
        let (gateway, before) = place.start(|| ()).await;
        // It was read, and nobody watches yet.
        place.put(path, &text);
        let mut reloader = gateway.reloader(before);
        gateway.post("/v1/track", "key", EVENT).await;
        reloader.reload_if_changed();
        gateway.post("/v1/track", "key", EVENT).await;
        gateway.flush().await;
        reloader.reload_if_changed();
        assert_eq!(gateway.metric("keelrow_config_reloads_total{result=\"done\"}").await, 1);
        gateway.stop().await;
        let there = |table: &str| place.lake(table).is_dir();
        assert!(there("first") && there("first_changed"), "{path}");
    }
}

/// A webhook is measured twice, at the edge and by the pipeline: by one limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_has_the_limit_that_the_program_was_started_with() {
    let place = Place::new();
    let hook = "kind = \"webhook\"\ntransforms = []";
    place.configure("key", "max_event = \"4KiB\"", hook);
    let (gateway, before) = place.start(|| ()).await;
    let mut reloader = gateway.reloader(before);
    for changed in ["1KiB", "4KiB", "16KiB"] {
        place.configure("key", &format!("max_event = \"{changed}\""), hook);
        assert!(reloader.reload());
        for (bytes, status) in [(2_000, 200), (6_000, 413)] {
            let body = format!("{{\"userId\":\"u\",\"x\":\"{}\"}}", "x".repeat(bytes));
            for path in ["/v1/track", "/v1/webhook?writeKey=key"] {
                let answer = gateway.try_post(path, "key", &body).await;
                assert_eq!(answer.status, status, "{changed} {bytes} {path}: {}", answer.text());
            }
        }
    }
    gateway.stop().await;
}

#[test]
fn a_file_that_is_not_there_has_a_print_too() {
    let place = Place::new();
    let before = Prints::of_file(&place.file);
    assert_eq!(before, Prints::of_file(&place.file));
    place.configure("key", "", "");
    assert_ne!(before, Prints::of_file(&place.file));
    assert_ne!(before, Prints::of_file(Path::new("other.toml")));
}
