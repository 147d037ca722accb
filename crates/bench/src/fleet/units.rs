use std::time::Duration;

use anyhow::Result;
use parlance_client::{Message, Session};
use parlance_proto::v1;
use tokio::time::{Instant, interval};

use super::effort::Effort;
use super::people::{create, open_deaf, room};
use crate::measure::raw::send_many;
use crate::measure::text;
use parlance_testbed::Cluster;

const WRITE_UNITS: &str = "parlance_dynamodb_write_units_total";
const READ_UNITS: &str = "parlance_dynamodb_read_units_total";

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(3).await?;
    let users = create(&cluster, "units", 64).await?;
    println!("DynamoDB units, 200 bytes of text, failed attempts counted");
    println!("{:<44} {:>10} {:>10} {:>10}", "", "messages", "write", "read");

    let alone = room(&cluster, "alone", &users[..2]).await?;
    let first = open_deaf(&cluster, &users[0], 0).await?;
    send_many(&first, &alone, 20, 1).await?;
    let count = effort.of(500);
    row(&cluster, "a message, alone", count, send_many(&first, &alone, count as u64, 1)).await?;

    let paced = room(&cluster, "paced", &users[..2]).await?;
    let count = effort.of(2_000);
    row(&cluster, "one node, 100 a second in one room", count, send_paced(&first, &paced, count)).await?;

    let full = room(&cluster, "full", &users).await?;
    let mut senders = Vec::new();
    for user in &users[..8] {
        senders.push(open_deaf(&cluster, user, 0).await?);
    }
    let count = effort.of(2_000);
    let saturated = async {
        let all = senders.iter().map(|sender| send_many(sender, &full, count as u64, 64));
        futures::future::try_join_all(all).await.map(drop)
    };
    row(&cluster, "one node saturated, one room", 8 * count, saturated).await?;

    let mut writers = Vec::new();
    for (node, user) in users[8..11].iter().enumerate() {
        writers.push(open_deaf(&cluster, user, node).await?);
    }
    let shared = async {
        let all = writers.iter().map(|writer| send_many(writer, &full, count as u64, 16));
        futures::future::try_join_all(all).await.map(drop)
    };
    row(&cluster, "three nodes writing one room", 3 * count, shared).await?;

    let count = effort.of(200);
    let edits = async {
        let to_edit = first.send_message(Message::to_room(&alone, text())).await?.seq;
        for _ in 0..count {
            let request = v1::EditMessageRequest {
                room_id: alone.clone(),
                seq: to_edit,
                text: text(),
                ..Default::default()
            };
            first.call(request).await?;
        }
        anyhow::Ok(())
    };
    row(&cluster, "an edit", count, edits).await?;
    let joins = async {
        for user in &users[11..11 + count.min(50)] {
            let joiner = open_deaf(&cluster, user, 0).await?;
            joiner.call(v1::JoinRoomRequest { room_id: alone.clone(), ..Default::default() }).await?;
        }
        anyhow::Ok(())
    };
    row(&cluster, "a join", count.min(50), joins).await?;
    let reader = open_deaf(&cluster, &users[1], 0).await?;
    let count = effort.of(200);
    let marks = async {
        for seq in 1..=count as u64 {
            reader.call(v1::MarkReadRequest { room_id: alone.clone(), seq, ..Default::default() }).await?;
        }
        anyhow::Ok(())
    };
    row(&cluster, "a read mark", count, marks).await?;
    println!();
    drop((first, senders, writers, reader));
    cluster.end().await
}

async fn send_paced(session: &Session, room: &str, count: usize) -> Result<()> {
    let mut tick = interval(Duration::from_millis(10));
    let mut sends = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..count {
        tick.tick().await;
        let (session, message) = (session.clone(), Message::to_room(room, text()));
        sends.spawn(async move { session.send_message(message).await });
    }
    while let Some(sent) = sends.join_next().await {
        sent??;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    anyhow::ensure!(rate > 80.0, "only {rate:.0} messages a second went out");
    Ok(())
}

async fn row(
    cluster: &Cluster,
    name: &str,
    count: usize,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let before = (cluster.metric(WRITE_UNITS).await?, cluster.metric(READ_UNITS).await?);
    work.await?;
    let after = (cluster.metric(WRITE_UNITS).await?, cluster.metric(READ_UNITS).await?);
    let each = |from: f64, to: f64| (to - from) / count as f64;
    println!("{name:<44} {count:>10} {:>10.2} {:>10.2}", each(before.0, after.0), each(before.1, after.1));
    Ok(())
}
