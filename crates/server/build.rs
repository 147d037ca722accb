//! The web app is built before the server (`make run`, `make test`); what is there is built in.

use std::{fs, io};

const WEB_APP: &str = "../../clients/web/dist";

fn main() -> io::Result<()> {
    // Cargo cannot wait for a folder that is not there.
    fs::create_dir_all(WEB_APP)?;
    println!("cargo::rerun-if-changed={WEB_APP}");
    Ok(())
}
