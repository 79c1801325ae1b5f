//! The stages of a long command, and how long each one took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What was done and how long it took. Printed when it goes, also after a failure.
#[derive(Debug)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
    start: Instant,
}

impl Steps {
    /// Nothing was done yet.
    pub(crate) fn new() -> Self {
        Self { done: Vec::new(), start: Instant::now() }
    }

    /// Does one thing.
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome =
            step().with_context(|| format!("the step `{name}` failed; the steps after it did not run"));
        self.done.push((name, start.elapsed(), outcome.is_ok()));
        outcome
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        println!();
        for (name, took, is_ok) in &self.done {
            let word = if *is_ok { "ok" } else { "FAILED" };
            println!("  {word:6}  {name:24} {:6.1} s", took.as_secs_f64());
        }
        println!("          {:24} {:6.1} s", "all", self.start.elapsed().as_secs_f64());
    }
}
