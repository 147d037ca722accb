use std::pin::pin;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::STALLED_AFTER;

/// Limits concurrent work. Work that takes longer than [`STALLED_AFTER`] yields its place to other work and continues
/// in a place for stalled work once one is free.
pub(crate) struct Places {
    prompt: Semaphore,
    stalled: Semaphore,
}

impl Places {
    pub(crate) fn new(prompt: usize, stalled: usize) -> Self {
        Self { prompt: Semaphore::new(prompt), stalled: Semaphore::new(stalled) }
    }

    /// Runs `work` once there is a place.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let prompt = self.prompt.acquire().await;
        let mut work = pin!(work);
        if let Ok(done) = timeout(STALLED_AFTER, &mut work).await {
            return done;
        }
        let _stalled = tokio::select! {
            biased;
            done = &mut work => return done,
            stalled = self.stalled.acquire() => stalled,
        };
        drop(prompt);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn hang(places: &Arc<Places>, number: usize) -> Vec<tokio::task::AbortHandle> {
        let one = |_| {
            let places = places.clone();
            tokio::spawn(async move { places.run(pending::<()>()).await }).abort_handle()
        };
        (0..number).map(one).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_work_yields_its_place() {
        let places = Arc::new(Places::new(2, 3));
        hang(&places, 4);
        tokio::task::yield_now().await;
        let asked = Instant::now();
        places.run(async {}).await;
        // The first ones have stalled in pairs, but the fourth keeps its place.
        assert_eq!(asked.elapsed(), 2 * STALLED_AFTER);
        places.run(async {}).await;
        assert_eq!(asked.elapsed(), 2 * STALLED_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_work_is_bounded() {
        let places = Arc::new(Places::new(2, 3));
        let hanging = hang(&places, 5);
        tokio::time::sleep(10 * STALLED_AFTER).await;
        let other = places.run(async {});
        assert!(timeout(Duration::from_secs(60), other).await.is_err(), "five hang in five places");
        hanging[0].abort();
        places.run(async {}).await;
    }
}
