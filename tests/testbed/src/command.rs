use std::future::Future;
use std::process::ExitCode;

use anyhow::{Result, bail};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `command` of the program `name` to completion, or until it is interrupted. The servers that
/// it started stop with the future in either case.
#[expect(clippy::print_stderr, reason = "a command line tool prints")]
pub async fn run_command(name: &str, command: impl Future<Output = Result<bool>>) -> ExitCode {
    let result = tokio::select! {
        result = command => result,
        interrupted = interrupted() => interrupted,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    bail!("interrupted")
}
