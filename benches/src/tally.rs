//! What a figure was taken from: stretches of one operation, told together as one line of JSON.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    figure::{median, quantile},
    measure::{Bench, Measured, cpu_time, resident},
};

/// Stretches of one operation, which may lie apart: between them the other side, or another operation, has its turn.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    operations: usize,
    stretches: Vec<Duration>,
    taken: Duration,
    cpu: Duration,
    /// Whether some stretch held more than one operation, so that no latency of a single one is known.
    is_whole: bool,
}

/// The begin of a stretch.
#[derive(Debug)]
pub(crate) struct Stretch {
    cpu: Duration,
    at: Instant,
}

impl Stretch {
    pub(crate) fn begin() -> Result<Self> {
        Ok(Self { cpu: cpu_time()?, at: Instant::now() })
    }
}

impl Tally {
    /// Ends a stretch, in which that many operations were done; how long it took.
    pub(crate) fn end(&mut self, stretch: &Stretch, operations: usize) -> Result<Duration> {
        let (taken, cpu) = (stretch.at.elapsed(), cpu_time()?.saturating_sub(stretch.cpu));
        self.stretches.push(taken);
        self.taken += taken;
        self.cpu += cpu;
        self.operations += operations;
        self.is_whole |= operations != 1;
        Ok(taken)
    }

    /// Does one operation, as a stretch of its own.
    pub(crate) async fn one<T, E>(&mut self, work: impl Future<Output = Result<T, E>>) -> Result<T>
    where
        anyhow::Error: From<E>,
    {
        let stretch = Stretch::begin()?;
        let done = work.await?;
        self.end(&stretch, 1)?;
        Ok(done)
    }

    /// Adds the stretches of another one.
    pub(crate) fn add(&mut self, other: Self) {
        self.stretches.extend(other.stretches);
        self.taken += other.taken;
        self.cpu += other.cpu;
        self.operations += other.operations;
        self.is_whole |= other.is_whole;
    }

    /// The median of its stretches, in milliseconds.
    pub(crate) fn median(&mut self) -> f64 {
        median(&mut self.stretches)
    }

    /// What `part` (0 to 1) of its stretches stay below, in milliseconds.
    pub(crate) fn quantile(&mut self, part: f64) -> f64 {
        quantile(&mut self.stretches, part)
    }

    /// Operations a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.taken.as_secs_f64()
    }

    /// Prints the line. `concurrency` operations were under way at any time.
    pub(crate) fn tell(&mut self, bench: &'static str, side: &str, op: &str, concurrency: usize) {
        let line = self.measured();
        Bench::new(bench, 0, &[]).print(side, op, concurrency, &line);
    }

    /// The same for operations of another program, whose CPU time and memory are not those of this one.
    pub(crate) fn tell_of_another_program(
        &mut self,
        bench: &'static str,
        side: &str,
        op: &str,
        concurrency: usize,
    ) {
        // Not a number is `null` in JSON.
        let line = Measured { client_cpu_us_per_op: f64::NAN, rss_mb: None, ..self.measured() };
        Bench::new(bench, 0, &[]).print(side, op, concurrency, &line);
    }

    fn measured(&mut self) -> Measured {
        Measured {
            ops_per_s: self.per_second(),
            client_cpu_us_per_op: self.cpu.as_secs_f64() * 1e6 / self.operations as f64,
            p50_ms: (!self.is_whole).then(|| self.median()),
            p99_ms: (!self.is_whole).then(|| self.quantile(0.99)),
            rss_mb: resident(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(stretches: &[(u64, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (milliseconds, operations) in stretches {
            let taken = Duration::from_millis(*milliseconds);
            tally.add(Tally {
                operations: *operations,
                stretches: vec![taken],
                taken,
                cpu: taken / 2,
                is_whole: *operations != 1,
            });
        }
        tally
    }

    #[test]
    fn stretches_that_lie_apart_are_told_together() {
        let line = tally(&[(1, 1), (5, 1), (3, 1)]).measured();
        assert_eq!((line.p50_ms, line.p99_ms), (Some(3.0), Some(5.0)));
        assert!((line.ops_per_s - 3.0 / 0.009).abs() < 1e-6, "{line:?}");
        assert!((line.client_cpu_us_per_op - 1_500.0).abs() < 1e-6, "{line:?}");
    }

    #[test]
    fn a_stretch_of_many_operations_says_nothing_of_one() {
        let line = tally(&[(1, 1), (5, 20)]).measured();
        assert_eq!((line.p50_ms, line.p99_ms), (None, None));
        assert!((line.ops_per_s - 21.0 / 0.006).abs() < 1e-6, "{line:?}");
    }

    #[tokio::test]
    async fn work_that_fails_is_not_counted() {
        let mut tally = Tally::default();
        assert_eq!(tally.one(async { anyhow::Ok(7) }).await.unwrap(), 7);
        assert!(tally.one(async { anyhow::Ok(()) }).await.is_ok());
        assert!(tally.one(async { Err::<(), _>(anyhow::anyhow!("no")) }).await.is_err());
        assert_eq!((tally.operations, tally.stretches.len()), (2, 2));
    }
}
