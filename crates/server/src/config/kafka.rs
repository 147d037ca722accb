//! The file of `--kafka`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use parlance_core::Clock;
use parlance_kafka::{Format, KafkaSink, Options};
use parlance_store::consumers::ConsumerName;
use parlance_stream::consumer::OnRefused;
use serde::Deserialize;

use super::webhooks::{ContentName, StartName};
use crate::limits::KAFKA_EFFECT_SLACK;
use crate::planned::Planned;

/// A topic for events.
pub(crate) struct Topic {
    name: ConsumerName,
    start: StartName,
    content: ContentName,
    skip_refused: bool,
    options: Options,
}

/// The form of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    brokers: String,
    topic: String,
    partitions: i32,
    name: Option<String>,
    create_with_replicas: Option<i32>,
    #[serde(default)]
    start: StartName,
    #[serde(default)]
    content: ContentName,
    #[serde(default)]
    format: FormatName,
    source: Option<String>,
    max_bytes: Option<usize>,
    #[serde(default)]
    skip_refused: bool,
    sasl_password_file: Option<PathBuf>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FormatName {
    #[default]
    Protobuf,
    Json,
}

impl Topic {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the topic of events {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).with_context(|| format!("in the topic of events {}", path.display()))
    }

    /// Relative paths are resolved against `folder`.
    fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        let name = file.name.as_deref().unwrap_or("kafka");
        let name =
            ConsumerName::parse(name).context("name: 1 to 64 lower-case letters, digits and hyphens")?;
        ensure!(file.partitions > 0, "partitions: at least 1");
        let mut options = Options::new(file.brokers, file.topic, file.partitions);
        options.create_with_replicas = file.create_with_replicas;
        options.format = match file.format {
            FormatName::Protobuf => Format::Protobuf,
            FormatName::Json => Format::Json,
        };
        options.source = file.source.unwrap_or(options.source);
        options.max_bytes = file.max_bytes.unwrap_or(options.max_bytes);
        options.properties = file.properties;
        if let Some(file) = file.sasl_password_file {
            let file = folder.join(file);
            let password = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the password {}", file.display()))?;
            options.properties.insert("sasl.password".to_owned(), password.trim_end().to_owned());
        }
        options.check()?;
        let (start, content, skip_refused) = (file.start, file.content, file.skip_refused);
        Ok(Self { name, start, content, skip_refused, options })
    }

    /// The consumer that sends events there.
    pub(crate) fn plan(self, clock: &Arc<dyn Clock>) -> anyhow::Result<Planned> {
        // With another topic, earlier events would be missing there.
        let target = format!("kafka:{}", self.options.topic);
        let options = parlance_stream::Options {
            start: self.start.into(),
            content: self.content.into(),
            on_refused: if self.skip_refused { OnRefused::Skip } else { OnRefused::Park },
            effect_timeout: self.options.delivery_timeout + KAFKA_EFFECT_SLACK,
            ..parlance_stream::Options::new(self.name, target)
        };
        let shown = format!("topic {} at {}", self.options.topic, self.options.brokers);
        Ok(Planned { options, sink: Arc::new(KafkaSink::new(self.options, clock.clone())?), shown })
    }
}

#[cfg(test)]
mod tests {
    use parlance_stream::event::Content;

    use super::*;

    const FILE: &str = "brokers = 'b1:9092,b2:9092'\ntopic = 'events'\npartitions = 12\n";

    fn refused(text: &str) -> String {
        let dir = tempfile::TempDir::new().unwrap();
        format!("{:#}", Topic::parse(text, dir.path()).err().expect("it is refused"))
    }

    #[test]
    fn a_topic_is_read() {
        let more = "name = 'audit'\nstart = 'beginning'\ncontent = 'ids'\nformat = 'json'\nsource = '/chat'\n\
            skip-refused = true\n[properties]\n'compression.codec' = 'lz4'";
        let topic = Topic::parse(&format!("{FILE}{more}"), Path::new(".")).unwrap();
        assert_eq!((topic.name.as_str(), topic.options.source.as_str()), ("audit", "/chat"));
        assert_eq!((topic.options.format, topic.options.partitions), (Format::Json, 12));
        assert_eq!(topic.options.properties["compression.codec"], "lz4");
        assert!(topic.skip_refused);
        assert_eq!(Content::from(topic.content), Content::Ids);
        assert_eq!(Topic::parse(FILE, Path::new(".")).unwrap().name.as_str(), "kafka");
    }

    #[test]
    fn a_mistake_is_named() {
        assert!(refused(&FILE.replace("12", "0")).contains("partitions"));
        assert!(refused(&format!("{FILE}nmae = 'x'")).contains("nmae"));
        let property = |line: &str| refused(&format!("{FILE}[properties]\n{line}"));
        assert!(property("acks = '1'").contains("acks is set by parlance"));
        for fixed in [
            "request.required.acks",
            "max.in.flight",
            "delivery.timeout.ms",
            "metadata.broker.list",
            "message.max.bytes",
        ] {
            assert!(property(&format!("'{fixed}' = '1'")).contains("is set by parlance"), "{fixed}");
        }
        for harmful in ["transactional.id", "delivery.report.only.error"] {
            assert!(property(&format!("'{harmful}' = 'true'")).contains("count as sent"), "{harmful}");
        }
        assert!(property("'queue.buffering.max.ms' = '5'").contains("another name of linger.ms"));
        assert!(property("'retries' = '0'").contains("retries"));
        assert!(property("'lingre.ms' = '5'").contains("lingre.ms"));
        assert!(property("'linger.ms' = 'soon'").contains("linger.ms"));
        assert!(refused(&format!("{FILE}sasl-password-file = 'none'")).contains("cannot read the password"));
        if !parlance_kafka::TLS {
            assert!(property("'security.protocol' = 'SSL'").contains("kafka-tls"));
        }
    }
}
