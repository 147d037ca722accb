use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Metric handles. Looked up once: a lookup for every frame would cost more than counting.
#[derive(Clone)]
pub(crate) struct Meters {
    websockets: Gauge,
    pub(crate) frames_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) frames_to_json: Counter,
    pub(crate) bad_frames: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe_gauge!("parlance_bridge_websockets", "open WebSocket connections");
        describe_counter!("parlance_bridge_frames_in_total", "client frames passed on to the backend");
        describe_counter!("parlance_bridge_frames_out_total", "server frames taken from the backend");
        describe_counter!(
            "parlance_bridge_frames_to_json_total",
            "server frames put into JSON: each once, however many sockets get it"
        );
        describe_counter!("parlance_bridge_bad_frames_total", "client messages that were no frame");
        Self {
            websockets: gauge!("parlance_bridge_websockets"),
            frames_in: counter!("parlance_bridge_frames_in_total"),
            frames_out: counter!("parlance_bridge_frames_out_total"),
            frames_to_json: counter!("parlance_bridge_frames_to_json_total"),
            bad_frames: counter!("parlance_bridge_bad_frames_total"),
        }
    }

    /// Counts a WebSocket as open until the guard is dropped.
    pub(crate) fn open(&self) -> Open {
        self.websockets.increment(1.0);
        Open(self.websockets.clone())
    }
}

/// See [`Meters::open`].
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
