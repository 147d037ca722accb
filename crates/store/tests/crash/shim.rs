use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::child::Start;
use crate::cut::Device;

/// The compiled `shim.c`, and the files for communicating with it.
pub(crate) struct Shim {
    dir: TempDir,
}

impl Shim {
    pub(crate) fn compile() -> Self {
        let dir = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
            .arg(dir.path().join("shim.so"))
            .arg(source)
            .arg("-ldl")
            .status()
            .expect("these tests need a C compiler, `cc`");
        assert!(compiled.success());
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts with every sync on `device` recorded.
    pub(crate) fn watching(&self, device: &Device, start: Start) -> Start {
        let env = vec![
            ("LD_PRELOAD", self.path("shim.so")),
            ("SHIM_ROOT", device.root().to_owned()),
            ("SHIM_LOG", device.log()),
            ("SHIM_KEEP", device.kept()),
        ];
        Start { env, ..start }
    }

    /// Starts on `root` with a device that fails on demand.
    pub(crate) fn failing(&self, root: &Path, start: Start) -> Start {
        let env = vec![
            ("LD_PRELOAD", self.path("shim.so")),
            ("SHIM_ROOT", root.to_owned()),
            ("SHIM_FAIL_SYNC", self.path("fail-sync")),
            ("SHIM_FAIL_WRITE", self.path("fail-write")),
        ];
        Start { env, ..start }
    }

    /// Makes syncs or writes fail from now on.
    pub(crate) fn fail(&self, what: &str) {
        std::fs::write(self.path(what), "").unwrap();
    }
}
