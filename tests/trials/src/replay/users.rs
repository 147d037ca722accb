//! Logs everyone in.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use parlance_client::transport::Dialer;
use parlance_client::{Config, Session, Updates, create_user};
use parlance_proto::v1;
use tokio::sync::oneshot;
use tokio::time::{Duration, timeout};

use super::plan::{PlannedUser, User};
use super::run::{Online, Run};
use super::stream::{Streams, consume};

/// Concurrent logins: more would only queue up in the server.
const LOGINS_AT_ONCE: usize = 64;

const LOGIN_DEADLINE: Duration = Duration::from_secs(60);

/// Queue length for one user's updates: bursts of a few rooms.
const UPDATE_QUEUE: usize = 256;

/// Logs in every user of the plan and starts to check their streams. `on_login` is
/// called for each.
pub(super) async fn log_in(run: &Arc<Run>, address: &str, on_login: impl Fn()) -> Result<()> {
    ensure_descriptors(run.plan.users.len())?;
    let logins = futures::stream::iter(0..run.plan.users.len()).map(|user| {
        let on_login = &on_login;
        async move {
            let online = Box::pin(log_one_in(run, address, user)).await;
            on_login();
            online.with_context(|| format!("cannot log in {}", run.plan.users[user].id))
        }
    });
    // In the order of the plan.
    let online: Vec<_> = logins.buffered(LOGINS_AT_ONCE).try_collect().await?;
    let _ = run.users.set(online);
    Ok(())
}

async fn log_one_in(run: &Arc<Run>, address: &str, user: User) -> Result<Online> {
    let streams = Arc::new(Mutex::new(Streams::new(&run.plan, user)));
    let (session, updates) = open(&run.plan.users[user], address).await?;
    let (connected, welcomed) = oneshot::channel();
    tokio::spawn(consume(Arc::clone(run), Arc::clone(&streams), updates, connected));
    timeout(LOGIN_DEADLINE, welcomed).await.context("no welcome in time")???;
    Ok(Online { session, streams })
}

/// Creates a user and starts a session.
async fn open(user: &PlannedUser, address: &str) -> Result<(Session, Updates)> {
    let token = create_user(address, &user.id, &user.name).await?;
    let mut config = Config::new(Dialer::new(user.door, address), token);
    config.device_id = "replay".to_owned();
    config.update_queue = UPDATE_QUEUE;
    Ok(Session::start(config))
}

/// The server's limits, as announced to a separate user.
pub(super) async fn limits(address: &str, run: &str) -> Result<v1::Limits> {
    let user = PlannedUser {
        id: format!("{run}:probe"),
        name: "probe".to_owned(),
        door: parlance_client::transport::Door::Grpc,
    };
    let (_session, mut updates) = Box::pin(open(&user, address)).await?;
    loop {
        let update = timeout(LOGIN_DEADLINE, updates.recv()).await.context("no welcome in time")?;
        match update.context("the session ended")? {
            parlance_client::Update::Connected(welcome) => {
                return welcome.limits.context("the server names no limits");
            }
            parlance_client::Update::Stopped(error) => return Err(error.into()),
            _ => {}
        }
    }
}

/// Each session needs a socket: reports a low limit beforehand instead of failing in
/// the middle.
fn ensure_descriptors(sessions: usize) -> Result<()> {
    const BESIDE: usize = 200;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    if let Some(soft) = soft {
        ensure!(
            soft >= sessions + BESIDE,
            "{sessions} sessions need as many file descriptors and the limit is {soft}: raise it with `ulimit -n`, or say --rooms for fewer logs"
        );
    }
    Ok(())
}
