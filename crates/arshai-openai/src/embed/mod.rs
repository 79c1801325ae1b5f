//! Embeddings.

mod batch;
mod config;
mod floats;
mod pieces;
mod reply;
mod tokens;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arshai_core::{
    Deadline, Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};
use async_trait::async_trait;
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::Instrument as _;

pub use config::{EmbedderConfig, EmbeddingLimits, TokenCounter, TooLong};

use crate::{
    span,
    transport::{Gate, Transport},
};
use batch::Batch;
use pieces::Work;

const EMBED: &str = "openai.embed";
const HEALTH: &str = "openai.embed.health";
const CLOSE: &str = "openai.embed.close";

/// How often texts that turned out too long are cut again, each time to two thirds.
const CUTS: u32 = 6;

/// Embeddings by any server that speaks OpenAI's protocol.
///
/// A call's texts are sent in batches, bounded by count and by tokens, several at once, each distinct text once. A text
/// that the server refuses, fails on (500) or forbids (403) is found by halving its batch and fails alone, and so does one
/// whose vector is not finite. Nothing is halved when the server fails on a harmless text as well, which it is asked for
/// once before a batch is halved. The vectors come back in the order of the texts, counted, of one length, and finite.
/// Base64 is asked for and floats are accepted; a server that does not know base64 is asked once. An empty text fails
/// alone and nothing is sent for it.
///
/// When some batches fail for good and others succeed, the texts of the failed ones fail and the others have their
/// vectors; the call as a whole fails when none succeeded, or when no batch could have (key, model, configuration).
///
/// # Cancel safety
///
/// Dropping a call leaves the embedder usable; requests under way are stopped, though the server may bill them.
///
/// # Examples
///
/// ```no_run
/// use arshai_core::embed::{Embedder as _, Input};
/// use arshai_openai::{EmbedderConfig, OpenAiConfig, OpenAiEmbedder, TooLong, Transport};
///
/// # async fn example() -> arshai_core::Result<()> {
/// let transport = Transport::new(OpenAiConfig::new("http://127.0.0.1:8080/v1"))?;
/// let config = EmbedderConfig::minilm().with_too_long(TooLong::SplitAndMean);
/// let embedder = OpenAiEmbedder::with_config(transport, "all-MiniLM-L6-v2", config)?;
/// let batch = embedder.embed(&["first", "second"], Input::Document).await?;
/// for row in batch.rows() {
///     println!("{:?}", row.map(|vector| vector.len()));
/// }
/// # Ok(())
/// # }
/// ```
pub struct OpenAiEmbedder {
    parts: Arc<Parts>,
}

/// What the batches of all calls share.
struct Parts {
    transport: Transport,
    model: String,
    id: String,
    config: EmbedderConfig,
    gate: Gate,
    /// 0 until the first reply, unless it is configured.
    dimension: AtomicUsize,
    /// Whether a reply had vectors of that length.
    answered: AtomicBool,
}

impl OpenAiEmbedder {
    /// An embedder for this model, with the limits of OpenAI's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an empty model.
    pub fn new(transport: Transport, model: impl Into<String>) -> Result<Self> {
        Self::with_config(transport, model, EmbedderConfig::default())
    }

