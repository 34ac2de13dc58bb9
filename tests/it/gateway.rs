//! The program in this process, on a folder of its own and free ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keelrow::app::{App, Prints, Reloader, World};
use keelrow::clock::System;
use keelrow::config::{self, Environment};

/// A running gateway.
pub(crate) struct Gateway {
    app: App,
    client: reqwest::Client,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How long a batch may take in a test, on a busy machine.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);

impl Gateway {
    /// Starts on `folder` with `sources`, the rest of a configuration.
    pub(crate) async fn start(folder: &Path, sources: &str) -> Self {
        Self::try_start(folder, sources).await.unwrap()
    }

    /// The same, or why it does not start.
    pub(crate) async fn try_start(
        folder: &Path,
        sources: &str,
    ) -> Result<Self, keelrow::app::Error> {
        Self::begin(folder, "", sources).await
    }

    /// The same with more keys for the section `http`.
    pub(crate) async fn start_with(folder: &Path, http: &str, sources: &str) -> Self {
        Self::begin(folder, http, sources).await.unwrap()
    }

    async fn begin(folder: &Path, http: &str, sources: &str) -> Result<Self, keelrow::app::Error> {
        let text = format!(
            r#"
            [http]
            listen = "127.0.0.1:0"
            admin_listen = "127.0.0.1:0"
            {http}
            [journal]
            path = "{folder}/journal"
            max_bytes = "1GiB"
            [storage]
            url = "{folder}/lake"
            {sources}"#,
            folder = folder.display()
        );
        let config = config::parse(&text, Path::new("test.toml"), &Environment::new())
            .unwrap_or_else(|faults| panic!("{faults}"));
        Self::of(config).await
    }

    /// Starts as `config` says.
    pub(crate) async fn of(config: config::Config) -> Result<Self, keelrow::app::Error> {
        let system = Arc::new(System::new());
        let world = World { clock: Arc::<System>::clone(&system), ids: system };
        let app = App::start(config, world).await?;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Ok(Self { app, client })
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.send_to(&format!("http://{}{path}", self.app.public()), method, headers, body).await
    }

    async fn send_to(
        &self,
        url: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    /// Posts a body for the source with the write key, and expects it to be taken.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &str) {
        let answer = self.try_post(path, key, body).await;
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()), "{path}");
    }

    pub(crate) async fn try_post(&self, path: &str, key: &str, body: &str) -> Answer {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let basic = format!("Basic {key}");
        self.send("POST", path, &[("authorization", &basic)], body.as_bytes().to_vec()).await
    }

    /// What takes over a changed configuration, which was `before` when it was read.
    pub(crate) fn reloader(&self, before: Prints) -> Reloader {
        self.app.reloader(Environment::new(), before)
    }

    /// Commits all that is acknowledged.
    pub(crate) async fn flush(&self) {
        let loader = self.app.loader().clone();
        let flushed = tokio::task::spawn_blocking(move || loader.flush(COMMIT_LIMIT)).await;
        assert!(flushed.unwrap(), "{:?}", self.app.loader().status());
    }

    /// A page of the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.send_to(&format!("http://{}{path}", self.app.admin()), "GET", &[], Vec::new()).await
    }

    /// The value of the metric whose line starts with `start`.
    pub(crate) async fn metric(&self, start: &str) -> u64 {
        let text = self.admin("/metrics").await.text();
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// One line of a source's books.
    pub(crate) async fn book(&self, source: &str, outcome: &str) -> u64 {
        let labels = format!("{{source=\"{source}\",outcome=\"{outcome}\"}}");
        self.metric(&format!("keelrow_events_total{labels}")).await
    }

    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }
}

/// The text of a compressed file below tests/golden.
pub(crate) fn golden(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if path.extension().is_some_and(|ending| ending == "zst") {
        return String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}
