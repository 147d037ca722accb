//! The file of `--webhooks`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use parlance_store::consumers::ConsumerName;
use parlance_stream::Start;
use parlance_stream::event::Content;
use parlance_stream::webhook::{Reach, Secret, Url};
use serde::Deserialize;

/// Endpoints that events are posted to.
pub(crate) struct Webhooks {
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: ConsumerName,
    pub(crate) url: Url,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) reach: Reach,
    pub(crate) start: Start,
    pub(crate) content: Content,
    pub(crate) skip_refused: bool,
}

/// The form of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    webhook: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: String,
    url: String,
    secret_file: PathBuf,
    #[serde(default)]
    allow_private_addresses: bool,
    #[serde(default)]
    start: StartName,
    #[serde(default)]
    content: ContentName,
    #[serde(default)]
    skip_refused: bool,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StartName {
    #[default]
    Now,
    Beginning,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ContentName {
    #[default]
    Full,
    Ids,
}

impl From<StartName> for Start {
    fn from(name: StartName) -> Self {
        match name {
            StartName::Now => Self::Now,
            StartName::Beginning => Self::Beginning,
        }
    }
}

impl From<ContentName> for Content {
    fn from(name: ContentName) -> Self {
        match name {
            ContentName::Full => Self::Full,
            ContentName::Ids => Self::Ids,
        }
    }
}

impl Webhooks {
    /// Reads the file and the secrets that it names.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the webhooks {}", path.display()))?;
        let file = parse(&text).with_context(|| format!("in the webhooks {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut names = BTreeSet::new();
        let mut endpoints = Vec::with_capacity(file.webhook.len());
        for entry in file.webhook {
            let name = entry.name.clone();
            ensure!(names.insert(name.clone()), "two webhooks are named {name:?} in {}", path.display());
            let endpoint = Endpoint::new(entry, folder);
            endpoints.push(endpoint.with_context(|| format!("webhook {name:?} in {}", path.display()))?);
        }
        Ok(Self { endpoints })
    }
}

fn parse(text: &str) -> anyhow::Result<File> {
    let is_single = toml::from_str::<toml::Table>(text)
        .is_ok_and(|table| table.get("webhook").is_some_and(toml::Value::is_table));
    ensure!(!is_single, "write [[webhook]] with two brackets: there may be several");
    Ok(toml::from_str(text)?)
}

impl Endpoint {
    /// Relative paths are resolved against `folder`.
    fn new(entry: Entry, folder: &Path) -> anyhow::Result<Self> {
        let name = ConsumerName::parse(&entry.name)
            .context("name: 1 to 64 lower-case letters, digits and hyphens")?;
        let url: Url = entry.url.parse().context("url")?;
        let file = folder.join(&entry.secret_file);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read the secret {}", file.display()))?;
        // Editors of Windows begin a file with a mark of its encoding.
        let lines =
            text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets = lines.map(Secret::parse).collect::<Result<Vec<_>, _>>();
        let secrets = secrets.with_context(|| format!("the secret in {}", file.display()))?;
        ensure!(!secrets.is_empty(), "there is no secret in {}", file.display());
        Ok(Self {
            name,
            url,
            secrets,
            reach: if entry.allow_private_addresses { Reach::Any } else { Reach::Public },
            start: entry.start.into(),
            content: entry.content.into(),
            skip_refused: entry.skip_refused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Webhooks, String> {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        std::fs::write(dir.path().join("short"), "whsec_c2hvcnQ=").unwrap();
        std::fs::write(dir.path().join("marked"), "\u{feff}whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n")
            .unwrap();
        std::fs::write(dir.path().join("unpadded"), "whsec_c2hvcnQ").unwrap();
        let path = dir.path().join("webhooks.toml");
        std::fs::write(&path, file).unwrap();
        Webhooks::read(&path).map_err(|error| format!("{error:#}"))
    }

    const HOOK: &str =
        "[[webhook]]\nname = 'billing'\nurl = 'https://example.com/hook'\nsecret-file = 'secret'\n";

    #[test]
    fn endpoints_are_read() {
        let more =
            "allow-private-addresses = true\nstart = 'beginning'\ncontent = 'ids'\nskip-refused = true";
        let second = HOOK.replace("billing", "audit");
        let read = read(&format!("{HOOK}{second}{more}")).unwrap().endpoints;
        let [first, second] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((first.name.as_str(), first.reach, first.start), ("billing", Reach::Public, Start::Now));
        assert_eq!(
            (second.reach, second.start, second.content),
            (Reach::Any, Start::Beginning, Content::Ids)
        );
        assert!(second.skip_refused && !first.skip_refused);
    }

    #[test]
    fn a_mistake_is_named() {
        let refused = |from: &str, to: &str| read(&HOOK.replace(from, to)).err().expect("it is refused");
        assert!(refused("billing", "Billing!").contains("lower-case"));
        assert!(refused("https://", "ftp://").contains("https://"));
        assert!(refused("secret-file = 'secret'", "secret-file = 'none'").contains("cannot read the secret"));
        assert!(refused("secret-file = 'secret'", "secret-file = 'short'").contains("24 to 64"));
        assert!(refused("secret-file = 'secret'", "secret-file = 'unpadded'").contains("padding"));
        assert!(read(&HOOK.replace("secret-file = 'secret'", "secret-file = 'marked'")).is_ok());
        assert!(refused("https://example.com/hook", "example.com/hook").contains("must begin with https://"));
        assert!(refused("name =", "nmae =").contains("nmae"));
        assert!(refused("[[webhook]]", "[webhook]").contains("[[webhook]] with two brackets"));
        assert!(read(&format!("{HOOK}{HOOK}")).err().expect("it is refused").contains("two webhooks"));
    }
}
