//! The `parlance` command.

use std::process::ExitCode;

use parlance_server::{Seams, cli};

fn main() -> ExitCode {
    cli::main(Seams::default())
}
