//! Measure 13: pages of a long history, and an inbox of many rooms.

use tokio::time::Instant;

use anyhow::Result;
use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Session, create_user};
use parlance_proto::v1;

use super::effort::{Effort, progress};
use super::results::{Goal, Results};
use super::series::{Series, quantile};
use super::{many_nodes, raw};
use crate::fleet::people;
use parlance_testbed::Seeded;
use parlance_testbed::ServerProcess;

/// Messages in the room that a long one is compared with.
const SHORT: u64 = 1_000;

const PAGE: u32 = 50;
const PAGES: usize = 300;
const INBOX_ROOMS: usize = 1_000;

/// Messages in flight while a room is filled.
const IN_FLIGHT: usize = 64;

pub(super) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let token = create_user(server.address(), "bench:reader", "").await?;
    let reader = |server: &ServerProcess| {
        let dialer = Dialer::new(Door::Grpc, server.address());
        raw::Creator(
            Session::start(Config { max_in_flight: IN_FLIGHT, ..Config::new(dialer, token.clone()) }).0,
        )
    };
    let session = reader(&server);
    let short = session.room("short", &[]).await?;
    let long = session.room("long", &[]).await?;
    raw::send_many(&session.0, &short, SHORT, IN_FLIGHT).await?;
    eprintln!("filling a room with {} messages", effort.history);
    raw::send_many(&session.0, &long, effort.history, IN_FLIGHT).await?;
    for room in 0..INBOX_ROOMS {
        session.room(&format!("inbox-{room}"), &[]).await?;
    }
    drop(session);
    let mut cold = Series::default();
    let [mut warm_long, mut warm_short, mut inbox, mut ratio] = [(); 4].map(|()| Series::default());
    for round in 0..effort.rounds {
        progress("history", round, effort.rounds);
        // Clears the server's caches; the operating system's caches stay warm.
        server.kill_and_restart().await?;
        let session = reader(&server).0;
        // Connects first, whatever the answer: connecting is not part of a page.
        session.call(v1::GetUserRequest::default()).await.ok();
        cold.push(pages(&session, &long, effort.history, 1, round as u64).await?);
        let in_long = pages(&session, &long, effort.history, PAGES, round as u64).await?;
        let in_short = pages(&session, &short, SHORT, PAGES, round as u64).await?;
        ratio.push(in_long / in_short);
        warm_long.push(in_long);
        warm_short.push(in_short);
        let began = Instant::now();
        read_inbox(&session).await?;
        inbox.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let long = effort.history;
    results.add(
        13,
        format!("page of {PAGE} in a room of {long} messages, against one of {SHORT}"),
        Goal::AtMost(1.5),
        ratio,
    );
    results.detail(13, format!("first page of a server just started, room of {long}, ms"), cold);
    results.detail(13, format!("page at any place, room of {long}, ms"), warm_long);
    results.detail(13, format!("page at any place, room of {SHORT}, ms"), warm_short);
    results.detail(13, format!("inbox of {INBOX_ROOMS} rooms, all pages, ms"), inbox);
    server.stop().await
}

const READ_UNITS: &str = "parlance_dynamodb_read_units_total";

/// Likewise on DynamoDB. Only the charged units matter: the API server here is a stand-in,
/// so its times are meaningless.
pub(super) async fn on_dynamodb(effort: &Effort, results: &mut Results) -> Result<()> {
    let cluster = many_nodes::start(effort, 1).await?;
    let reader = people::create(&cluster, "reader", 1).await?;
    let session = people::open_deaf(&cluster, &reader[0], 0).await?;
    let short = people::room(&cluster, "short", &reader).await?;
    let long = people::room(&cluster, "long", &reader).await?;
    raw::send_many(&session, &short, SHORT, IN_FLIGHT).await?;
    let messages = effort.history_on_dynamodb;
    eprintln!("filling a room on DynamoDB with {messages} messages");
    raw::send_many(&session, &long, messages, IN_FLIGHT).await?;
    let [mut in_long, mut in_short, mut units, mut ratio] = [(); 4].map(|()| Series::default());
    for round in 0..effort.rounds {
        progress("history on DynamoDB", round, effort.rounds);
        let before = cluster.metric(READ_UNITS).await?;
        in_long.push(pages(&session, &long, messages, PAGES, round as u64).await?);
        let between = cluster.metric(READ_UNITS).await?;
        in_short.push(pages(&session, &short, SHORT, PAGES, round as u64).await?);
        let of_long = between - before;
        let of_short = cluster.metric(READ_UNITS).await? - between;
        ratio.push(of_long / of_short);
        units.push(of_long / PAGES as f64);
    }
    let measure =
        format!("read units for a page of {PAGE} in a room of {messages} messages, against one of {SHORT}");
    results.add(13, measure, Goal::AtMost(1.5), ratio);
    results.detail(13, format!("read units for a page, room of {messages}"), units);
    results.detail(13, format!("page at any place, room of {messages} on DynamoDB, ms"), in_long);
    results.detail(13, format!("page at any place, room of {SHORT} on DynamoDB, ms"), in_short);
    drop(session);
    cluster.end().await
}

/// Reads pages at varying positions; returns the median time in milliseconds.
async fn pages(session: &Session, room: &str, messages: u64, count: usize, seed: u64) -> Result<f64> {
    let mut places = Seeded::new(seed);
    let mut took = Vec::new();
    for _ in 0..count {
        let before_seq = u64::from(PAGE) + places.below(messages - u64::from(PAGE));
        let began = Instant::now();
        let request = v1::ListMessagesRequest {
            room_id: room.to_owned(),
            before_seq,
            page_size: PAGE,
            ..Default::default()
        };
        let page = session.call(request).await?;
        anyhow::ensure!(!page.messages.is_empty(), "an empty page before {before_seq}");
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(quantile(&took, 0.5))
}

async fn read_inbox(session: &Session) -> Result<()> {
    let mut page_token = String::new();
    let mut rooms = 0;
    loop {
        let page =
            session.call(v1::ListInboxRequest { page_token, page_size: 200, ..Default::default() }).await?;
        rooms += page.entries.len();
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    anyhow::ensure!(rooms >= INBOX_ROOMS, "{rooms} rooms in the inbox");
    Ok(())
}
