//! Executes operators' commands on a running consumer.

use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{RoomProgress, Wanted};

use super::super::{Answer, Command, Error};
use super::{Leave, PENDING_PAGE, Runner, tracker_of};

impl Runner {
    /// Executes a command; answers once its effect is stored.
    pub(super) async fn carry_out(&mut self, command: Command, answer: Answer) -> Option<Leave> {
        let mut leave = None;
        let result = match command {
            Command::Pause(paused) => self.pause(paused).await,
            Command::Unpark { room, skip } => self.unpark(room, skip).await,
            Command::UnparkAll => self.unpark_all().await,
            Command::Replay => {
                leave = Some(Leave::Walk);
                self.finish_work().await;
                // Its state must not be written over the deleted rows.
                self.tracker = tracker_of(&self.shared, &self.state);
                self.forget_progress().await.map_err(Error::from)
            }
        };
        self.report();
        let _ = answer.send(result);
        leave
    }

    /// Pauses or resumes; resuming also enables it.
    async fn pause(&mut self, paused: bool) -> Result<(), Error> {
        self.state.paused = paused;
        if !paused {
            self.state.disabled.clear();
            self.state.failing_since = None;
        }
        self.tracker.pause(self.state.paused || !self.state.disabled.is_empty());
        self.scan_after = None;
        Ok(self.write(Vec::new()).await?)
    }

    async fn unpark(&mut self, room: RoomId, skip: bool) -> Result<(), Error> {
        // A walk has its own state: nothing else is written before its end.
        let is_walking = self.state.walk.is_some();
        let saved = if is_walking {
            Ok(())
        } else {
            self.load().await;
            self.save().await
        };
        let (table, name) = (&self.shared.parts.table, &self.shared.options.name);
        let row = table.progress(name, std::slice::from_ref(&room)).await?.pop().map(|(_, row)| row);
        let parked = row.and_then(|row| Some((row.parked.as_ref()?.since, row)));
        let Some((since, mut row)) = parked else {
            // It may be parked in memory alone.
            saved?;
            return Err(Error::NotParked(room));
        };
        (row.parked, row.pending) = (None, true);
        if skip && let Some(head) = self.shared.parts.log.room(&room).await? {
            // After a restore, or below the floor, the refused event is no longer there to be skipped.
            let kept = head.floor..=head.head;
            if row.done.epoch == head.epoch && kept.contains(&(row.done.seq + 1)) {
                row.done.seq += 1;
            }
        }
        // Even if the write fails, since it may have been carried out: a later flush writes the current
        // state.
        self.parked.resumed(&room);
        if !is_walking {
            self.tracker.unpark(&room, row.clone(), since);
        }
        Ok(self.write(vec![(room, row)]).await?)
    }

    /// Resumes all parked rooms: their rows become pending, and are read as others are.
    async fn unpark_all(&mut self) -> Result<(), Error> {
        let is_walking = self.state.walk.is_some();
        if !is_walking {
            self.load().await;
            self.save_parked().await?;
        }
        let shared = self.shared.clone();
        let (table, name) = (&shared.parts.table, &shared.options.name);
        let mut after = None;
        loop {
            let page = table.rooms(name, Wanted::Parked, after.as_ref(), PENDING_PAGE).await?;
            let since = page.rooms.iter().filter_map(|(_, row)| Some(row.parked.as_ref()?.since)).min();
            let resumed = |(room, row)| (room, RoomProgress { parked: None, pending: true, ..row });
            let rows: Vec<_> = page.rooms.into_iter().map(resumed).collect();
            rows.iter().for_each(|(room, _)| self.parked.resumed(room));
            // Even if the write fails, since it may have been carried out.
            if !is_walking {
                self.tracker.unparked(&rows, since);
                self.scan_after = None;
            }
            if !rows.is_empty() {
                self.write(rows).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes the rows of all rooms that are parked in memory alone. One write has so many rows, and rows of others too.
    async fn save_parked(&mut self) -> Result<(), StoreError> {
        let mut left = usize::MAX;
        loop {
            self.save().await?;
            let unsaved = self.tracker.unsaved();
            if !self.tracker.has_unsaved_parked() {
                return Ok(());
            }
            if unsaved >= left {
                return Err(StoreError::Overloaded);
            }
            left = unsaved;
        }
    }

    /// Makes every room start over.
    async fn forget_progress(&mut self) -> Result<(), StoreError> {
        self.state.created_at = parlance_core::Timestamp(0);
        self.parked.clear();
        let feed = self.shared.parts.feed.clone();
        let mut after = None;
        loop {
            let rooms = feed.walk_rooms(after.as_ref(), PENDING_PAGE).await?;
            let Some(last) = rooms.last().cloned() else { return Ok(()) };
            // Pending until done: otherwise a process that stops here would leave rooms that are never
            // resumed.
            let anew = RoomProgress { pending: true, ..RoomProgress::default() };
            let rows = rooms.into_iter().map(|room| (room, anew.clone())).collect();
            self.write(rows).await?;
            after = Some(last);
        }
    }
}
