//! The time from the start of a process to its first accepted event.

use std::path::Path;

use crate::cli::CompareArgs;
use crate::clock;
use crate::payload::{Renderer, Target};
use crate::profile::Profile;
use crate::server::{Server, Setup};

/// A fresh folder's time from the start of the process to its first accepted event.
pub(super) async fn measure(
    args: &CompareArgs,
    folder: &Path,
    round: usize,
    profile: &Profile,
) -> anyhow::Result<f64> {
    let mut setup = Setup::new(&folder.join(format!("start{round}")), &profile.sources);
    setup.tied = false;
    let target = Target { authority: "127.0.0.1".to_owned(), prefix: String::new() };
    let request = Renderer::new(profile, &target, 9)?.request(clock::wall_millis())?;
    let mut server = Server::start(&args.keelrow, &setup, &[])?;
    let took = server.accepted(&request.bytes).await?;
    server.stop().await?;
    Ok(took.as_secs_f64() * 1_000.0)
}
