//! `loadtest crash`: a server that is killed again and again while clients go on sending, as their
//! SDKs would: what was not acknowledged is sent again, with the same message ids. Afterwards
//! every acknowledged event must be in the lake once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Workplace;
use super::figures::Spread;
use crate::cli::CrashArgs;
use crate::client::Address;
use crate::clock;
use crate::drive::{self, Attempt, Feed, Ledger, Options, Outcome, Pace};
use crate::interrupt::{Limit, Until};
use crate::lake::verify::{self, Report};
use crate::ledger;
use crate::misuse::misuse;
use crate::output::Progress;
use crate::payload::{Renderer, Target};
use crate::profile::{Faults, Profile};
use crate::rng::Rng;
use crate::server::{Server, Setup, free_ports};

/// Of so many lives, one ends while the server is still starting.
const EARLY_DEATHS: u64 = 4;

/// What `crash` found.
#[derive(Debug, Serialize)]
pub(crate) struct Crashed {
    /// Lives that were ended by SIGKILL.
    pub(crate) kills: u32,
    /// Whether a signal ended it before all lives that were asked for.
    pub(crate) cut_short: bool,
    /// The seed, to do the same again.
    pub(crate) seed: u64,
    /// Events acknowledged over all lives, repeats included.
    pub(crate) events_taken: u64,
    /// Lives in which something was acknowledged.
    pub(crate) lives_with_events: u32,
    /// Answers other than the right one.
    pub(crate) unexpected: u64,
    /// Time from the last start to the first answer of `/health`, milliseconds.
    pub(crate) last_start_ms: f64,
    /// From the moment a server took events, or from its start if it died earlier, to its death,
    /// milliseconds.
    pub(crate) life_ms: Option<Spread>,
    /// Exit code of the last life, ended by SIGTERM.
    pub(crate) exit_code: Option<i32>,
    /// How long that took, milliseconds.
    pub(crate) stop_ms: f64,
    /// The proof.
    pub(crate) conservation: Report,
    /// Where everything lies, if it was kept: always when the proof fails.
    pub(crate) folder: Option<String>,
}

impl Crashed {
    /// Whether nothing was lost or doubled, and the server ended as it should.
    pub(crate) fn holds(&self) -> bool {
        self.conservation.holds() && self.exit_code == Some(0) && self.unexpected == 0
    }

    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let cut = if self.cut_short { "CUT SHORT by a signal\n" } else { "" };
        let mut text = format!(
            "{cut}{} kills (seed {}), {} events acknowledged in {} lives, {} wrong answers\n\
             last start {:.0} ms, SIGTERM ended it with {:?} in {:.0} ms\n",
            self.kills,
            self.seed,
            self.events_taken,
            self.lives_with_events,
            self.unexpected,
            self.last_start_ms,
            self.exit_code,
            self.stop_ms,
        );
        if let Some(life) = self.life_ms {
            text.push_str(&format!("lives of {} ms\n", life.text(0)));
        }
        text.push_str(&self.conservation.text());
        if let Some(folder) = &self.folder {
            text.push_str(&format!("\nkept in {folder}"));
        }
        text
    }
}

/// The traffic: every way of sending, repeats and faults, retried until it is taken.
fn profile(rate: f64) -> anyhow::Result<Profile> {
    let mut profile = Profile::open("corpus")?;
    profile.rate = rate;
    profile.connections = 16;
    profile.traffic.duplicates = 0.02;
    profile.faults = Faults { cut_short: 0.01, no_ids: 0.005, bad_json: 0.005, ..profile.faults };
    profile.retry.tries = 10_000;
    profile.retry.base = "10ms".parse()?;
    profile.retry.cap = "100ms".parse()?;
    profile.check().map_err(misuse)?;
    Ok(profile)
}

struct Bench<'a> {
    args: &'a CrashArgs,
    profile: Profile,
    renderer: Renderer,
    setup: Setup,
    ports: (u16, u16),
    ledger: Arc<Ledger>,
    rng: Rng,
    taken: u64,
    unexpected: u64,
    lives_with_events: u32,
}

