use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use axum::body::Bytes;
use axum::http::{Request, header};
use clap::Args;
use parlance_api::identity::http::exchange;
use parlance_core::{Clock as _, SystemClock};

use crate::limits::{REVOKE_ANSWER, REVOKE_WITHIN};
use crate::revoking::Order;

/// Sends the request to a running node; all nodes on the same store follow within seconds, and end the sessions of
/// these tokens.
#[derive(Args)]
pub(crate) struct Arguments {
    /// One token, by its `jti`
    #[arg(long, value_name = "JTI", conflicts_with_all = ["user", "everyone", "issued_until"])]
    token_id: Option<String>,

    /// All tokens of a user
    #[arg(long, value_name = "USER", conflicts_with = "everyone")]
    user: Option<String>,

    /// All tokens of everyone
    #[arg(long)]
    everyone: bool,

    /// Only tokens issued up to this time, Unix seconds, and those without a time of issue [default: now]
    #[arg(long, value_name = "SECONDS")]
    issued_until: Option<u64>,

    /// How long open sessions may last, to send another token; new sessions and calls are refused at once [default:
    /// they end at once]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,

    /// Take earlier revocations of the same back: of that token, of that user, or those of everyone
    #[arg(long, conflicts_with_all = ["issued_until", "grace"])]
    lift: bool,

    /// Admin listener of the node
    #[arg(
        long,
        env = "PARLANCE_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9090"
    )]
    admin: SocketAddr,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { token_id, user, everyone, issued_until, grace, lift, admin } = arguments;
    let order = Order { token_id, user_id: user, everyone, issued_until, grace_seconds: grace, lift };
    order.entry(SystemClock.now().0 / 1_000).map_err(anyhow::Error::msg)?;
    let request = Request::post(format!("http://{admin}/revocations"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(serde_json::to_vec(&order)?))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, answer) = runtime
        .block_on(exchange(request, REVOKE_WITHIN, REVOKE_ANSWER))
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("cannot ask the node at {admin}"))?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(status.is_success(), "the node refuses: {}", answer.trim());
    write!(std::io::stdout(), "{answer}")?;
    Ok(())
}
