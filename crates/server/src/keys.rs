use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use parlance_api::auth::{Auth, Expectations, Key};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::Identity;

/// File of the self-made key in the data directory.
const LOCAL_KEY: &str = "local.key";
const LOCAL_KEY_BYTES: usize = 32;

/// The key of local mode, made at the first start and readable by its owner only.
///
/// # Errors
/// If it can neither be read nor made.
pub fn local_key(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let path = data_dir.join(LOCAL_KEY);
    let read = || fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    let mut key = vec![0; LOCAL_KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    // Written aside and moved, so that no half of a key is ever found.
    let partial = data_dir.join(format!("{LOCAL_KEY}.{}", std::process::id()));
    if !path.exists() {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .with_context(|| format!("cannot create {}", partial.display()))?;
        file.write_all(&key).and_then(|()| file.sync_all()).context("cannot write the key")?;
        // A link does not replace what another process was quicker to put there.
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial).context("cannot tidy up after making the key")?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
            _ => {}
        }
    }
    let key = read()?;
    anyhow::ensure!(
        key.len() == LOCAL_KEY_BYTES,
        "{} is not a key of {LOCAL_KEY_BYTES} bytes",
        path.display()
    );
    Ok(key)
}

pub(crate) fn auth(identity: &Identity, data_dir: &Path) -> anyhow::Result<Auth> {
    match identity {
        Identity::Local => Ok(Auth::local(&local_key(data_dir)?)),
        Identity::Key { file, is_secret, audience, issuer } => {
            let bytes = fs::read(file).with_context(|| format!("cannot read the key {}", file.display()))?;
            let key = if *is_secret { Key::Secret(trim_end(bytes)) } else { Key::PublicPem(bytes) };
            let expectations = Expectations { audience: audience.clone(), issuer: issuer.clone() };
            Auth::with_key(&key, &expectations).with_context(|| format!("the key in {}", file.display()))
        }
    }
}

/// Editors end a file with a line feed that is no part of the secret.
fn trim_end(mut secret: Vec<u8>) -> Vec<u8> {
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    secret
}

/// Random bits for the id of this start of the node.
pub(crate) fn random_bits() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}
