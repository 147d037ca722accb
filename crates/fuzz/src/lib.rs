//! Runs a function that reads foreign bytes on mutated inputs, and fails if it panics. A [`Target`] is a test of the
//! crate whose function it calls, so that private functions need not be exposed.
//!
//! The short run is part of the tests and the same each time. `make fuzz SECONDS=600` runs every target for that long,
//! from another seed. Inputs whose outcome was new are mutated further; which code was reached is not measured.
//! Inputs that once failed, and others worth beginning with, are files in the folder `fuzz/NAME` of the target's crate.
#![warn(missing_docs)]

mod limits;
mod mutate;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::limits::{LOOK_EVERY, MAX_POOL, REPORT_EVERY, SHORT_RUN};
pub use crate::mutate::{Numbers, mutate};

/// What a function is run on.
#[derive(Debug)]
pub struct Target<'t> {
    /// Its name, and that of its folder.
    pub name: &'t str,
    /// `CARGO_MANIFEST_DIR` of its crate.
    pub crate_dir: &'t str,
    /// Inputs to begin with, beside the files.
    pub seeds: Vec<Vec<u8>>,
    /// Words that inputs are made of.
    pub dictionary: &'t [&'t str],
    /// How much less than others it runs in the short run: 1 for functions that take microseconds.
    pub cost: u64,
}

/// How long a run takes.
enum Until {
    Count(u64),
    Time { begun: Instant, lasts: Duration },
}

impl Target<'_> {
    /// Runs `function` on all seeds and on mutated inputs. The value that it returns distinguishes outcomes.
    ///
    /// # Panics
    /// If the function does. The input is in the message, and in a file.
    #[expect(clippy::print_stdout, reason = "the figures of a run")]
    #[expect(clippy::disallowed_methods, reason = "a run takes as long as it is told")]
    pub fn run<O: Debug>(self, function: impl Fn(&[u8]) -> O) {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
        let seconds: Option<u64> = number("PARLANCE_FUZZ_SECONDS");
        let seed = number("PARLANCE_FUZZ_SEED").unwrap_or(1);
        let begun = Instant::now();
        let until = match seconds {
            Some(seconds) => Until::Time { begun, lasts: Duration::from_secs(seconds) },
            None => Until::Count((SHORT_RUN / self.cost).max(1)),
        };
        let mut pool = self.begin_with();
        let mut outcomes = HashSet::new();
        for input in &pool {
            outcomes.insert(self.outcome(&function, input));
        }
        let dictionary: Vec<&[u8]> = self.dictionary.iter().map(|word| word.as_bytes()).collect();
        let (mut numbers, mut count, mut reported) = (Numbers::new(seed), 0, begun);
        while until.lasts(count) {
            let mut input = pool[numbers.below(pool.len())].clone();
            let other = numbers.below(pool.len());
            mutate(&mut input, &pool[other], &dictionary, &mut numbers);
            count += 1;
            if outcomes.insert(self.outcome(&function, &input)) && pool.len() < MAX_POOL {
                pool.push(input);
            }
            if seconds.is_some() && count.is_multiple_of(LOOK_EVERY) && reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                println!("{}: {count} inputs, {} outcomes", self.name, outcomes.len());
            }
        }
        let took = begun.elapsed();
        println!("{}: {count} inputs in {took:.1?}, {} outcomes, seed {seed}", self.name, outcomes.len());
    }

    fn begin_with(&self) -> Vec<Vec<u8>> {
        let mut pool = self.seeds.clone();
        let folder = PathBuf::from(self.crate_dir).join("fuzz").join(self.name);
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = files.map(|file| file.path()).collect();
        paths.sort();
        pool.extend(paths.iter().filter_map(|path| std::fs::read(path).ok()));
        pool.push(Vec::new());
        pool
    }

    /// A digest of what the function returns.
    fn outcome<O: Debug>(&self, function: &impl Fn(&[u8]) -> O, input: &[u8]) -> u64 {
        let result = catch_unwind(AssertUnwindSafe(|| function(input)));
        let Ok(outcome) = result else { self.failed(input) };
        let mut hasher = DefaultHasher::new();
        format!("{outcome:?}").hash(&mut hasher);
        hasher.finish()
    }

    fn failed(&self, input: &[u8]) -> ! {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = std::env::temp_dir().join(format!("fuzz-{}-{:x}", self.name, hasher.finish()));
        let written = std::fs::write(&path, input);
        panic!("{} fails on {input:?}, {} ({written:?})", self.name, path.display());
    }
}

impl Until {
    fn lasts(&self, count: u64) -> bool {
        match self {
            Self::Count(most) => count < *most,
            Self::Time { begun, lasts } => !count.is_multiple_of(LOOK_EVERY) || begun.elapsed() < *lasts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target<'t>(seeds: &[&str], dictionary: &'t [&'t str]) -> Target<'t> {
        let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        Target { name: "own", crate_dir: "/nowhere", seeds, dictionary, cost: 1 }
    }

    #[test]
    fn a_planted_failure_is_found() {
        let function = |input: &[u8]| {
            let steps = [input.len() > 4, input.first() == Some(&b'{'), input.contains(&0xff)];
            assert!(steps != [true; 3], "the planted failure");
            steps
        };
        let found = catch_unwind(|| target(&["{\"a\":1}"], &[]).run(function));
        assert!(found.is_err());
    }

    #[test]
    fn a_run_is_the_same_each_time() {
        let inputs = || {
            let (mut numbers, mut inputs) = (Numbers::new(7), Vec::new());
            for _ in 0..500 {
                let mut input = b"some input".to_vec();
                mutate(&mut input, b"other", &[b"word"], &mut numbers);
                inputs.push(input);
            }
            inputs
        };
        let all = inputs();
        assert_eq!(all, inputs());
        let distinct: HashSet<_> = all.iter().collect();
        assert!(distinct.len() > 400, "{}", distinct.len());
        assert!(all.iter().any(|input| input.windows(4).any(|bytes| bytes == b"word")));
    }
}
