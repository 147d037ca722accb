use std::sync::Arc;
use std::time::Duration;

use parlance_core::{ClockMonitor, SystemClock, TimeSource};
use parlance_faults::dynamodb::Dynamodb;
use parlance_store::{Dynamo, DynamoOptions, Store};

#[tokio::test]
async fn answers_reveal_clock_offset() {
    let dynamodb = Dynamodb::start().unwrap();
    dynamodb.plan().set_clock_ahead(Duration::from_secs(600));
    let clock = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
    let options = DynamoOptions { clock: clock.clone(), ..DynamoOptions::emulator(dynamodb.endpoint()) };
    let store = Dynamo::connect(&options).await.unwrap();
    assert_eq!(clock.offset_ms(TimeSource::Store), None);
    // An error about missing tables is an answer, too.
    store.identity().await.unwrap_err();
    let offset = clock.offset_ms(TimeSource::Store).unwrap();
    assert!((-600_000..-590_000).contains(&offset), "{offset}");
    assert!(clock.is_wrong());
}