    /// An embedder for this model with other settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn with_config(
        transport: Transport,
        model: impl Into<String>,
        config: EmbedderConfig,
    ) -> Result<Self> {
        let model = model.into();
        if model.trim().is_empty() {
            return Err(crate::config::bad("model", "the model must have a name"));
        }
        config.validate()?;
        let id = config.id.clone().unwrap_or_else(|| config.default_id(&model));
        let dimension = AtomicUsize::new(config.dimensions.unwrap_or(0));
        let parts = Parts {
            transport,
            model,
            id,
            config,
            gate: Gate::new(),
            dimension,
            answered: AtomicBool::new(false),
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The transport it sends through.
    pub fn transport(&self) -> &Transport {
        &self.parts.transport
    }

    /// Embeds what is left of the work until every text has its vector or its failure.
    async fn work(&self, work: &mut Work<'_>, deadline: Deadline) -> Result<()> {
        for round in 0..=CUTS {
            let batches = work.batches(&self.parts.config);
            if batches.is_empty() {
                break;
            }
            self.send(batches, work, deadline).await?;
            // What is cut after the last round would never be sent: its failure stays that it is too long.
            if round < CUTS {
                work.cut_again(&self.parts.config);
            }
        }
        Ok(())
    }

    async fn send(&self, mut batches: Vec<Batch>, work: &mut Work<'_>, deadline: Deadline) -> Result<()> {
        let parts = &self.parts;
        let in_flight = parts.config.batch_concurrency.unwrap_or(parts.transport.config().batch_concurrency);
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        if batches.len() == 1 {
            let batch = batches.remove(0);
            return work.take(batch::embed(Arc::clone(parts), batch, None).await);
        }
        // A task for each, so that one reply is understood while the next request is on its way. There are more tasks
        // than may be in flight: a place is free with the last byte of a reply, and the next one is ready to go.
        let lane = Arc::new(Semaphore::new(in_flight));
        let mut waiting = batches.into_iter();
        let mut tasks = JoinSet::new();
        loop {
            for batch in waiting.by_ref().take(in_flight.saturating_mul(2).saturating_sub(tasks.len())) {
                let embedded = batch::embed(Arc::clone(parts), batch, Some(Arc::clone(&lane)));
                tasks.spawn(deadline.scope(embedded).in_current_span());
            }
            // An error is of all batches alike; dropping the tasks stops those under way.
            match tasks.join_next().await {
                Some(Ok(outcome)) => work.take(outcome)?,
                Some(Err(_)) => return Err(Error::internal("a batch of embeddings panicked")),
                None => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn id(&self) -> &str {
        &self.parts.id
    }

    fn dimension(&self) -> Option<usize> {
        self.parts.known_dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        if texts.is_empty() {
            return EmbeddingBatch::new(0, self.dimension().unwrap_or(0), Vec::new());
        }
        let parts = &self.parts;
        let deadline = Deadline::current_or(parts.transport.config().total_timeout);
        let _pass = parts.gate.enter(EMBED, deadline).await?;
        let span = span::embeddings(parts.transport.endpoint(), &parts.model, parts.config.dimensions);
        let mut work = Work::new(texts, input, &parts.config);
        let worked = Box::pin(deadline.scope(self.work(&mut work, deadline))).instrument(span.clone()).await;
        let outcome = worked
            .and_then(|()| work.into_batch(self.dimension()))
            .map_err(|error| error.with_operation(EMBED));
        match &outcome {
            Ok(batch) => span::embedded(&span, batch),
            Err(error) => span::failed(&span, error),
        }
        outcome
    }

    async fn health(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.parts.transport.config().request_timeout);
        let _pass = self.parts.gate.enter(HEALTH, deadline).await?;
        self.parts.transport.health(HEALTH).await
    }

    async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.parts.transport.config().total_timeout);
        self.parts.gate.close(CLOSE, deadline).await
    }
}

impl Parts {
    fn known_dimension(&self) -> Option<usize> {
        Some(self.dimension.load(Ordering::Relaxed)).filter(|dimension| *dimension > 0)
    }

    /// Whether the server has embedded a text: requests are sound. A length that is configured says nothing of that.
    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Every vector of an embedder has one length; the first reply decides which.
    fn agree_on(&self, dimension: usize) -> Result<()> {
        let known = self.dimension.compare_exchange(0, dimension, Ordering::Relaxed, Ordering::Relaxed);
        match known {
            Err(known) if known != dimension => Err(Error::new(
                ErrorKind::Protocol,
                "the server returned embeddings of another length than before; look whether the model changed",
            )
            .with_context("expected", known)
            .with_context("returned", dimension)),
            _ => {
                self.answered.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder")
            .field("id", &self.parts.id)
            .field("transport", &self.parts.transport)
            .finish_non_exhaustive()
    }
}
