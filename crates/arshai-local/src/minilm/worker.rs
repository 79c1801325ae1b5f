//! The threads that compute.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use arshai_core::{Error, Result};
use rten::ThreadPool;
use tokio::sync::watch;

use super::{
    config::{MiniLmConfig, TooLong},
    model::{MiniLm, one_thread},
    queue::{Part, Queue, Step},
};

/// Starts one; `alive` counts it from before its start to its end.
pub(crate) fn start(
    model: Arc<MiniLm>,
    queue: Arc<Queue>,
    config: MiniLmConfig,
    alive: &watch::Sender<usize>,
) -> Result<()> {
    alive.send_modify(|count| *count += 1);
    let alive = Alive(alive.clone());
    let work = move || {
        let _alive = alive;
        let pool = one_thread();
        while let Some(step) = queue.next() {
            match step {
                Step::Tokens { call, first, texts } => {
                    let outcomes = texts.iter().map(|text| inputs(&model, &config, text)).collect();
                    queue.tokens_done(call, first..first + texts.len(), outcomes);
                }
                Step::Run { call, parts } => {
                    let outcome = run(&model, &pool, &parts);
                    queue.run_done(call, parts, outcome);
                }
            }
        }
    };
    thread::Builder::new()
        .name("arshai-minilm".to_owned())
        .spawn(work)
        .map_err(|error| Error::from(error).with_context("tried", "starting a thread for the embedder"))?;
    Ok(())
}

struct Alive(watch::Sender<usize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// The inputs of the model for one text.
fn inputs(model: &MiniLm, config: &MiniLmConfig, text: &str) -> Result<Vec<Vec<i32>>> {
    if text.len() > config.max_text_bytes {
        return Err(Error::invalid("the text is too large to embed; split it into chunks")
            .with_context("bytes", text.len())
            .with_context("allowed", config.max_text_bytes));
    }
    let ids = model.tokenizer.ids(text);
    if ids.is_empty() {
        return Err(Error::invalid("the text holds nothing to embed; leave it out"));
    }
    let room = config.max_tokens - 2;
    if ids.len() > room && config.too_long == TooLong::Error {
        return Err(Error::invalid("the text has more tokens than the embedder takes; split it into chunks")
            .with_context("tokens", ids.len() + 2)
            .with_context("allowed", config.max_tokens));
    }
    let parts = if config.too_long == TooLong::Truncate { 1 } else { usize::MAX };
    let input = |part: &[i32]| [&[model.tokenizer.begin], part, &[model.tokenizer.end]].concat();
    Ok(ids.chunks(room).take(parts).map(input).collect())
}

fn run(model: &MiniLm, pool: &Arc<ThreadPool>, parts: &[Part]) -> Result<Vec<Vec<f32>>> {
    let inputs: Vec<&[i32]> = parts.iter().map(|part| part.ids.as_slice()).collect();
    // A defect of the runtime fails the text and not every later call. Nothing of ours is left half changed.
    catch_unwind(AssertUnwindSafe(|| model.run(&inputs, pool)))
        .unwrap_or_else(|_| Err(Error::internal("the model runtime panicked on this text")))
}
