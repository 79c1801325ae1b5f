//! The embedder.

use std::{fmt, sync::Arc, thread, time::Duration};

use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};
use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot, watch};

use super::{
    config::MiniLmConfig,
    model::{DIMENSION, MiniLm},
    queue::Queue,
    worker,
};
use crate::weights::Weights;

const OPEN: &str = "minilm.open";
const EMBED: &str = "minilm.embed";
const CLOSE: &str = "minilm.close";

/// all-MiniLM-L6-v2 with int8 weights, computed in this process: 384 dimensions, mean of the token vectors, normalised.
///
/// It computes on threads of its own. Calls take turns, so that a question does not wait for an ingest. Documents and
/// questions are embedded alike. A text of nothing but space fails alone with [`ErrorKind::InvalidInput`]; what happens
/// to a long one is [`MiniLmConfig::too_long`].
///
/// [`Embedder::id`] is the model and the first digits of the SHA-256 of its weights: other weights are another embedder.
///
/// # Cancel safety
///
/// Dropping a call leaves the embedder usable, and what is not yet computed of it is left out. Dropping the embedder
/// ends its threads.
///
/// # Examples
///
/// ```no_run
/// use arshai_core::embed::EmbedderExt as _;
/// use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
///
/// # async fn example() -> arshai_core::Result<()> {
/// let weights = match Weights::find()? {
///     Some(weights) => weights,
///     None => Weights::fetch(|progress| eprintln!("{} of {} bytes", progress.received, progress.total))?,
/// };
/// let embedder = MiniLmEmbedder::open(weights, MiniLmConfig::default()).await?;
/// let vector = embedder.embed_query("How long is a conversation kept?").await?;
/// assert_eq!(vector.len(), 384);
/// # Ok(())
/// # }
/// ```
pub struct MiniLmEmbedder {
    id: String,
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    alive: watch::Receiver<usize>,
    timeout: Duration,
}

impl MiniLmEmbedder {
    /// Loads the model, on a thread of its own, and starts the threads that compute.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a setting out of range, [`ErrorKind::NotFound`] or [`ErrorKind::Io`] when a file cannot
    /// be read, [`ErrorKind::Corrupt`] when one is not what it should be, [`ErrorKind::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn open(weights: Weights, config: MiniLmConfig) -> Result<Self> {
        config.validate().map_err(|error| error.with_operation(OPEN))?;
        let (reply, loaded) = oneshot::channel();
        let load = move || {
            // The caller may be gone.
            let _ = reply.send(MiniLm::load(&weights));
        };
        thread::Builder::new().name("arshai-minilm-load".to_owned()).spawn(load).map_err(|error| {
            Error::from(error)
                .with_operation(OPEN)
                .with_context("tried", "starting a thread to load the model")
        })?;
        let wait = async { loaded.await.map_err(|_| Error::internal("loading the model panicked"))? };
        let model = Deadline::current_or(config.timeout).run(OPEN, Effect::NotApplied, wait).await;
        let model = Arc::new(model.map_err(|error| error.with_operation(OPEN))?);
        let (alive, count) = watch::channel(0);
        let this = Self {
            id: model.id.clone(),
            queue: Arc::default(),
            places: Arc::new(Semaphore::new(config.queue)),
            alive: count,
            timeout: config.timeout,
        };
        for _ in 0..config.threads {
            worker::start(Arc::clone(&model), Arc::clone(&this.queue), config.clone(), &alive)
                .map_err(|error| error.with_operation(OPEN))?;
        }
        Ok(this)
    }

    async fn outcome(&self, texts: &[&str]) -> Result<EmbeddingBatch> {
        let closed =
            || Error::new(ErrorKind::Closed, "the embedder was closed; open another").with_operation(EMBED);
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.queue.push(texts, place).await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Embedder for MiniLmEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> Option<usize> {
        Some(DIMENSION)
    }

    async fn embed(&self, texts: &[&str], _input: Input) -> Result<EmbeddingBatch> {
        if texts.is_empty() {
            return EmbeddingBatch::new(0, DIMENSION, Vec::new());
        }
        let deadline = Deadline::current_or(self.timeout);
        deadline.run(EMBED, Effect::NotApplied, self.outcome(texts)).await
    }

    async fn health(&self) -> Result<()> {
        self.embed(&["ready"], Input::Query).await?.into_values().map(drop)
    }

    async fn close(&self) -> Result<()> {
        self.places.close();
        self.queue.close();
        let mut alive = self.alive.clone();
        let wait = async {
            // An error says that all counters are gone, and so are the threads.
            let _ = alive.wait_for(|count| *count == 0).await;
            Ok(())
        };
        Deadline::current_or(self.timeout).run(CLOSE, Effect::Unknown, wait).await
    }
}

impl Drop for MiniLmEmbedder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for MiniLmEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLmEmbedder")
            .field("id", &self.id)
            .field("free_places", &self.places.available_permits())
            .finish_non_exhaustive()
    }
}
