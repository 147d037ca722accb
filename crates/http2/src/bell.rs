use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// A waker that can be suppressed while another task does the woken task's work.
///
/// HTTP/2 wakes the task of a connection for everything it is given to send. A task that sends the data itself
/// suppresses the waker first and avoids needless wake-ups.
#[derive(Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    hushed: AtomicBool,
    /// Whether it was woken while suppressed.
    rung: AtomicBool,
}

impl Bell {
    /// Sets the task to wake.
    pub(crate) fn wakes(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Suppresses the waker. Only one task at a time does so.
    pub(crate) fn hush(&self) {
        self.rung.store(false, Ordering::SeqCst);
        self.hushed.store(true, Ordering::SeqCst);
    }

    /// Clears a suppressed wake-up: its cause is handled after this.
    pub(crate) fn forget(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// Resumes waking, including for a suppressed wake-up.
    pub(crate) fn unhush(&self) {
        // A concurrent wake-up either sees that it is no longer suppressed, or is seen here.
        self.hushed.store(false, Ordering::SeqCst);
        if self.rung.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }

    /// Wakes the task, suppressed or not.
    pub(crate) fn ring(&self) {
        self.task.wake();
    }
}

/// Wakes the task of a [`Bell`], suppressed or not.
pub(crate) struct Loud(pub(crate) Arc<Bell>);

impl Wake for Loud {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.hushed.load(Ordering::SeqCst) {
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
        let (bell, woken) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let task = Waker::from(woken.clone());
        let rung = |what: &dyn Fn()| {
            bell.wakes(&task);
            let before = woken.0.load(Ordering::SeqCst);
            what();
            woken.0.load(Ordering::SeqCst) - before
        };
        assert_eq!(rung(&|| bell.clone().wake()), 1);
        assert_eq!(rung(&|| bell.hush()), 0);
        assert_eq!(rung(&|| bell.clone().wake()), 0);
        assert_eq!(rung(&|| bell.unhush()), 1);
        assert_eq!(rung(&|| bell.unhush()), 1, "until it is hushed again");
        assert_eq!(rung(&|| bell.hush()), 0);
        assert_eq!(rung(&|| bell.clone().wake()), 0);
        assert_eq!(rung(&|| bell.forget()), 0);
        assert_eq!(rung(&|| bell.unhush()), 0);
        assert_eq!(rung(&|| bell.ring()), 1);
    }
}
