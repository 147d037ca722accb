//! Converts between reports and their stored records.

use parlance_core::{
    Reason, Report, ReportCategory, ReportId, ReportOutcome, ReportedMessage, Resolution, RoomId, Timestamp,
    UserId,
};
use parlance_proto::storage::v1::{
    LastReportRecord, ReportRecord, ReportResolutionRecord, ReportedMessageRecord,
};
use parlance_proto::stored;
use prost::Message;

use crate::StoreError;
use crate::record::{damaged, moment};

/// The categories by their stored numbers.
const CATEGORIES: [ReportCategory; 10] = [
    ReportCategory::Unspecified,
    ReportCategory::Spam,
    ReportCategory::Harassment,
    ReportCategory::Hate,
    ReportCategory::Violence,
    ReportCategory::Sexual,
    ReportCategory::SelfHarm,
    ReportCategory::Illegal,
    ReportCategory::Impersonation,
    ReportCategory::Other,
];

fn category_number(category: ReportCategory) -> u32 {
    match category {
        ReportCategory::Later(number) => number,
        _ => CATEGORIES.iter().zip(0..).find(|(of, _)| **of == category).map_or(0, |(_, number)| number),
    }
}

fn category_from(number: u32) -> ReportCategory {
    CATEGORIES.get(number as usize).copied().unwrap_or(ReportCategory::Later(number))
}

/// The row that names the last report of a message by somebody.
pub(crate) fn encode_last(id: &ReportId) -> Vec<u8> {
    LastReportRecord { report_id: id.as_str().to_owned() }.encode_to_vec()
}

pub(crate) fn decode_last(bytes: &[u8]) -> Result<ReportId, StoreError> {
    let record = LastReportRecord::decode(bytes).ok();
    let id = record.and_then(|record| ReportId::parse(&record.report_id).ok());
    id.ok_or_else(|| damaged("the last report", "a message"))
}

pub(crate) fn encode_report(report: &Report) -> Vec<u8> {
    let message = report.message.as_ref().map(|message| ReportedMessageRecord {
        room_id: message.room.as_str().to_owned(),
        seq: message.seq,
        event: message.event.as_ref().map(stored::encode_event).unwrap_or_default(),
        edited_at_ms: message.edited_at.map_or(0, |at| at.0),
    });
    let resolution = report.resolution.as_ref().map(|resolution| ReportResolutionRecord {
        at_ms: resolution.at.0,
        by_id: resolution.by.as_str().to_owned(),
        outcome: match resolution.outcome {
            ReportOutcome::Dismissed => 1,
            ReportOutcome::ActionTaken => 2,
            ReportOutcome::Later(number) => number,
        },
        note: resolution.note.as_str().to_owned(),
    });
    ReportRecord {
        at_ms: report.at.0,
        reporter_id: report.reporter.as_str().to_owned(),
        category: category_number(report.category),
        text: report.text.as_str().to_owned(),
        user_id: report.user.as_str().to_owned(),
        message,
        resolution,
        reporter_erased: report.reporter_erased,
        user_erased: report.user_erased,
        for_app_only: report.for_app_only,
    }
    .encode_to_vec()
}

pub(crate) fn decode_report(id: &ReportId, bytes: &[u8]) -> Result<Report, StoreError> {
    let read = || {
        let record = ReportRecord::decode(bytes).ok()?;
        let message = match record.message {
            None => None,
            Some(message) => Some(ReportedMessage {
                room: RoomId::parse(&message.room_id).ok()?,
                seq: message.seq,
                event: match &message.event[..] {
                    [] => None,
                    event => Some(stored::decode_event(event)?),
                },
                edited_at: moment(message.edited_at_ms),
            }),
        };
        let resolution = match record.resolution {
            None => None,
            Some(resolution) => Some(Resolution {
                at: Timestamp(resolution.at_ms),
                by: UserId::parse(&resolution.by_id).ok()?,
                outcome: match resolution.outcome {
                    1 => ReportOutcome::Dismissed,
                    2 => ReportOutcome::ActionTaken,
                    number => ReportOutcome::Later(number),
                },
                note: Reason::stored(&resolution.note),
            }),
        };
        Some(Report {
            id: id.clone(),
            at: Timestamp(record.at_ms),
            reporter: UserId::parse(&record.reporter_id).ok()?,
            category: category_from(record.category),
            text: Reason::stored(&record.text),
            user: UserId::parse(&record.user_id).ok()?,
            message,
            resolution,
            reporter_erased: record.reporter_erased,
            user_erased: record.user_erased,
            for_app_only: record.for_app_only,
        })
    };
    read().ok_or_else(|| damaged("the report", id))
}
