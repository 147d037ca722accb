//! The `parlance` command.

use std::process::ExitCode;

use parlance_server::{Seams, cli};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main(Seams::default())
}
