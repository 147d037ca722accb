//! Consumers with planted mistakes, made by their feed, table, log or sink.

mod feed;
mod log;
mod seen;
mod sink;
mod table;

use std::sync::Arc;

use parlance_stream::Parts;

use self::feed::PlantedFeed;
use self::log::PlantedLog;
use self::seen::Seen;
use self::sink::PlantedSink;
use self::table::PlantedTable;
use crate::Plant;

/// Wraps the parts of a consumer with a bug.
pub fn mistaken(parts: Parts, bug: Plant) -> Parts {
    let seen = Arc::<Seen>::default();
    Parts {
        feed: Arc::new(PlantedFeed { inner: parts.feed, seen: seen.clone(), bug }),
        table: Arc::new(PlantedTable::new(parts.table, parts.log.clone(), seen.clone(), bug)),
        log: Arc::new(PlantedLog { inner: parts.log, seen: seen.clone(), bug }),
        sink: Arc::new(PlantedSink { inner: parts.sink, seen, bug }),
        clock: parts.clock,
    }
}
