//! The pass over the codes of every vector, on more than one core when others are idle.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use arshai_core::{Deadline, Effect};

use super::{cache::grow, codes::CodedQuery, dense::Vectors};
use crate::error::Outcome;

/// How many vectors are looked at between two looks at the clock.
const BLOCK: usize = 1_024;
/// So many bytes of codes take about half a millisecond, and are worth a thread of their own.
const WORTH_A_THREAD: usize = 8 * 1024 * 1024;
/// More only wait for the memory.
const MOST_HELPERS: usize = 3;

/// Threads of this process that scan.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of them.
#[derive(Debug)]
pub(super) struct Running(());

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// `None` when every core has its scan: more would hurry one search and hold up the others.
    fn spare() -> Option<Self> {
        static CORES: OnceLock<usize> = OnceLock::new();
        let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
        let more = |running: usize| (running < cores).then_some(running + 1);
        RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As many helpers as are worth it and to be had.
pub(super) fn helpers(vectors: &Vectors) -> Vec<Running> {
    let most = (vectors.upper().len() / WORTH_A_THREAD).min(MOST_HELPERS);
    (0..most).map_while(|_| Running::spare()).collect()
}

/// The bound of every vector, in their order. The helpers begin while `meanwhile` runs in this thread, which then takes
/// its part of what is left.
pub(super) fn bounds<R>(
    vectors: &Vectors,
    query: &CodedQuery,
    deadline: Deadline,
    helpers: impl FnOnce(&Vectors) -> Vec<Running>,
    meanwhile: impl FnOnce() -> Outcome<R>,
) -> Outcome<(Vec<f32>, R)> {
    let _running = Running::begin();
    let mut bounds = Vec::new();
    grow(&mut bounds, vectors.shapes().len(), 0.0)?;
    let rows = vectors.shapes().chunks(BLOCK).zip(vectors.upper().chunks(BLOCK * vectors.stride()));
    let blocks = Mutex::new(bounds.chunks_mut(BLOCK).zip(rows));
    let stopped = AtomicBool::new(false);
    let work = || loop {
        let block = blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((bounds, (shapes, codes))) = block else { return };
        if stopped.load(Ordering::Relaxed) || deadline.is_past() {
            return stopped.store(true, Ordering::Relaxed);
        }
        query.coarse_bounds(codes, vectors.stride(), shapes, bounds);
    };
    let value = thread::scope(|scope| -> Outcome<R> {
        for helper in helpers(vectors) {
            let help = || {
                let _helper = helper;
                work();
            };
            // Without the thread it takes longer, and that is all.
            let _spawned = thread::Builder::new().name("arshai-scan".into()).spawn_scoped(scope, help);
        }
        let value = meanwhile().inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
        work();
        Ok(value)
    })?;
    if stopped.into_inner() {
        return Err(Deadline::error("vectors.search", Effect::NotApplied).into());
    }
    Ok((bounds, value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arshai_core::{Error, ErrorKind, vector::Metric};

    use super::*;
    use crate::error::Failure;

    fn vectors(count: u32) -> Vectors {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut vector = || [rng.f32() - 0.5, rng.f32() - 0.5, rng.f32() - 0.5];
        Vectors::of(3, (0..count).map(|doc| (doc, vector().to_vec())))
    }

    fn run(vectors: &Vectors, deadline: Deadline, helpers: usize) -> Outcome<Vec<f32>> {
        let query = CodedQuery::new(Metric::Cosine, &[0.3, -0.2, 0.9]);
        let helpers = |_: &Vectors| (0..helpers).map(|_| Running::begin()).collect();
        bounds(vectors, &query, deadline, helpers, || Ok(())).map(|(bounds, ())| bounds)
    }

    #[test]
    fn helpers_change_nothing_but_the_time() {
        let later = Deadline::after(Duration::from_secs(60));
        for count in [0, 1, 1_023, 1_024, 1_025, 10_000] {
            let vectors = vectors(count);
            let alone = run(&vectors, later, 0).unwrap();
            assert_eq!(alone.len(), count as usize);
            assert!(alone.iter().all(|bound| *bound != 0.0), "every place was written");
            for helpers in 1..4 {
                assert_eq!(run(&vectors, later, helpers).unwrap(), alone, "{count} {helpers}");
            }
        }
    }

    #[test]
    fn a_passed_deadline_ends_a_scan_between_blocks() {
        let vectors = vectors(10);
        for helpers in 0..2 {
            match run(&vectors, Deadline::after(Duration::ZERO), helpers) {
                Err(Failure::Ours(error)) => assert_eq!(error.kind(), ErrorKind::Timeout),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_fails_meanwhile_fails_the_scan() {
        let query = CodedQuery::new(Metric::Cosine, &[0.3, -0.2, 0.9]);
        let later = Deadline::after(Duration::from_secs(60));
        let failing = || Err::<(), _>(Error::new(ErrorKind::Corrupt, "no").into());
        let failed = bounds(&vectors(5_000), &query, later, |_| vec![Running::begin()], failing);
        assert!(matches!(failed, Err(Failure::Ours(error)) if error.kind() == ErrorKind::Corrupt));
    }
}
