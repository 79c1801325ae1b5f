//! Operations measured under load: how many a second, at what cost in CPU time, with what latencies.
//!
//! A measurement is printed as one line of JSON, in the same form as by the programs in `python/`. `cargo xtask bench`
//! starts this program once for each round, and puts the rounds together.

use std::{
    fs,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

use crate::figure::{median, quantile};

/// How long one measurement may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// One call in so many comes beforehand and is not counted: connections are made, caches filled.
const WARM_UP: usize = 10;

/// One benchmark, and how it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    name: &'static str,
    round: usize,
    concurrency: Vec<usize>,
}

impl Bench {
    /// The benchmark `name` in its round from 0 on. `concurrency` is empty when nobody asked for any.
    pub(crate) fn new(name: &'static str, round: usize, concurrency: &[usize]) -> Self {
        Self { name, round, concurrency: concurrency.to_vec() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The concurrencies to measure: those asked for, or else the usual ones.
    pub(crate) fn concurrencies(&self, usual: &[usize]) -> Vec<usize> {
        if self.concurrency.is_empty() { usual.to_vec() } else { self.concurrency.clone() }
    }

    /// The sides in the order of this round: each is first in turn.
    pub(crate) fn sides<const N: usize>(&self, mut sides: [&'static str; N]) -> [&'static str; N] {
        sides.rotate_left(self.round % N.max(1));
        sides
    }

    /// Where a service listens, as `cargo xtask bench` says it.
    pub(crate) fn address(&self, variable: &str) -> Result<String> {
        std::env::var(variable).with_context(|| {
            format!(
                "{variable} is not set; `cargo xtask bench {}` starts what is needed and sets it",
                self.name
            )
        })
    }

    /// Makes `total` calls, `concurrency` of them at any time, each in turn by one of as many tasks, and prints what
    /// they took. `call` is given the number of the call.
    pub(crate) async fn calls<F, Fut>(
        &self,
        side: &str,
        op: &str,
        concurrency: usize,
        total: usize,
        call: F,
    ) -> Result<Measured>
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send,
    {
        let call = Arc::new(call);
        drive(&call, concurrency, total / WARM_UP).await.context("warming up")?;
        let started = Started::now()?;
        let mut latencies = drive(&call, concurrency, total).await?;
        let measured = started.measured(total)?;
        let measured = Measured {
            p50_ms: Some(median(&mut latencies)),
            p99_ms: Some(quantile(&mut latencies, 0.99)),
            ..measured
        };
        self.print(side, op, concurrency, &measured);
        Ok(measured)
    }

    /// Measures one future that does `total` operations by itself, `concurrency` of them at any time, and prints what
    /// it took. It says nothing of single operations, so there are no latencies.
    pub(crate) async fn whole<T>(
        &self,
        side: &str,
        op: &str,
        concurrency: usize,
        total: usize,
        all: impl Future<Output = Result<T>>,
    ) -> Result<(Measured, T)> {
        let started = Started::now()?;
        let done = timeout(PATIENCE, all).await.context("the measurement did not end in time")??;
        let measured = started.measured(total)?;
        self.print(side, op, concurrency, &measured);
        Ok((measured, done))
    }

    /// Prints a line of the contract.
    pub(crate) fn print(&self, side: &str, op: &str, concurrency: usize, measured: &Measured) {
        println!("{}", measured.line(self.name, side, op, concurrency));
    }
}

/// What operations took.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Operations a second.
    pub(crate) ops_per_s: f64,
    /// CPU time of this process for one of them, in microseconds, its own part and the system's together.
    pub(crate) client_cpu_us_per_op: f64,
    /// The median latency.
    pub(crate) p50_ms: Option<f64>,
    /// The latency that 99 of 100 operations stay below.
    pub(crate) p99_ms: Option<f64>,
    /// The resident memory of this process afterwards, where the system tells it.
    pub(crate) rss_mb: Option<f64>,
}

impl Measured {
    fn line(&self, bench: &str, side: &str, op: &str, concurrency: usize) -> Value {
        json!({
            "bench": bench,
            "side": side,
            "op": op,
            "concurrency": concurrency,
            "ops_per_s": self.ops_per_s,
            "client_cpu_us_per_op": self.client_cpu_us_per_op,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "rss_mb": self.rss_mb,
            "rounds": 1,
        })
    }
}

/// Makes the calls and collects how long each took.
async fn drive<F, Fut>(call: &Arc<F>, concurrency: usize, total: usize) -> Result<Vec<Duration>>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    ensure!(concurrency > 0, "a concurrency of 0 does nothing");
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency.min(total) {
        let (call, next) = (Arc::clone(call), Arc::clone(&next));
        tasks.spawn(async move {
            let mut latencies = Vec::with_capacity(total / concurrency + 1);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return anyhow::Ok(latencies);
                }
                let started = Instant::now();
                call(number).await?;
                latencies.push(started.elapsed());
            }
        });
    }
    let all = async {
        let mut latencies = Vec::with_capacity(total);
        while let Some(ended) = tasks.join_next().await {
            latencies.extend(ended.context("a task panicked")??);
        }
        Ok(latencies)
    };
    timeout(PATIENCE, all).await.context("the measurement did not end in time")?
}

