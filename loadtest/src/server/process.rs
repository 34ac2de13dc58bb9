//! One server process: started, waited for, killed or asked to stop, always by its own id.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::config::Setup;
use super::tied;
use crate::client::{self, Address, Connection};
use crate::clock;
use crate::misuse::misuse;
use crate::rng::Rng;
use crate::tls::{Tls, Trust};

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(2);

/// How long a server may take to start; a journal of gigabytes is read in that time, also while the
/// machine does other things.
const START_MAX: Duration = Duration::from_secs(180);

/// How long it may take to stop: it commits its last batch.
const STOP_MAX: Duration = Duration::from_secs(180);

/// Ports below are for services of the system.
const PORT_MIN: u16 = 10_000;

/// So many ports are tried.
const TRIES_MAX: usize = 10_000;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it takes events.
    pub(crate) address: Address,
    /// Where it answers its operator.
    pub(crate) admin: Address,
    /// What it wrote to both of its outputs, over all its lives.
    pub(crate) log: PathBuf,
    started: std::time::Instant,
}

/// How a server ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Server {
    /// Starts `program serve` in the folder of `setup` and returns at once.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start(
        program: &Path,
        setup: &Setup,
        extra: &[(String, String)],
    ) -> anyhow::Result<Self> {
        Self::start_at(program, setup, extra, free_ports()?.into())
    }

    /// The same on ports that an earlier life had.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start_at(
        program: &Path,
        setup: &Setup,
        extra: &[(String, String)],
        (port, admin_port): (u16, u16),
    ) -> anyhow::Result<Self> {
        let config = setup.file()?;
        let log = setup.folder.join("output.log");
        let output = append(&log)?;
        let errors = output.try_clone().context("share the log")?;
        let program = std::path::absolute(program).context("find the program")?;
        if !program.is_file() {
            return Err(misuse(anyhow!("{} is no program", program.display())));
        }
        let mut command = tied::command(&program, setup.tied);
        command.arg("serve").arg("--config").arg(&config);
        command.envs(setup.environment(port, admin_port)).envs(extra.iter().cloned());
        command.stdin(Stdio::null()).stdout(output).stderr(errors).current_dir(&setup.folder);
        let mut server = Self::spawn(command, port, admin_port, log)?;
        if setup.secured() {
            // Whose certificate it is does not matter: we know whom we started.
            server.address.tls = Some(Tls::new("localhost", &Trust::anyone())?);
        }
        Ok(server)
    }

    /// Starts `command`, which is told the ports already.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(
        mut command: Command,
        port: u16,
        admin_port: u16,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let started = clock::monotonic();
        let child = command
            .spawn()
            .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
        let (address, admin) = (Address::loopback(port), Address::loopback(admin_port));
        Ok(Self { child, address, admin, log, started })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `request` until it is answered 200, and answers how long after the start that was.
    ///
    /// # Errors
    /// When the server ends first, or takes too long.
    pub(crate) async fn accepted(&mut self, request: &[u8]) -> anyhow::Result<Duration> {
        loop {
            let answer = async { Connection::open(&self.address).await?.exchange(request).await };
            if answer.await.is_ok_and(|answer| answer.status == 200) {
                return Ok(self.started.elapsed());
            }
            self.wait_a_little().await?;
        }
    }

    /// Waits until `/health` says that events are taken.
    ///
    /// # Errors
    /// When the server ends first, or takes too long.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        loop {
            let answer = client::get(&self.address, "/health", START_MAX).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            self.wait_a_little().await?;
        }
    }

    async fn wait_a_little(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait().context("look at the server")? {
            bail!("the server ended with {status}; its output is in {}", self.log.display());
        }
        if self.started.elapsed() > START_MAX {
            bail!("the server does not start; its output is in {}", self.log.display());
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    /// Ends it as a power cut would end its process: at once.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("kill the server")?;
        self.child.wait().context("wait for the server")?;
        Ok(())
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<Ended> {
        let asked = clock::monotonic();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the server has no id")?, Signal::TERM).context("ask to stop")?;
        loop {
            if let Some(status) = self.child.try_wait().context("look at the server")? {
                return Ok(Ended { code: status.code(), took: asked.elapsed() });
            }
            if asked.elapsed() > STOP_MAX {
                self.kill()?;
                bail!("the server did not stop within {STOP_MAX:?}; it was killed");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever made us leave, no server is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn append(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

/// Ports that nobody listens on, below those that the system gives to connections: a client that
/// connects while the server is down can neither take one nor meet itself there.
///
/// # Errors
/// When this machine has none left.
pub(crate) fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let given = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = given.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    let ports = PORT_MIN..first.unwrap_or(u16::MAX).max(2 * PORT_MIN);
    // Chance, so that two programs that look at once find different ones.
    let mut rng = Rng::new(RandomState::new().hash_one(0));
    let mut found = [0; COUNT];
    for at in 0..COUNT {
        found[at] = (0..TRIES_MAX)
            .filter_map(|_| ports.start.checked_add(rng.index(ports.len()).try_into().ok()?))
            .filter(|port| !found.contains(port))
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .context("find a free port")?;
    }
    Ok(found)
}
