use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Wakes a task, unless somebody does its work already.
///
/// HTTP/2 wakes whoever drives a connection for all that is given it to send. Who sends it
/// at once hushes the bell before, and has not woken anybody for nothing.
#[derive(Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    hushed: AtomicBool,
    /// Since it was hushed.
    rung: AtomicBool,
}

impl Bell {
    /// Whom to wake.
    pub(crate) fn wakes(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Wakes nobody from now on. One hushes it at a time.
    pub(crate) fn hush(&self) {
        self.rung.store(false, Ordering::SeqCst);
        self.hushed.store(true, Ordering::SeqCst);
    }

    /// Forgets that it rang: what it rang for is looked at after this.
    pub(crate) fn forget(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// Wakes again, and for what has rung it meanwhile.
    pub(crate) fn unhush(&self) {
        // A ring in between sees either that it is not hushed, or is seen here.
        self.hushed.store(false, Ordering::SeqCst);
        if self.rung.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }

    /// Wakes the task, hushed or not.
    pub(crate) fn ring(&self) {
        self.task.wake();
    }
}

/// Wakes the task of a [`Bell`], hushed or not.
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
    fn what_rings_while_it_is_hushed_is_told_after_unless_forgotten() {
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
