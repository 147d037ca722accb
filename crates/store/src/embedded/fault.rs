use std::io;
use std::path::PathBuf;

use fjall::LsmError;

use super::journal::ScanError;
use super::keys::FORMAT;

/// Why the store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the data directory {0} is in use by another process")]
    Locked(PathBuf),
    /// It has another layout.
    #[error("the data is in format {found}, this version reads {FORMAT}")]
    Format {
        /// The version found.
        found: u32,
    },
    /// Acknowledged writes are unreadable.
    #[error("acknowledged data is damaged: {what}; nothing was changed, restore {dir} from a backup")]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// The damage.
        what: String,
    },
    /// A file system error.
    #[error("cannot open the data directory {dir}")]
    Io {
        /// The data directory.
        dir: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// An [`OpenError`] without the directory.
pub(super) enum Fault {
    Locked,
    Format(u32),
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Io(error) => Self::Io(error),
            ScanError::Damaged(what) => Self::Damaged(what),
        }
    }
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};

        match error {
            fjall::Error::Locked => Self::Locked,
            // Not these: offsets and lengths that it read, or missing files.
            fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error))
                if !matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof) =>
            {
                Self::Io(error)
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}
