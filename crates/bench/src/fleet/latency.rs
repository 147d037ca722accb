use anyhow::{Context, Result};
use parlance_client::{Message, Update, Updates};
use tokio::time::Instant;

use super::effort::Effort;
use super::people::{create, open, open_deaf, room};
use crate::measure::quantile;
use crate::measure::text;

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(2).await?;
    let users = create(&cluster, "latency", 3).await?;
    let room = room(&cluster, "latency", &users).await?;
    let sender = open_deaf(&cluster, &users[0], 0).await?;
    let (_here, mut here) = open(&cluster, &users[1], &[0]).await?;
    let (_there, mut there) = open(&cluster, &users[2], &[1]).await?;
    let count = effort.of(5_000);
    let (mut near, mut far, mut acks) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count + 100 {
        let began = Instant::now();
        let sent = async {
            let response = sender.send_message(Message::to_room(&room, text())).await?;
            anyhow::Ok((response.seq, began.elapsed()))
        };
        let heard_here = next_event(&mut here, began);
        let heard_there = next_event(&mut there, began);
        let (sent, heard_here, heard_there) = tokio::join!(sent, heard_here, heard_there);
        // The first ones warm everything up.
        if number >= 100 {
            acks.push(sent?.1.as_secs_f64() * 1e3);
            near.push(heard_here?);
            far.push(heard_there?);
        }
    }
    println!("latency of a delivery, one message at a time, {count} messages, ms");
    let added: Vec<f64> = near.iter().zip(&far).map(|(near, far)| far - near).collect();
    for (name, mut values) in
        [("same node", near), ("another node", far), ("added", added), ("acknowledged", acks)]
    {
        values.sort_by(f64::total_cmp);
        println!("{name:<14} p50 {:>7.2}  p99 {:>7.2}", quantile(&values, 0.5), quantile(&values, 0.99));
    }
    println!();
    drop((sender, _here, _there));
    cluster.end().await
}

/// Milliseconds until the next message of another user.
async fn next_event(updates: &mut Updates, began: Instant) -> Result<f64> {
    loop {
        let update = updates.recv().await.context("a session ended")?;
        if let Update::Event(event) = update
            && matches!(event.body, Some(parlance_proto::v1::event::Body::Message(_)))
        {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
    }
}
