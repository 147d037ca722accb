//! Golden files of reports.

use parlance_core::{
    Entry, Report, ReportCategory, ReportId, ReportList, ReportOutcome, ReportedMessage, Resolution,
};

use super::*;
use crate::report_record::{decode_last, decode_report, encode_last, encode_report};

pub(super) fn id() -> ReportId {
    ReportId::parse("p0123456789abcdef0123456789abcdef").unwrap()
}

/// A report of an edited message, answered.
fn report() -> Report {
    let event = Event {
        seq: 7,
        at: Timestamp(1_700_000_000_123),
        actor: user("bob"),
        service: None,
        request: RequestId::parse("request-1").unwrap(),
        message_count: 3,
        deleted_count: 1,
        body: Body::Message(Message::plain(text("bad words"))),
        unknown: Unknown::default(),
    };
    let edited = Some((text("bad words"), Timestamp(1_700_000_000_456)));
    let overlay = Some(Overlay { changed: 9, edited, ..Overlay::default() });
    Report {
        id: id(),
        at: Timestamp(1_700_000_000_789),
        reporter: user("alice"),
        category: ReportCategory::Hate,
        text: Reason::parse("look at this").unwrap(),
        user: user("bob"),
        message: Some(ReportedMessage::of(&room(), &Entry { event, overlay })),
        resolution: Some(Resolution {
            at: Timestamp(1_700_000_000_999),
            by: user("carol"),
            outcome: ReportOutcome::Dismissed,
            note: reason(),
        }),
        for_app_only: false,
        reporter_erased: false,
        user_erased: false,
    }
}

#[test]
fn reports() {
    let read = |bytes: &[u8]| decode_report(&id(), bytes);
    check("report", report(), encode_report, read);
    let erased = report().without_words_of(&user("alice")).unwrap().without_words_of(&user("bob")).unwrap();
    check("report-erased", erased, encode_report, read);
    let for_app_only = Report { for_app_only: true, resolution: None, ..report() };
    check("report-for-app-only", for_app_only, encode_report, read);
    let open = Report { category: ReportCategory::Other, message: None, resolution: None, ..report() };
    check("report-open", open, encode_report, read);
    check_bytes("key-report", &keys::report(&id()));
    let lists = report().lists();
    let keys = lists.iter().flat_map(|list| keys::report_in(list, &report().place()));
    check_bytes("key-report-lists", &keys.collect::<Vec<_>>());
    check_bytes("key-reported", &keys::reported(&report().of_message().unwrap()));
    check("last-report", id(), encode_last, decode_last);
    let open = ReportList::All { is_open: true };
    check_bytes("key-report-open", &keys::report_in(&open, &report().place()));
}

#[test]
fn values_of_a_later_version_are_kept() {
    use parlance_proto::storage::v1::{ReportRecord, ReportResolutionRecord};

    let record = ReportRecord {
        reporter_id: "alice".to_owned(),
        user_id: "bob".to_owned(),
        category: 1_000,
        resolution: Some(ReportResolutionRecord {
            by_id: "carol".to_owned(),
            outcome: 1_000,
            ..Default::default()
        }),
        ..Default::default()
    };
    let read = decode_report(&id(), &record.encode_to_vec()).unwrap();
    assert_eq!(read.category, ReportCategory::Later(1_000));
    assert_eq!(read.resolution.as_ref().unwrap().outcome, ReportOutcome::Later(1_000));
    assert_eq!(encode_report(&read), record.encode_to_vec());
}
