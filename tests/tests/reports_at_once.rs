//! Reports of one user that are made at the same moment.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_proto::v1::{ReportOutcome, ReportState};
use parlance_tests::DOORS;

use crate::app::App;
use crate::reports::{answer, listed, report_of};

#[tokio::test]
async fn two_reports_of_a_message_at_the_same_moment_are_one() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    for door in DOORS {
        let (mut one, mut other) = (app.alice.connect(door).await, app.alice.connect(Door::Grpc).await);
        for _ in 0..4 {
            let seq = app.bob.say(&room, "bad words").await;
            let made = tokio::join!(one.call(report_of(&room, seq)), other.call(report_of(&room, seq)));
            let (made, again) = (made.0.unwrap(), made.1.unwrap());
            assert_eq!(made.report_id, again.report_id, "{door}");
            assert_ne!(made.is_repeat, again.is_repeat, "{door}");
            let reports = listed(&mut at_app, &room, ReportState::Open).await;
            assert_eq!(reports.iter().filter(|report| report.seq == seq).count(), 1, "{door}");
            // Then there may be another one.
            at_app.call(answer(&made.report_id, ReportOutcome::Dismissed, "")).await.unwrap();
            let new = one.call(report_of(&room, seq)).await.unwrap();
            assert!(!new.is_repeat && new.report_id != made.report_id, "{door}");
        }
    }
}
