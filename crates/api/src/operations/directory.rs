//! The directory of channels.

use parlance_core::{FoldedName, RoomId, TitlePlace};
use parlance_proto::{convert, v1};
use parlance_store::ListedRoom;

use super::filtered::fitting;
use super::parse::{self, TOKEN_SPACE};
use crate::gate::Admitted;
use crate::{Api, Error};

impl Api {
    pub(crate) async fn list_directory(
        &self,
        _: &Admitted,
        request: v1::ListDirectoryRequest,
    ) -> Result<v1::ListDirectoryResponse, Error> {
        let prefix = parse::prefix("title_prefix", &request.title_prefix)?;
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, place_of)?;
        if after.as_ref().is_some_and(|after| !after.title.starts_with(&prefix)) {
            return Err(parse::field("page_token", "is of another search"));
        }
        let found = self.store().listed_rooms(&prefix, after.as_ref(), size).await?;
        for room in &found.damaged {
            tracing::error!(%room, "cannot read a room, leaving it out of the directory");
            metrics::counter!("parlance_unreadable_rooms_total").increment(1);
        }
        let token = |place: TitlePlace| format!("{}{TOKEN_SPACE}{}", place.room, place.title.as_str());
        let (mut rooms, mut next) = (found.rooms.iter().map(entry).collect::<Vec<_>>(), found.next);
        let fitting = fitting(&rooms);
        if fitting < rooms.len() {
            rooms.truncate(fitting);
            next = found.rooms.get(fitting - 1).and_then(|last| last.info.place());
        }
        Ok(v1::ListDirectoryResponse {
            rooms,
            next_page_token: next.map(token).unwrap_or_default(),
            unreadable_room_ids: found.damaged.iter().map(ToString::to_string).collect(),
        })
    }
}

fn entry(room: &ListedRoom) -> v1::DirectoryEntry {
    let settings = &room.info.settings;
    v1::DirectoryEntry {
        room_id: room.info.id.to_string(),
        title: settings.title.as_str().to_owned(),
        topic: settings.topic.as_str().to_owned(),
        image_url: settings.image.as_str().to_owned(),
        member_count: room.members,
        joining: convert::joining(settings.joining(room.info.kind)).into(),
    }
}

fn place_of(token: &str) -> Result<TitlePlace, ()> {
    let (room, title) = token.split_once(TOKEN_SPACE).ok_or(())?;
    Ok(TitlePlace { title: FoldedName::stored(title), room: RoomId::parse(room).map_err(drop)? })
}
