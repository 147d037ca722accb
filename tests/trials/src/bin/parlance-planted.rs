//! The `parlance` server with a bug, named by `PARLANCE_PLANT`: see `parlance_planted`.

use std::process::ExitCode;

use parlance_planted::Plant;
use parlance_server::Seams;

fn main() -> ExitCode {
    let bug = std::env::var(parlance_planted::VARIABLE).ok();
    parlance_planted::plant(bug.and_then(|name| Plant::named(&name)));
    parlance_server::cli::main(Seams {
        store: parlance_planted::store,
        registry: parlance_planted::registry,
        events: parlance_planted::events,
    })
}
