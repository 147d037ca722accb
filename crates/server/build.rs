//! The web app is built before the server (`make run`, `make test`), and embedded if it exists.

use std::{fs, io};

const WEB_APP: &str = "../../clients/web/dist";

fn main() -> io::Result<()> {
    // Cargo cannot watch a folder that does not exist.
    fs::create_dir_all(WEB_APP)?;
    println!("cargo::rerun-if-changed={WEB_APP}");
    Ok(())
}
