use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::random::Random;

/// Size to which the engine preallocates journals.
const LAID_OUT: u64 = 64 << 20;

const SECTOR: usize = 512;

/// The file that the store never syncs while it runs.
const MARK: &str = "synced";

/// A directory whose syncs are recorded.
pub(crate) struct Device {
    home: TempDir,
    /// The previous mark.
    mark: Option<Vec<u8>>,
    durable: Durable,
}

/// What is on the device, by inode.
#[derive(Default)]
struct Durable {
    files: HashMap<u64, Extent>,
    /// Names in a directory.
    dirs: HashMap<u64, Vec<(String, u64)>>,
}

/// How much of a file was synced.
#[derive(Clone, Copy)]
struct Extent {
    length: u64,
    /// Bytes of content; the rest is zeros.
    content: u64,
}

/// What happens to unsynced data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Directories are as last synced, too: the worst case. Files that were never synced are empty.
    Strict,
    /// All names exist; files that were never synced are empty.
    Empty,
    /// Files that were never synced do not exist.
    Vanish,
    /// Some sectors reached the device and others did not.
    Torn,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] = [Self::Strict, Self::Empty, Self::Vanish, Self::Torn];
}

impl Device {
    /// A device with the contents of `root`, all of it durable.
    pub(crate) fn new(home: TempDir) -> Self {
        let mut device = Self { home, mark: None, durable: Durable::default() };
        fs::create_dir_all(device.root()).unwrap();
        fs::create_dir(device.kept()).unwrap();
        device.mark = fs::read(device.root().join(MARK)).ok();
        device.take_stock(&device.root());
        device
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    pub(crate) fn kept(&self) -> PathBuf {
        self.home.path().join("kept")
    }

    fn take_stock(&mut self, dir: &Path) {
        let mut names = Vec::new();
        for (name, path, meta) in entries(dir) {
            names.push((name, meta.ino()));
            if meta.is_dir() {
                self.take_stock(&path);
            } else {
                let extent = Extent { length: meta.len(), content: meta.len() };
                self.durable.files.insert(meta.ino(), extent);
                fs::hard_link(&path, self.kept().join(meta.ino().to_string())).unwrap();
            }
        }
        self.durable.dirs.insert(fs::metadata(dir).unwrap().ino(), names);
    }

    /// The device after a power cut: a copy.
    pub(crate) fn cut(&mut self, cut: Cut, random: &mut Random) -> TempDir {
        self.durable.replay(&fs::read_to_string(self.log()).unwrap_or_default());
        let home = TempDir::new().unwrap();
        let copy = Copy { device: self, cut };
        copy.dir(&self.root(), &home.path().join("root"), random);
        home
    }
}

impl Durable {
    fn replay(&mut self, log: &str) {
        // The process may have been killed within a line, before the recorded sync had returned.
        for line in log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let mut words = line.split(' ');
            let (kind, inode) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            if kind == "D" {
                let entry = |word: &str| {
                    let (name, inode) = word.rsplit_once(':').unwrap();
                    (name.to_owned(), inode.parse().unwrap())
                };
                self.dirs.insert(inode, words.map(entry).collect());
            } else {
                let [length, offset] = [0; 2].map(|_| words.next().unwrap().parse().unwrap());
                // A preallocated journal contains what was written so far.
                let content = if length == LAID_OUT { offset } else { length };
                self.files.insert(inode, Extent { length, content });
            }
        }
    }
}

/// Copies the remains.
struct Copy<'a> {
    device: &'a Device,
    cut: Cut,
}

impl Copy<'_> {
    fn dir(&self, from: &Path, to: &Path, random: &mut Random) {
        fs::create_dir_all(to).unwrap();
        if self.cut == Cut::Strict {
            let names = self.device.durable.dirs.get(&fs::metadata(from).unwrap().ino());
            for (name, inode) in names.into_iter().flatten() {
                let kept = self.device.kept().join(inode.to_string());
                if kept.exists() {
                    self.file(&kept, &to.join(name), random);
                } else {
                    // Directories are not renamed or deleted while the store runs.
                    self.dir(&from.join(name), &to.join(name), random);
                }
            }
            return;
        }
        for (name, path, meta) in entries(from) {
            if meta.is_dir() {
                self.dir(&path, &to.join(name), random);
            } else {
                self.file(&path, &to.join(name), random);
            }
        }
    }

    fn file(&self, from: &Path, to: &Path, random: &mut Random) {
        if to.file_name().is_some_and(|name| name == MARK) {
            return self.mark(from, to);
        }
        let mut source = File::open(from).unwrap();
        let meta = source.metadata().unwrap();
        let synced = self.device.durable.files.get(&meta.ino()).copied();
        if synced.is_none() && self.cut == Cut::Vanish {
            return;
        }
        let extent = synced.unwrap_or(Extent { length: 0, content: 0 });
        let extent =
            Extent { length: extent.length.min(meta.len()), content: extent.content.min(meta.len()) };
        let mut file = File::create(to).unwrap();
        std::io::copy(&mut Read::by_ref(&mut source).take(extent.content), &mut file).unwrap();
        let mut length = extent.length;
        if self.cut == Cut::Torn {
            let mut rest = Vec::new();
            source.read_to_end(&mut rest).unwrap();
            length += random.below(meta.len() - length + 1);
            rest.truncate((length - extent.content) as usize);
            for (sector, bytes) in (extent.content..).step_by(SECTOR).zip(rest.chunks(SECTOR)) {
                if bytes.iter().any(|byte| *byte != 0) && random.below(2) == 0 {
                    file.write_all_at(bytes, sector).unwrap();
                }
            }
        }
        file.set_len(length).unwrap();
    }

    /// Its content may be any former one.
    fn mark(&self, from: &Path, to: &Path) {
        let content = match self.cut {
            Cut::Strict => self.device.mark.clone().unwrap_or_default(),
            Cut::Empty => Vec::new(),
            Cut::Vanish | Cut::Torn => fs::read(from).unwrap(),
        };
        File::create(to).unwrap().write_all(&content).unwrap();
    }
}

fn entries(dir: &Path) -> Vec<(String, PathBuf, fs::Metadata)> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.path(), entry.metadata().unwrap())
        })
        .collect();
    entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    entries
}