struct Started {
    at: Instant,
    cpu: Duration,
}

impl Started {
    fn now() -> Result<Self> {
        Ok(Self { cpu: cpu_time()?, at: Instant::now() })
    }

    fn measured(&self, total: usize) -> Result<Measured> {
        let (taken, cpu) = (self.at.elapsed(), cpu_time()?.saturating_sub(self.cpu));
        let total = total as f64;
        Ok(Measured {
            ops_per_s: total / taken.as_secs_f64(),
            client_cpu_us_per_op: cpu.as_secs_f64() * 1e6 / total,
            p50_ms: None,
            p99_ms: None,
            rss_mb: resident(),
        })
    }
}

/// The CPU time that this process has used.
pub(crate) fn cpu_time() -> Result<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).context("asking for the CPU time")
}

/// The resident memory of this process, in MB of 10⁶ bytes; none where there is no `/proc`.
pub(crate) fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use anyhow::bail;
    use tokio::sync::Barrier;

    use super::*;

    fn bench(round: usize) -> Bench {
        Bench::new("test", round, &[])
    }

    #[tokio::test]
    async fn each_call_is_made_once_and_as_many_as_asked_run_at_once() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        // A call ends only when as many as asked for are under way.
        let barrier = Arc::new(Barrier::new(4));
        let numbers = Arc::clone(&seen);
        let call = move |number| {
            numbers.lock().unwrap().push(number);
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok(())
            }
        };
        let latencies = drive(&Arc::new(call), 4, 40).await.unwrap();
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!((latencies.len(), seen), (40, (0..40).collect::<Vec<_>>()));
    }

    #[tokio::test]
    async fn a_failing_call_fails_the_measurement() {
        let call = |number| async move { if number == 25 { bail!("call 25") } else { Ok(()) } };
        let error = bench(0).calls("us", "op", 3, 30, call).await.unwrap_err();
        assert_eq!(error.to_string(), "call 25");
        assert!(bench(0).calls("us", "op", 0, 30, |_| async { Ok(()) }).await.is_err());
    }

    #[tokio::test]
    async fn a_line_has_every_field_of_the_contract_and_null_where_there_is_no_meaning() {
        let (measured, answer) = bench(0).whole("us", "op", 2, 10, async { Ok(7) }).await.unwrap();
        assert_eq!(answer, 7);
        let line = measured.line("test", "us", "op", 2);
        let mut names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let contract = [
            "bench",
            "client_cpu_us_per_op",
            "concurrency",
            "op",
            "ops_per_s",
            "p50_ms",
            "p99_ms",
            "rounds",
            "rss_mb",
            "side",
        ];
        assert_eq!(names, contract);
        assert!(line["p99_ms"].is_null() && line["ops_per_s"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn each_side_is_first_in_turn() {
        let firsts: Vec<&str> = (0..4).map(|round| bench(round).sides(["a", "b"])[0]).collect();
        assert_eq!(firsts, ["a", "b", "a", "b"]);
        assert_eq!(bench(1).concurrencies(&[1, 64]), [1, 64]);
    }

    #[test]
    fn cpu_time_counts_work_and_not_waiting() {
        let before = cpu_time().unwrap();
        let mut sum = 0_u64;
        while cpu_time().unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(cpu_time().unwrap() > before);
    }
}
