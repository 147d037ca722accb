//! Reminders of a sink that stays unavailable.

use tokio::time::Instant;

use crate::limits::AWAY_REMINDER;

/// When to log again that the sink is unavailable.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    due: Option<Instant>,
}

impl Reminder {
    /// Whether it is due. The beginning is logged elsewhere.
    pub(super) fn is_due(&mut self, is_away: bool, now: Instant) -> bool {
        if !is_away {
            self.due = None;
            return false;
        }
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due || self.due.is_none() {
            self.due = Some(now + AWAY_REMINDER);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Somebody who configures an endpoint in their own network finds the reason also in the log of the next day.
    #[test]
    fn an_unavailable_sink_is_logged_every_hour() {
        let (begun, mut reminder) = (Instant::now(), Reminder::default());
        let minutes =
            |from: u32, to: u32| (from..to).map(|minute| (minute, begun + Duration::from_secs(60) * minute));
        let mut due = |is_away: bool, from: u32, to: u32| -> Vec<u32> {
            minutes(from, to)
                .filter(|(_, at)| reminder.is_due(is_away, *at))
                .map(|(minute, _)| minute)
                .collect()
        };
        assert_eq!(due(true, 0, 150), [60, 120]);
        assert_eq!(due(false, 150, 151), [0; 0]);
        assert_eq!(due(true, 151, 300), [211, 271]);
    }
}
