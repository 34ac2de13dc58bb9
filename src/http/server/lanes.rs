//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on its thread for life, and with it its requests, their timers and the wake-up
//! of their answers: nothing moves between processors while it is served. On one runtime of several
//! threads a single event costs half as much again.

use std::future::Future;
use std::io;
use std::net::TcpStream;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{Budget, Permit};

/// The threads; they end when this is dropped, and what is left on them with them.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    open: Budget,
}

/// Large bodies that a lane has worked on beside itself at a time; more wait, since each takes as
/// much memory again as it has.
const ASIDE_MAX: usize = 2;

impl Lanes {
    /// Starts `count` threads. With none, connections are served where they are accepted.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut started = Self::default();
        for number in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(ASIDE_MAX)
                .build()?;
            let lane = Lane { runtime: runtime.handle().clone(), open: Budget::new(usize::MAX) };
            let stop = started.stop.clone();
            std::thread::Builder::new()
                .name(format!("ingest-{number}"))
                .spawn(move || runtime.block_on(stop.cancelled()))?;
            started.lanes.push(lane);
        }
        Ok(started)
    }

    /// Connections on each thread.
    #[cfg(test)]
    pub(in crate::http) fn connections(&self) -> Vec<usize> {
        self.lanes.iter().map(|lane| lane.open.used()).collect()
    }

    /// Runs what `make` makes of its number on each thread; where there are none, once where this is
    /// called, as number 0.
    pub fn on_each<F>(&self, make: impl Fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for (number, lane) in self.lanes.iter().enumerate() {
            drop(lane.runtime.spawn(make(number)));
        }
        if self.lanes.is_empty() {
            drop(Handle::current().spawn(make(0)));
        }
    }

    /// How many threads there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Serves `stream` by `serve`, on the thread with the fewest connections, whose number it is told.
    pub(super) fn spawn<F>(
        &self,
        tasks: &TaskTracker,
        stream: tokio::net::TcpStream,
        serve: impl FnOnce(tokio::net::TcpStream, usize) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let lanes = self.lanes.iter().enumerate();
        let Some((number, lane)) = lanes.min_by_key(|(_, lane)| lane.open.used()) else {
            tasks.spawn(serve(stream, 0));
            return;
        };
        let serve = move |stream| serve(stream, number);
        // A stream that cannot change its runtime is closed: the process is out of something.
        let Ok(stream) = stream.into_std() else { return };
        let permit = lane.open.take(1);
        tasks.spawn_on(here(stream, permit, serve), &lane.runtime);
    }
}

async fn here<F: Future<Output = ()>>(
    stream: TcpStream,
    permit: Option<Permit>,
    serve: impl FnOnce(tokio::net::TcpStream) -> F,
) {
    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
        serve(stream).await;
    }
    drop(permit);
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
