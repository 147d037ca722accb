//! Options of `parlance serve`: flags before environment before file before defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

/// The options as they are given: in the file under the names of the flags.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Options {
    /// Where clients connect: gRPC, grpc-web, WebSocket, REST and the web page
    /// [default: 127.0.0.1:8080]
    #[arg(long, env = "PARLANCE_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Where operators look: /metrics, /healthz, /readyz [default: 127.0.0.1:9090]
    #[arg(long, env = "PARLANCE_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,

    /// Where everything is kept [default: ./parlance-data]
    #[arg(long, env = "PARLANCE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// File with the secret shared with whoever signs the tokens (HS256), at least 32
    /// bytes. Without this and --jwt-public-key the server runs in local mode: it makes
    /// its own tokens for anyone, and listens on loopback only
    #[arg(long, env = "PARLANCE_JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,

    /// File with the public key of whoever signs the tokens: RSA, EC or Ed25519 in PEM
    #[arg(long, env = "PARLANCE_JWT_PUBLIC_KEY", value_name = "FILE", conflicts_with = "jwt_secret_file")]
    pub jwt_public_key: Option<PathBuf>,

    /// Audience that tokens must name [default: not checked]
    #[arg(long, env = "PARLANCE_JWT_AUDIENCE", value_name = "NAME")]
    pub jwt_audience: Option<String>,

    /// Issuer that tokens must name [default: not checked]
    #[arg(long, env = "PARLANCE_JWT_ISSUER", value_name = "NAME")]
    pub jwt_issuer: Option<String>,

    /// Origins of web pages that may connect, beside the server's own; comma-separated,
    /// such as `https://app.example.org`. In local mode: any on this machine
    #[arg(long, env = "PARLANCE_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Option<Vec<String>>,

    /// Operations a second that one user may ask for, with bursts of twice as many;
    /// 0: no limit [default: 100]
    #[arg(long, env = "PARLANCE_USER_RATE", value_name = "N")]
    pub user_rate: Option<u32>,

    /// Connections at the same time; further ones wait [default: 100000]
    #[arg(long, env = "PARLANCE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u32>,

    /// Whether a message is on the disk before it is acknowledged. "off" loses
    /// messages in a power cut and is there to measure what syncing costs
    /// [default: on]
    #[arg(long, env = "PARLANCE_SYNC", value_name = "WHEN")]
    pub sync: Option<OnOff>,

    /// What to log: a level, or directives such as info,parlance_api=debug
    /// [default: info]
    #[arg(long, env = "PARLANCE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

/// The options as they hold.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators look.
    pub admin_listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// How tokens are verified.
    pub identity: Identity,
    /// Origins beside the server's own.
    pub allowed_origins: Vec<String>,
    /// Operations a second of one user.
    pub user_rate: Option<NonZeroU32>,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Whether writes are synced before they are acknowledged.
    pub sync: bool,
    /// What to log.
    pub log: String,
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub enum Identity {
    /// With a key that this server makes itself, for anyone on this machine.
    Local,
    /// With a configured key.
    Key {
        /// The secret or public key.
        file: PathBuf,
        /// Whether it is a secret.
        is_secret: bool,
        /// Audience to expect.
        audience: Option<String>,
        /// Issuer to expect.
        issuer: Option<String>,
    },
}

impl Options {
    /// These options, and from `file` those that are not given.
    fn or(self, file: Self) -> Self {
        // A key on the command line replaces the other kind of key in the file.
        let has_key = self.jwt_secret_file.is_some() || self.jwt_public_key.is_some();
        let key = |own: Option<PathBuf>, other: Option<PathBuf>| if has_key { own } else { own.or(other) };
        Self {
            listen: self.listen.or(file.listen),
            admin_listen: self.admin_listen.or(file.admin_listen),
            data_dir: self.data_dir.or(file.data_dir),
            jwt_secret_file: key(self.jwt_secret_file, file.jwt_secret_file),
            jwt_public_key: key(self.jwt_public_key, file.jwt_public_key),
            jwt_audience: self.jwt_audience.or(file.jwt_audience),
            jwt_issuer: self.jwt_issuer.or(file.jwt_issuer),
            allowed_origins: self.allowed_origins.or(file.allowed_origins),
            user_rate: self.user_rate.or(file.user_rate),
            max_connections: self.max_connections.or(file.max_connections),
            sync: self.sync.or(file.sync),
            log: self.log.or(file.log),
        }
    }

    /// Completes the options from `file` and the defaults, and checks them.
    ///
    /// # Errors
    /// What is wrong, in words for whoever started the server.
    pub fn into_config(self, file: Option<&Path>) -> anyhow::Result<Config> {
        let options = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration {}", path.display()))?;
                let file = toml::from_str(&text)
                    .with_context(|| format!("in the configuration {}", path.display()))?;
                self.or(file)
            }
            None => self,
        };
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let identity = match (options.jwt_secret_file, options.jwt_public_key) {
            (Some(_), Some(_)) => bail!("give one of jwt-secret-file and jwt-public-key, not both"),
            (None, None) if options.jwt_audience.is_some() || options.jwt_issuer.is_some() => {
                bail!("jwt-audience and jwt-issuer go with jwt-secret-file or jwt-public-key")
            }
            (None, None) => Identity::Local,
            (Some(file), None) => Identity::Key {
                file,
                is_secret: true,
                audience: options.jwt_audience,
                issuer: options.jwt_issuer,
            },
            (None, Some(file)) => Identity::Key {
                file,
                is_secret: false,
                audience: options.jwt_audience,
                issuer: options.jwt_issuer,
            },
        };
        let config = Config {
            listen: options.listen.unwrap_or_else(|| loopback(8080)),
            admin_listen: options.admin_listen.unwrap_or_else(|| loopback(9090)),
            data_dir: options.data_dir.unwrap_or_else(|| "parlance-data".into()),
            identity,
            allowed_origins: options.allowed_origins.unwrap_or_default(),
            user_rate: NonZeroU32::new(options.user_rate.unwrap_or(100)),
            max_connections: options.max_connections.unwrap_or(100_000) as usize,
            sync: options.sync != Some(OnOff::Off),
            log: options.log.unwrap_or_else(|| "info,fjall=warn,lsm_tree=warn".into()),
        };
        if matches!(config.identity, Identity::Local) && !config.listen.ip().is_loopback() {
            bail!(
                "refusing to listen on {} without a key: anyone could get a token. \
                 Give --jwt-secret-file or --jwt-public-key, or listen on 127.0.0.1",
                config.listen
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: Options, file: &str) -> anyhow::Result<Config> {
        let path = tempfile::NamedTempFile::new()?;
        std::fs::write(path.path(), file)?;
        options.into_config(Some(path.path()))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let options = Options { user_rate: Some(7), ..Options::default() };
        let config = read(options, "user-rate = 5\nlisten = '127.0.0.1:1234'\nsync = 'off'").unwrap();
        assert_eq!(config.user_rate.map(NonZeroU32::get), Some(7));
        assert_eq!(config.listen.port(), 1234);
        assert_eq!(config.admin_listen.port(), 9090);
        assert!(!config.sync);
    }

    #[test]
    fn a_mistake_is_named() {
        let error = |options, file| format!("{:#}", read(options, file).unwrap_err());
        assert!(error(Options::default(), "lisen = '127.0.0.1:1'").contains("lisen"));
        let open = Options { listen: Some("0.0.0.0:80".parse().unwrap()), ..Options::default() };
        assert!(error(open, "").contains("without a key"));
        assert!(error(Options::default(), "jwt-issuer = 'x'").contains("jwt-issuer"));
    }
}
