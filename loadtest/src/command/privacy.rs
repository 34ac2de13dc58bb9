//! `loadtest privacy`: the canary proof. Personal values go into every place of every kind of
//! request; the server is killed in between; then every file, every output and every answer is
//! searched for them. With the transformations off they must be found, so that the proof can fail.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::Workplace;
use crate::canary::place::{self, Keys, Letter, Mail};
use crate::canary::search::{Find, Search};
use crate::canary::value::Kind;
use crate::cli::PrivacyArgs;
use crate::client::{self, Connection};
use crate::misuse::misuse;
use crate::output::Progress;
use crate::profile::Profile;
use crate::rng::Rng;
use crate::server::{self, Server, Setup};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Finds that are spelled out in the report.
const FINDS_MAX: usize = 200;

/// Endpoints whose answers are searched; those that do not exist answer 404, which is searched too.
const ADMIN: [&str; 6] =
    ["/metrics", "/", "/status", "/health/live", "/health/ready", "/nothing/here"];
const PUBLIC: [&str; 6] = ["/health", "/", "/version", "/docs", "/openapi.json", "/robots.txt"];
/// Commands that show what is in the lake and the journal; those that a version of the program does
/// not have complain, which is searched too.
const COMMANDS: [&[&str]; 5] = [
    &["tables"],
    &["tables", "--json"],
    &["check", "--show"],
    &["columns", "suggest"],
    &["journal", "verify"],
];

/// What `privacy` found.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    /// Whether the transformations were on.
    pub(crate) transforms: bool,
    /// Requests sent.
    pub(crate) requests: usize,
    /// Requests answered 200.
    pub(crate) taken: usize,
    /// Canaries sent, by kind.
    pub(crate) canaries: BTreeMap<Kind, usize>,
    /// Canaries found anywhere.
    pub(crate) leaked: usize,
    /// The same by kind.
    pub(crate) leaked_by_kind: BTreeMap<Kind, usize>,
    /// SIGKILLs in between.
    pub(crate) kills: u32,
    /// Files searched, over all lives.
    pub(crate) files: u64,
    /// Bytes searched, after decompression.
    pub(crate) bytes: u64,
    /// Data files in the lake at the end; a proof over an empty lake proves nothing.
    pub(crate) parquet_files: usize,
    /// What leaked where, the first of them.
    pub(crate) finds: Vec<Counted>,
    /// Whether the proof holds.
    pub(crate) holds: bool,
    /// Where everything lies, if it was kept.
    pub(crate) folder: Option<String>,
}

/// A find and how often it was made.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    #[serde(flatten)]
    find: Find,
    count: u64,
}

impl Proof {
    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let sent: usize = self.canaries.values().sum();
        let mut text = format!(
            "{sent} canaries in {} requests, {} taken, {} kills, transformations {}\n\
             searched {} files ({} Parquet), {} MB: {} canaries found\n",
            self.requests,
            self.taken,
            self.kills,
            if self.transforms { "on" } else { "off" },
            self.files,
            self.parquet_files,
            self.bytes / 1_000_000,
            self.leaked,
        );
        for (kind, count) in &self.leaked_by_kind {
            text.push_str(&format!("  {kind:?}: {count} of {}\n", self.canaries[kind]));
        }
        if self.transforms {
            for Counted { find, count } in &self.finds {
                text.push_str(&format!(
                    "LEAK {:?} {:?} sent in {} found in {} ({count})\n",
                    find.kind, find.form, find.place, find.found_in
                ));
            }
        }
        text.push_str(if self.holds { "the proof holds" } else { "the proof FAILS" });
        if let Some(folder) = &self.folder {
            text.push_str(&format!("\nkept in {folder}"));
        }
        text
    }
}

/// Sends, kills, searches.
///
/// # Errors
/// When the server cannot be started, or takes nothing.
pub(crate) async fn run(args: &PrivacyArgs) -> anyhow::Result<Proof> {
    let workplace = Workplace::new(args.data.as_deref())?;
    let profile = Profile::open("corpus")?;
    let mut setup = Setup::new(workplace.path(), &profile.sources);
    setup.transforms = !args.off;
    let mut extra = Vec::new();
    let mut keys = Keys {
        sdk: profile.sources.iter().map(|source| source.write_key.clone()).collect(),
        webhook: None,
    };
    if let Some(own) = &args.config {
        let (sources, invented) = server::sources_of(own).map_err(misuse)?;
        (setup.own, extra) = (Some(own.clone()), invented);
        keys.sdk = sources.into_iter().map(|source| source.write_key).collect();
    } else {
        keys.webhook = Some("loadtest-webhook".to_owned());
        setup.webhook.clone_from(&keys.webhook);
    }
    let mail = place::write(&keys, args.seed);
    let mut search = Search::new(&mail.placed)?;
    let mut progress = Progress::new();
    let mut taken = 0;
    let deaths = deaths(args, mail.letters.len());
    let mut from = 0;
    for (life, death) in deaths.iter().copied().map(Some).chain([None]).enumerate() {
        progress.show(&format!("life {} of {}, {taken} taken", life + 1, deaths.len() + 1));
        let to = death.map_or(mail.letters.len(), |death| death + 1);
        let letters = mail.letters.get(from..to).unwrap_or_default();
        from = to;
        // Until the last life the events stay in the journal, where they are searched for.
        setup.max_age = if death.is_some() { "1h" } else { "1s" }.to_owned();
        let mut server = Server::start(&args.keelrow, &setup, &extra)?;
        server.ready().await?;
        taken += deliver(&mut server, letters, death.is_some()).await?;
        if death.is_none() {
            super::caught_up(&server, &setup.lake(), 1).await;
            answers(&mut search, &server, &keys).await?;
            server.stop().await?;
            outputs(&mut search, args, &setup, &extra)?;
        }
        search_all(&mut search, &setup)?;
    }
    progress.end();
    ensure!(taken > mail.letters.len() / 2, "the server took {taken} requests only");
    let mut proof = conclude(args, &mail, search, &setup)?;
    (proof.taken, proof.holds) = (taken, judge(&proof));
    if args.data.is_some() || !proof.holds {
        proof.folder = Some(workplace.keep().display().to_string());
    }
    Ok(proof)
}