/// Runs the lives and the proof. When a signal asks for an end, the last life comes next.
///
/// # Errors
/// When the server cannot be started or something cannot be read.
pub(crate) async fn run(args: &CrashArgs, limit: &Limit) -> anyhow::Result<Crashed> {
    let workplace = Workplace::new(args.data.as_deref())?;
    let profile = profile(args.rate)?;
    let mut setup = Setup::new(workplace.path(), &profile.sources);
    // Short, so that some deaths hit the loader between plan, files and manifest.
    setup.max_age = "100ms".to_owned();
    let ledger_path = workplace.path().join("ledger.jsonl");
    let ports: (u16, u16) = free_ports::<2>()?.into();
    let target = Target { authority: format!("127.0.0.1:{}", ports.0), prefix: String::new() };
    let mut bench = Bench {
        args,
        renderer: Renderer::new(&profile, &target, args.seed)?,
        profile,
        setup,
        ports,
        ledger: Arc::new(Mutex::new(ledger::Writer::create(&ledger_path)?)),
        rng: Rng::lane(args.seed, 0xDEAD),
        taken: 0,
        unexpected: 0,
        lives_with_events: 0,
    };
    let mut owed = Vec::new();
    let mut lives = Vec::new();
    let mut progress = Progress::new();
    for round in 0..args.rounds {
        if *limit.borrow() > Until::Planned {
            break;
        }
        progress.show(&format!("life {} of {}, {} events", round + 1, args.rounds, bench.taken));
        let (life, early) = bench.life();
        lives.push(life.as_secs_f64() * 1_000.0);
        owed = bench.live_and_die(u64::from(round), (life, early), owed).await?;
    }
    progress.end();
    let kills = u32::try_from(lives.len())?;
    let (mut server, started) = bench.last_life(owed).await?;
    super::caught_up(&server, &bench.setup.lake(), bench.taken).await;
    let ended = server.stop().await?;
    let Bench { ledger, setup, taken, unexpected, lives_with_events, .. } = bench;
    let end = if kills < args.rounds { ledger::End::CutShort } else { ledger::End::Complete };
    if let Some(ledger) = Arc::into_inner(ledger) {
        ledger.into_inner().unwrap_or_else(PoisonError::into_inner).finish(end)?;
    }
    let mut crashed = Crashed {
        kills,
        cut_short: kills < args.rounds,
        seed: args.seed,
        events_taken: taken,
        lives_with_events,
        unexpected,
        last_start_ms: started.as_secs_f64() * 1_000.0,
        life_ms: Spread::of(&lives),
        exit_code: ended.code,
        stop_ms: ended.took.as_secs_f64() * 1_000.0,
        conservation: verify::verify(&setup.lake(), &[&ledger_path], &[])?,
        folder: None,
    };
    if !crashed.holds() || args.data.is_some() {
        crashed.folder = Some(workplace.keep().display().to_string());
    }
    Ok(crashed)
}

impl Bench<'_> {
    /// How long the next life lasts, and whether that is counted from the start: some die amid it,
    /// when the journal is being read.
    fn life(&mut self) -> (Duration, bool) {
        let longest = self.args.life.0;
        if self.rng.below(EARLY_DEATHS) == 0 {
            return (longest.min(Duration::from_millis(40)).mul_f64(self.rng.unit()), true);
        }
        (longest.mul_f64(self.rng.unit()), false)
    }

    async fn live_and_die(
        &mut self,
        round: u64,
        (life, early): (Duration, bool),
        owed: Vec<Attempt>,
    ) -> anyhow::Result<Vec<Attempt>> {
        let mut server = Server::start_at(&self.args.keelrow, &self.setup, &[], self.ports)?;
        let (stop, stopped) = watch::channel(Until::Planned);
        let address = server.address.clone();
        let death = async {
            let ready = if early { Ok(()) } else { server.ready().await };
            tokio::time::sleep(life).await;
            let killed = server.kill();
            // Only now may the senders give up, so that they see the connections break.
            stop.send_replace(Until::Now);
            ready.and(killed)
        };
        let feed = self.feed(round);
        let options =
            self.options(address, feed, round, (Duration::from_secs(3_600), Some(stopped)), owed);
        let (outcome, killed) = tokio::join!(drive::run(options), death);
        killed?;
        Ok(self.note(outcome?))
    }

    /// The life that is allowed to finish: what is owed is sent, and some more.
    async fn last_life(&mut self, owed: Vec<Attempt>) -> anyhow::Result<(Server, Duration)> {
        let mut server = Server::start_at(&self.args.keelrow, &self.setup, &[], self.ports)?;
        let began = clock::monotonic();
        server.ready().await?;
        let started = began.elapsed();
        let round = u64::from(self.args.rounds);
        let address = server.address.clone();
        let feed = self.feed(round);
        let options = self.options(address, feed, round, (Duration::from_secs(1), None), owed);
        let outcome = drive::run(options).await?;
        let owed = self.note(outcome);
        drive::settle(&self.ledger, &owed)?;
        Ok((server, started))
    }

    fn feed(&self, round: u64) -> Feed {
        let seed = Rng::lane(self.args.seed, round).next();
        Feed::Live(Arc::new(self.renderer.reseeded(seed)))
    }

    fn options(
        &self,
        address: Address,
        feed: Feed,
        round: u64,
        (duration, limit): (Duration, Option<Limit>),
        owed: Vec<Attempt>,
    ) -> Options<'_> {
        Options {
            profile: &self.profile,
            address,
            feed,
            pace: Pace::Open(self.profile.rate / self.renderer.mean_events()),
            warm_up: Duration::ZERO,
            duration,
            drain: Duration::from_secs(30),
            seed: Rng::lane(self.args.seed, round).next(),
            ledger: Some(Arc::clone(&self.ledger)),
            pid: None,
            owed,
            limit,
            title: String::new(),
        }
    }

    fn note(&mut self, outcome: Outcome) -> Vec<Attempt> {
        self.taken += outcome.counts.events_taken;
        self.unexpected += outcome.counts.unexpected;
        self.lives_with_events += u32::from(outcome.counts.events_taken > 0);
        outcome.owed
    }
}
