//! Lookups of host names, on threads of their own.
//!
//! The system's resolver blocks for as long as its name servers do not answer, which no timeout of a caller ends. On the
//! runtime's pool for blocking calls, lookups of one host would keep out everything else that uses the pool, such as
//! reads of the store.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::limits::{LOOKUP_KEPT, LOOKUP_WITHIN};

type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// A host that is connected to again and again. At most one lookup of it is open, which all callers share, also
/// those that come after the first ones have given up.
pub struct HostName {
    host: String,
    resolve: Resolve,
    latest: Mutex<Option<watch::Receiver<Option<Found>>>>,
}

/// The result of a lookup.
#[derive(Clone)]
struct Found {
    addresses: Result<Arc<[IpAddr]>, String>,
    at: Instant,
}

impl HostName {
    /// A name, or an address without brackets, which is resolved by the system.
    pub fn new(host: impl Into<String>) -> Self {
        Self::resolved_by(host, |host| {
            // The port matters to nobody, but the interface wants one.
            Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
        })
    }

    /// The same, resolved by `resolve`, which may block.
    pub fn resolved_by(
        host: impl Into<String>,
        resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { host: host.into(), resolve: Arc::new(resolve), latest: Mutex::default() }
    }

    /// Its addresses as of the last few seconds.
    ///
    /// # Errors
    /// Why there are none, as text.
    pub async fn addresses(&self) -> Result<Arc<[IpAddr]>, String> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok([address].into());
        }
        let mut lookup = self.lookup();
        let Ok(found) = timeout(LOOKUP_WITHIN, lookup.wait_for(Option::is_some)).await else {
            return Err(format!("cannot resolve {}: no answer in time", self.host));
        };
        match found.as_deref() {
            Ok(Some(found)) => found.addresses.clone(),
            _ => Err(format!("cannot resolve {}: there is no thread for it", self.host)),
        }
    }

    /// The open lookup or the last one, or a new one if that is too old.
    fn lookup(&self) -> watch::Receiver<Option<Found>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = latest.as_ref().filter(|lookup| is_current(lookup)) {
            return lookup.clone();
        }
        let (sender, lookup) = watch::channel(None);
        let (host, resolve) = (self.host.clone(), self.resolve.clone());
        let work = move || {
            let found = resolve(&host);
            let addresses = found.map(Arc::from).map_err(|error| format!("cannot resolve {host}: {error}"));
            sender.send_replace(Some(Found { addresses, at: Instant::now() }));
        };
        // Without a thread the sender is dropped: callers get an error, and the next one tries again.
        drop(std::thread::Builder::new().name("lookup".to_owned()).spawn(work));
        *latest = Some(lookup.clone());
        lookup
    }
}

fn is_current(lookup: &watch::Receiver<Option<Found>>) -> bool {
    match &*lookup.borrow() {
        Some(found) => found.at.elapsed() < LOOKUP_KEPT,
        // Open, unless its thread has panicked.
        None => lookup.has_changed().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// With one thread for blocking calls, a single lookup on it would be too many.
    #[test]
    fn lookups_that_hang_are_one_and_keep_nobody_from_blocking_calls() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (answer, answers) = mpsc::channel::<()>();
        let (answers, begun) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let counted = begun.clone();
        let name = Arc::new(HostName::resolved_by("hooks.example.com", move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = answers.lock().unwrap().recv();
            Ok(vec![ADDRESS])
        }));
        runtime.block_on(async {
            let look = || {
                let name = name.clone();
                tokio::spawn(async move { name.addresses().await })
            };
            // These give up before there is an answer.
            for given_up in (0..64).map(|_| look()).collect::<Vec<_>>() {
                tokio::task::yield_now().await;
                given_up.abort();
            }
            assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
            let waiting: Vec<_> = (0..64).map(|_| look()).collect();
            tokio::task::yield_now().await;
            answer.send(()).unwrap();
            for waiting in waiting {
                assert_eq!(waiting.await.unwrap().unwrap().as_ref(), [ADDRESS]);
            }
            assert_eq!(begun.load(Ordering::SeqCst), 1, "the answer is shared, and kept for a moment");
        });
    }

    #[tokio::test]
    async fn a_lookup_that_fails_says_why_and_one_that_panics_is_made_again() {
        let name = HostName::resolved_by("nowhere.invalid", |_| Err(io::Error::other("no such host")));
        assert_eq!(name.addresses().await.unwrap_err(), "cannot resolve nowhere.invalid: no such host");
        let begun = AtomicUsize::new(0);
        let name = HostName::resolved_by("hooks.example.com", move |_| {
            assert!(begun.fetch_add(1, Ordering::SeqCst) > 0, "the first one panics");
            Ok(vec![ADDRESS])
        });
        assert!(name.addresses().await.unwrap_err().contains("no thread"));
        assert_eq!(name.addresses().await.unwrap().as_ref(), [ADDRESS]);
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let name = HostName::resolved_by(address, |_| panic!("it is looked up"));
            assert_eq!(name.addresses().await.unwrap().as_ref(), [address.parse::<IpAddr>().unwrap()]);
        }
    }
}