fn conclude(
    args: &PrivacyArgs,
    mail: &Mail,
    search: Search<'_>,
    setup: &Setup,
) -> anyhow::Result<Proof> {
    let parquet = crate::lake::manifest::files_under(&setup.lake())?;
    let parquet = parquet.iter().filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let mut leaked_by_kind = BTreeMap::new();
    for placed in search.leaked.iter().filter_map(|owner| mail.placed.get(*owner)) {
        *leaked_by_kind.entry(placed.canary.kind).or_default() += 1;
    }
    let finds = search.finds.into_iter().take(FINDS_MAX);
    Ok(Proof {
        transforms: !args.off,
        requests: mail.letters.len(),
        taken: 0,
        canaries: mail.census(),
        leaked: search.leaked.len(),
        holds: false,
        kills: args.kills,
        files: search.files,
        bytes: search.bytes,
        parquet_files: parquet.count(),
        leaked_by_kind,
        finds: finds.map(|(find, count)| Counted { find, count }).collect(),
        folder: None,
    })
}

/// On: nothing is found in a lake that is not empty. Off: every kind of canary is found.
fn judge(proof: &Proof) -> bool {
    let loaded = proof.parquet_files > 0;
    if proof.transforms {
        return loaded && proof.leaked == 0;
    }
    loaded && proof.canaries.keys().all(|kind| proof.leaked_by_kind.contains_key(kind))
}

/// The letters during which the server is killed, ascending.
fn deaths(args: &PrivacyArgs, letters: usize) -> Vec<usize> {
    let mut rng = Rng::lane(args.seed, 0x4111);
    let mut deaths: Vec<usize> = (0..args.kills).map(|_| rng.index(letters)).collect();
    deaths.sort_unstable();
    deaths.dedup();
    deaths
}

/// Sends the letters one by one; with `death`, the server is killed while the last is on its way.
async fn deliver(server: &mut Server, letters: &[Letter], death: bool) -> anyhow::Result<usize> {
    let mut connection = None;
    let mut taken = 0;
    let authority = server.address.target.authority.clone();
    let address = server.address.clone();
    for (number, letter) in letters.iter().enumerate() {
        let Letter { line, headers, body, kept } = letter;
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {authority}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let mut own = match connection.take() {
            Some(own) => own,
            None => Connection::open(&address).await?,
        };
        if death && number + 1 == letters.len() {
            let (_, killed) = tokio::join!(own.exchange(&request), async { server.kill() });
            killed?;
            return Ok(taken);
        }
        let answer = tokio::time::timeout(PATIENCE, own.exchange(&request))
            .await
            .context("no answer in time")?
            .with_context(|| format!("send {}", line.split('?').next().unwrap_or_default()))?;
        taken += usize::from(answer.status == 200);
        ensure!(
            (answer.status == 200) == *kept || answer.status == 503,
            "{} was answered {}",
            line.split('?').next().unwrap_or_default(),
            answer.status
        );
        connection = own.usable().then_some(own);
    }
    Ok(taken)
}

async fn answers(search: &mut Search<'_>, server: &Server, keys: &Keys) -> anyhow::Result<()> {
    for path in ADMIN {
        let answer = client::get(&server.admin, path, PATIENCE).await?;
        search.bytes(&answer.body, &format!("answer of {path}"));
    }
    let config =
        keys.sdk.first().map(|key| format!("/sourceConfig?writeKey={}", place::percent(key)));
    for path in PUBLIC.into_iter().map(str::to_owned).chain(config) {
        let answer = client::get(&server.address, &path, PATIENCE).await?;
        search.bytes(&answer.body, &format!("answer of {}", path.split('?').next().unwrap_or("")));
    }
    Ok(())
}

/// What the program's own commands tell of what it wrote.
fn outputs(
    search: &mut Search<'_>,
    args: &PrivacyArgs,
    setup: &Setup,
    extra: &[(String, String)],
) -> anyhow::Result<()> {
    let file = setup.file()?;
    for words in COMMANDS {
        let mut command = std::process::Command::new(&args.keelrow);
        command.args(words).arg("--config").arg(&file).envs(setup.environment(0, 0));
        command.envs(extra.iter().map(|(name, value)| (name, value)));
        let output = command.output().context("run a command of keelrow's")?;
        let name = format!("output of {}", words.join(" "));
        search.bytes(&output.stdout, &name);
        search.bytes(&output.stderr, &name);
    }
    Ok(())
}

/// Everything under the server's folder: journal, lake, keys, output.
fn search_all(search: &mut Search<'_>, setup: &Setup) -> anyhow::Result<()> {
    search.folder(&setup.journal(), "journal")?;
    search.folder(&setup.lake(), "lake")?;
    let beside = std::fs::read_dir(&setup.folder).context("list the server's folder")?;
    for entry in beside {
        let entry = entry.context("list the server's folder")?;
        let kind = entry.file_type().context("list the server's folder")?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_file() {
            let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            search.files += 1;
            search.bytes(&bytes, &name);
        } else if path != setup.journal() && path != setup.lake() {
            search.folder(&path, &name)?;
        }
    }
    Ok(())
}
