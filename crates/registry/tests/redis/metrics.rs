//! Metrics of the registry. They are per process, so tests in one process see each
//! other's counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

type Counts = Mutex<HashMap<Key, Arc<AtomicU64>>>;

/// Installed on first use.
static COUNTS: LazyLock<Arc<Counts>> = LazyLock::new(|| {
    let counts = Arc::new(Counts::default());
    metrics::set_global_recorder(Counting(Arc::clone(&counts))).unwrap();
    counts
});

struct Counting(Arc<Counts>);

impl Recorder for Counting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(key.clone()).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.0.lock().unwrap().entry(key.clone()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

pub(crate) fn start_counting() {
    LazyLock::force(&COUNTS);
}

fn value(key: &Key) -> u64 {
    COUNTS.lock().unwrap().get(key).map_or(0, |count| count.load(Ordering::SeqCst))
}

/// How often messages may have been lost because of `cause`.
pub(crate) fn recoveries(cause: &'static str) -> u64 {
    value(&Key::from_parts("parlance_registry_recoveries_total", &[("cause", cause)][..]))
}

pub(crate) fn commands(command: &'static str) -> u64 {
    value(&Key::from_parts("parlance_registry_commands_total", &[("command", command)][..]))
}

pub(crate) fn connected() -> bool {
    f64::from_bits(value(&Key::from_name("parlance_registry_connected"))) > 0.0
}
