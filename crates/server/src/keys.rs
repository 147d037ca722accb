use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use parlance_api::identity::{Auth, Expectations, Jwks, Key};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Identity, Keys};
use crate::limits::KEYS_LOOK_EVERY;

/// File of the generated key in the data directory.
const LOCAL_KEY: &str = "local.key";
const LOCAL_KEY_BYTES: usize = 32; // format

/// Marker in the data directory of a server that verifies tokens with a configured key.
const KEYED: &str = "local.key.unused";

/// Returns the local-mode key of the data directory. Creates nothing.
///
/// # Errors
/// If no server in local mode accepts tokens signed with it.
pub fn existing_local_key(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let dir = data_dir.display();
    anyhow::ensure!(
        !data_dir.join(KEYED).exists(),
        "the server on {dir} has a key of its own (--jwt-secret-file, --jwt-public-key or --jwt-jwks-url): it takes only \
         tokens that are signed with that"
    );
    let path = data_dir.join(LOCAL_KEY);
    match fs::read(&path) {
        Ok(key) => check_length(&path, key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
            "no server in local mode has run on {dir}, no server would take this token. Start \
             `parlance serve` there first, or give its data directory with --data-dir"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Records whether the server on an existing data directory uses a configured key: tokens of
/// local mode are useless then.
fn note_mode(data_dir: &Path, is_local: bool) -> io::Result<()> {
    let note = data_dir.join(KEYED);
    match (is_local, data_dir.join(LOCAL_KEY).exists()) {
        (true, _) => match fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        (false, true) => fs::write(&note, "tokens are verified with a configured key\n"),
        (false, false) => Ok(()),
    }
}

fn check_length(path: &Path, key: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let is_key = key.len() == LOCAL_KEY_BYTES;
    anyhow::ensure!(is_key, "{} is not a key of {LOCAL_KEY_BYTES} bytes", path.display());
    Ok(key)
}

/// The key of local mode, generated on the first start and readable by its owner only.
///
/// # Errors
/// If it can neither be read nor created.
fn local_key(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let path = data_dir.join(LOCAL_KEY);
    let read = || fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    let mut key = vec![0; LOCAL_KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    // Written to a temporary file and linked, so that a partial key is never visible.
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
        // Linking fails if another process has created it first.
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial).context("cannot tidy up after making the key")?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
            _ => {}
        }
    }
    check_length(&path, read()?)
}

pub(crate) fn auth(identity: &Identity, data_dir: &Path) -> anyhow::Result<Auth> {
    let auth = match configured(identity)? {
        Some(auth) => auth,
        None => Auth::local(&local_key(data_dir)?),
    };
    note_mode(data_dir, auth.is_local())
        .with_context(|| format!("cannot write to {}", data_dir.display()))?;
    Ok(auth)
}

/// Verifies tokens with the configured key; `None` in local mode.
pub(crate) fn configured(identity: &Identity) -> anyhow::Result<Option<Auth>> {
    let Identity::Keys(configured) = identity else { return Ok(None) };
    let keys = read(configured)?;
    let expectations = Expectations {
        audience: configured.audience.clone(),
        issuer: configured.issuer.clone(),
        skew: configured.skew.into(),
        max_lifetime: configured.max_lifetime.map(Into::into),
        scope_claim: configured.scope_claim.clone(),
        profile: configured.profile_claims,
    };
    Ok(Some(Auth::new(&keys, configured.jwks.clone().map(Jwks::new), expectations)?))
}

/// Reads the files of keys.
fn read(configured: &Keys) -> anyhow::Result<Vec<Key>> {
    let mut keys = Vec::new();
    for (files, is_secret) in [(&configured.secrets, true), (&configured.public_keys, false)] {
        for file in files {
            let bytes = fs::read(file).with_context(|| format!("cannot read the key {}", file.display()))?;
            let key = if is_secret { Key::Secret(trim_end(bytes)) } else { Key::PublicPem(bytes) };
            key.check().with_context(|| format!("the key in {}", file.display()))?;
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Reads the files of keys again whenever they change. Never returns.
pub(crate) async fn follow(configured: Keys, auth: Arc<Auth>) {
    let mut look = interval(KEYS_LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let configured = Arc::new(configured);
    let mut known = None;
    let mut failed = false;
    loop {
        look.tick().await;
        let configured = configured.clone();
        let read = spawn_blocking(move || read(&configured)).await;
        let result = read.map_err(Into::into).flatten().and_then(|keys| {
            if known.as_ref() != Some(&keys) {
                auth.set_keys(&keys)?;
                if known.replace(keys).is_some() {
                    tracing::info!(algorithms = auth.algorithms(), "reloaded the keys for tokens");
                }
            }
            Ok(())
        });
        if let (Err(error), false) = (&result, failed) {
            tracing::warn!("keeping the current keys for tokens: {error:#}");
        }
        failed = result.is_err();
    }
}

/// Editors end a file with a line feed that is not part of the secret.
fn trim_end(mut secret: Vec<u8>) -> Vec<u8> {
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    secret
}

/// Random bits for the node id of this start.
pub(crate) fn random_bits() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}
