use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// A waker that can be suppressed while another task does the woken task's work.
///
/// HTTP/2 wakes the task of a connection for everything it is given to send. A task that sends the data itself
/// suppresses the waker first and avoids needless wake-ups.
#[derive(Default)]
pub(crate) struct SuppressibleWaker {
    task: AtomicWaker,
    suppressed: AtomicBool,
    /// Whether it was woken while suppressed.
    woken_meanwhile: AtomicBool,
}

impl SuppressibleWaker {
    /// Sets the task to wake.
    pub(crate) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Suppresses the waker. Only one task at a time does so.
    pub(crate) fn suppress(&self) {
        self.woken_meanwhile.store(false, Ordering::SeqCst);
        self.suppressed.store(true, Ordering::SeqCst);
    }

    /// Clears a suppressed wake-up: its cause is handled after this.
    pub(crate) fn clear(&self) {
        self.woken_meanwhile.store(false, Ordering::SeqCst);
    }

    /// Resumes waking, including for a suppressed wake-up.
    pub(crate) fn resume(&self) {
        // A concurrent wake-up either sees that it is no longer suppressed, or is seen here.
        self.suppressed.store(false, Ordering::SeqCst);
        if self.woken_meanwhile.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }

    /// Wakes the task, suppressed or not.
    pub(crate) fn wake_anyway(&self) {
        self.task.wake();
    }
}

/// Wakes the task of a [`SuppressibleWaker`], suppressed or not.
pub(crate) struct Unsuppressed(pub(crate) Arc<SuppressibleWaker>);

impl Wake for Unsuppressed {
    fn wake(self: Arc<Self>) {
        self.0.wake_anyway();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_anyway();
    }
}

impl Wake for SuppressibleWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken_meanwhile.store(true, Ordering::SeqCst);
        if !self.suppressed.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn suppressed_wake_up_is_delivered_later_unless_cleared() {
        let (wakeups, woken) = (Arc::new(SuppressibleWaker::default()), Arc::new(Count::default()));
        let task = Waker::from(woken.clone());
        let woken_meanwhile = |what: &dyn Fn()| {
            wakeups.register(&task);
            let before = woken.0.load(Ordering::SeqCst);
            what();
            woken.0.load(Ordering::SeqCst) - before
        };
        assert_eq!(woken_meanwhile(&|| wakeups.clone().wake()), 1);
        assert_eq!(woken_meanwhile(&|| wakeups.suppress()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.clone().wake()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.resume()), 1);
        assert_eq!(woken_meanwhile(&|| wakeups.resume()), 1, "until it is suppressed again");
        assert_eq!(woken_meanwhile(&|| wakeups.suppress()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.clone().wake()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.clear()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.resume()), 0);
        assert_eq!(woken_meanwhile(&|| wakeups.wake_anyway()), 1);
    }
}
