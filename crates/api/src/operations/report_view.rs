//! Reports as different readers see them.

use parlance_core::{Body, Report, ReportCategory, ReportOutcome, ReportedMessage};
use parlance_proto::{convert, v1};

/// Who sees a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The app.
    App,
    /// Someone who moderates the room.
    Moderator,
    /// The reporter, in an export of their own data.
    Reporter,
    /// The reported user, in an export of theirs.
    Reported,
    /// Who answered it, in an export of theirs.
    Answerer,
}

pub(super) fn report_to_proto(report: &Report, reader: Reader) -> v1::Report {
    let message = report.message.as_ref();
    let room_id = message.map(|message| message.room.as_str().to_owned()).unwrap_or_default();
    let shows_copy = !matches!(reader, Reader::Reporter | Reader::Answerer);
    let copy = message.and_then(ReportedMessage::entry);
    let copy = copy.filter(|entry| shows_copy && matches!(entry.event.body, Body::Message(_)));
    let resolution = report.resolution.as_ref().filter(|_| reader != Reader::Reporter);
    // A note is for other moderators, and may say who reported.
    let is_private = reader == Reader::Reported;
    let state = if report.resolution.is_some() { v1::ReportState::Resolved } else { v1::ReportState::Open };
    v1::Report {
        report_id: report.id.as_str().to_owned(),
        at: Some(convert::timestamp(report.at)),
        category: category_to_proto(report.category).into(),
        text: match reader {
            Reader::Reported | Reader::Answerer => String::new(),
            _ => report.text.as_str().to_owned(),
        },
        reporter_id: match reader {
            Reader::App | Reader::Reporter => report.reporter.as_str().to_owned(),
            Reader::Moderator | Reader::Reported | Reader::Answerer => String::new(),
        },
        user_id: report.user.as_str().to_owned(),
        seq: message.map_or(0, |message| message.seq),
        message: copy.map(|entry| convert::entry(&room_id, &entry)),
        room_id,
        state: state.into(),
        resolution: resolution.map(|resolution| v1::ReportResolution {
            at: Some(convert::timestamp(resolution.at)),
            user_id: if is_private { String::new() } else { resolution.by.as_str().to_owned() },
            outcome: match resolution.outcome {
                ReportOutcome::Dismissed => v1::ReportOutcome::Dismissed,
                ReportOutcome::ActionTaken | ReportOutcome::Later(_) => v1::ReportOutcome::ActionTaken,
            }
            .into(),
            note: if is_private { String::new() } else { resolution.note.as_str().to_owned() },
        }),
    }
}

/// Each category in both forms.
const CATEGORIES: [(ReportCategory, v1::ReportCategory); 10] = [
    (ReportCategory::Unspecified, v1::ReportCategory::Unspecified),
    (ReportCategory::Spam, v1::ReportCategory::Spam),
    (ReportCategory::Harassment, v1::ReportCategory::Harassment),
    (ReportCategory::Hate, v1::ReportCategory::Hate),
    (ReportCategory::Violence, v1::ReportCategory::Violence),
    (ReportCategory::Sexual, v1::ReportCategory::Sexual),
    (ReportCategory::SelfHarm, v1::ReportCategory::SelfHarm),
    (ReportCategory::Illegal, v1::ReportCategory::Illegal),
    (ReportCategory::Impersonation, v1::ReportCategory::Impersonation),
    (ReportCategory::Other, v1::ReportCategory::Other),
];

pub(super) fn category_from(category: v1::ReportCategory) -> ReportCategory {
    let found = CATEGORIES.iter().find(|(_, of)| *of == category);
    found.map_or(ReportCategory::Other, |(category, _)| *category)
}

fn category_to_proto(category: ReportCategory) -> v1::ReportCategory {
    let found = CATEGORIES.iter().find(|(of, _)| *of == category);
    found.map_or(v1::ReportCategory::Other, |(_, category)| *category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_category_is_converted_both_ways() {
        for number in 0.. {
            let Ok(category) = v1::ReportCategory::try_from(number) else {
                assert_eq!(number as usize, CATEGORIES.len());
                return;
            };
            assert_eq!(category_to_proto(category_from(category)), category);
        }
    }
}
