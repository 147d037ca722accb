use bytes::Bytes;
use fred::clients::{Client, WithOptions};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, FredResult, PubsubInterface};
use fred::types::config::{Config, ConnectionConfig, Options, PerformanceConfig, TcpConfig};
use fred::types::{Builder, ClusterHash, ClusterStateChange, CustomCommand, Message, RespVersion, Value};
use fred::util::redis_keyslot;
use futures::future::join_all;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::cause::Cause;
use super::options::RedisOptions;
use super::script::Script;
use crate::redis::limits::{CHANNELS_AT_ONCE, LOOK_CONNECTED, WAITING_MESSAGES};

/// Two connections to Redis, one for commands and one for subscriptions. Neither reconnects: when one fails, both are
/// dropped and a new link is made. Nothing of an old link, such as a queued command or a subscription, is carried
/// over to the next.
#[derive(Debug)]
pub(super) struct Link {
    commands: Client,
    /// The same with a longer timeout, for commands nobody waits for: when all nodes register their users again at
    /// once, Redis needs its time.
    patient: WithOptions<Client>,
    listener: Client,
}

/// Reports that a link has failed. Closes the link when dropped.
pub(super) struct Lifeline {
    commands: Task,
    listener: Task,
    changes: broadcast::Receiver<Vec<ClusterStateChange>>,
}

impl Link {
    pub(super) async fn open(servers: &Config, options: &RedisOptions) -> FredResult<(Self, Lifeline)> {
        let build = |waiting, version| {
            let mut servers = servers.clone();
            servers.version = version;
            Builder::from_config(servers)
                .set_connection_config(connection(options))
                .set_performance_config(PerformanceConfig {
                    default_command_timeout: options.command_timeout,
                    broadcast_channel_capacity: waiting,
                    ..PerformanceConfig::default()
                })
                .build()
        };
        let commands = build(64, RespVersion::RESP2)?;
        // With RESP2 a subscribed connection could not send commands.
        let listener = build(WAITING_MESSAGES, RespVersion::RESP3)?;
        let both = async { tokio::try_join!(connect(&commands), connect(&listener)) };
        // Several servers may be tried, one after the other.
        let patience = options.connect_timeout * 3;
        let late = |_| Error::new(ErrorKind::Timeout, "connecting took too long");
        let tasks = tokio::time::timeout(patience, both).await.map_err(late)??;
        let changes = commands.cluster_change_rx();
        let lifeline = Lifeline { commands: tasks.0, listener: tasks.1, changes };
        let patient = Options { timeout: Some(options.unheard), ..Options::default() };
        let patient = commands.with_options(&patient);
        Ok((Self { commands, patient, listener }, lifeline))
    }

    pub(super) fn messages(&self) -> broadcast::Receiver<Message> {
        self.listener.message_rx()
    }

    /// Sends one command about `key`, which in a cluster determines the server.
    pub(super) async fn ask(&self, name: &'static str, key: &str, args: Vec<Value>) -> FredResult<Value> {
        metrics::counter!("parlance_registry_commands_total", "command" => name).increment(1);
        self.commands.custom(command(name, redis_keyslot(key.as_bytes())), args).await
    }

    /// Runs a script on keys of one shard.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> FredResult<Value> {
        metrics::counter!("parlance_registry_commands_total", "command" => script.name).increment(1);
        let slot = keys.first().map_or(0, |key| redis_keyslot(key.as_bytes()));
        let mut all = Vec::with_capacity(2 + keys.len() + args.len());
        all.push(Value::from(script.hash.as_str()));
        all.push(Value::Integer(keys.len() as i64));
        all.extend(keys.into_iter().map(Value::from));
        all.extend(args);
        match self.eval(script, command("EVALSHA", slot), all.clone()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                all[0] = Value::from(script.body);
                self.eval(script, command("EVAL", slot), all).await
            }
            answer => answer,
        }
    }

    /// (The client's own script interface would wait for the answer before it sends another command.)
    async fn eval(&self, script: &Script, eval: CustomCommand, args: Vec<Value>) -> FredResult<Value> {
        if script.patient {
            self.patient.custom(eval, args).await
        } else {
            self.commands.custom(eval, args).await
        }
    }

    /// Publishes a message to each channel. All messages to one channel take the same path through a cluster, so they
    /// arrive in order.
    pub(super) async fn publish(&self, messages: Vec<(String, Bytes)>) -> FredResult<()> {
        let sent = messages.into_iter().map(|(channel, message)| async move {
            let args = vec![Value::from(channel.as_str()), Value::Bytes(message)];
            self.ask("PUBLISH", &channel, args).await.map(drop)
        });
        join_all(sent).await.into_iter().collect()
    }

    /// Subscribes to `channels`, and unsubscribes from `no_more`. Returns once Redis has confirmed it.
    pub(super) async fn listen(&self, channels: Vec<String>, no_more: Vec<String>) -> FredResult<()> {
        for (name, channels) in [("SUBSCRIBE", channels), ("UNSUBSCRIBE", no_more)] {
            for some in channels.chunks(CHANNELS_AT_ONCE) {
                metrics::counter!("parlance_registry_commands_total", "command" => name).increment(1);
                match name {
                    "SUBSCRIBE" => self.listener.subscribe(some.to_vec()).await?,
                    _ => self.listener.unsubscribe(some.to_vec()).await?,
                }
            }
        }
        // The client considers these done when they are written. A later request on the same connection is answered
        // later; in a cluster, the slot that the client subscribes by identifies that connection.
        let slot = redis_keyslot(self.listener.id().as_bytes());
        self.listener.custom::<Value, Value>(command("PING", slot), Vec::new()).await.map(drop)
    }
}

impl Lifeline {
    /// Returns when a connection is lost, or the servers have changed.
    pub(super) async fn broken(&mut self) -> Cause {
        tokio::select! {
            _ = &mut self.commands.0 => Cause::Connection,
            _ = &mut self.listener.0 => Cause::Connection,
            _ = self.changes.recv() => Cause::Servers,
        }
    }
}

/// A task that ends with its owner.
pub(super) struct Task(pub(super) JoinHandle<FredResult<()>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn connection(options: &RedisOptions) -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: options.connect_timeout,
        internal_command_timeout: options.connect_timeout,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    }
}

fn command(name: &'static str, slot: u16) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Custom(slot), false)
}

/// Connects, once. The client reports a failure by ending its task, and a success only to earlier listeners; so its
/// state is checked.
async fn connect(client: &Client) -> FredResult<Task> {
    let mut task = Task(client.connect());
    let mut again = tokio::time::interval(LOOK_CONNECTED);
    loop {
        tokio::select! {
            biased;
            ended = &mut task.0 => {
                ended.map_err(|_| Error::new(ErrorKind::Canceled, "the connection's task ended"))??;
                return Err(Error::new(ErrorKind::IO, "the connection was closed"));
            }
            _ = again.tick() => if client.is_connected() { return Ok(task) },
        }
    }
}
