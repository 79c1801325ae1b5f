//! One request for many callers.

mod lane;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::runtime::Handle;

use self::lane::{Lanes, Waiter};
use crate::{
    Deadline, Effect, Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};

const EMBED: &str = "embed";
const CLOSE: &str = "embed.close";

/// Lets concurrent calls of one text share a request of the embedder in it.
///
/// An idle coalescer sends at once. While a request is in flight, callers gather: until none is in flight any more,
/// until they are [`Gather::max_batch`] or as many as were answered together just now, until nobody has joined them for
/// [`Gather::quiet`], or for [`Gather::max_wait`] at most. A call of several texts is sent by itself. Documents and
/// questions are not mixed.
///
/// At most [`Gather::queue`] callers are inside; the others wait for a place. A caller who leaves before the batch is
/// sent is left out of it, and nobody else's outcome depends on it. When an embedder refuses a whole batch as
/// [invalid](ErrorKind::InvalidInput) and takes a harmless text, the batch is halved until the bad text stands alone. A
/// batch has the latest deadline of its callers; each of them waits no longer than its own, or than [`Gather::timeout`].
///
/// # Cancel safety
///
/// Dropping a call leaves the others unaffected. What was sent goes on, in a task of its own, in the span of the caller
/// who came first.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use arshai_core::{embed::Embedder, wrap::Coalesce};
///
/// fn shared(embedder: Arc<dyn Embedder>) -> Arc<dyn Embedder> {
///     Arc::new(Coalesce::new(embedder))
/// }
/// ```
pub struct Coalesce<E> {
    lanes: Arc<Lanes<E>>,
}

/// How callers gather in a [`Coalesce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gather {
    /// The longest time a caller is kept waiting for others. Default: 3 ms.
    pub max_wait: Duration,
    /// How long nobody has joined before those who are there are sent. Default: 1 ms.
    pub quiet: Duration,
    /// The longest time for a call whose caller set no [`Deadline`], so that none waits for ever; an embedder's own
    /// limit ends it before. Default: 15 min.
    pub timeout: Duration,
    /// Texts in a request at most. Default: 256.
    pub max_batch: usize,
    /// Callers inside at most. Default: 1,024.
    pub queue: u32,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(3),
            quiet: Duration::from_millis(1),
            timeout: Duration::from_secs(900),
            max_batch: 256,
            queue: 1024,
        }
    }
}

impl Gather {
    /// The same with another longest time.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// The same with another time without joiners.
    #[must_use]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// The same with another longest time for a call without a deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another number of texts (at least 1).
    #[must_use]
    pub fn max_batch(mut self, texts: usize) -> Self {
        self.max_batch = texts.max(1);
        self
    }

    /// The same with another number of callers (1 to a million).
    #[must_use]
    pub fn queue(mut self, callers: u32) -> Self {
        self.queue = callers.clamp(1, 1_000_000);
        self
    }
}

impl<E: Embedder + 'static> Coalesce<E> {
    /// Wraps `embedder`; an `Arc<dyn Embedder>` is one too.
    pub fn new(embedder: E) -> Self {
        Self::with(embedder, Gather::default())
    }

    /// Wraps `embedder`, with callers gathering in another way.
    pub fn with(embedder: E, gather: Gather) -> Self {
        // The fields are open: once more through what keeps them within bounds.
        let gather = gather.max_batch(gather.max_batch).queue(gather.queue);
        Self { lanes: Arc::new(Lanes::new(embedder, gather)) }
    }

    /// The embedder inside.
    pub fn backend(&self) -> &E {
        &self.lanes.embedder
    }

    async fn shared(&self, text: &str, input: Input) -> Result<EmbeddingBatch> {
        let deadline = Deadline::current_or(self.lanes.gather.timeout);
        let place = deadline.run(EMBED, Effect::NotApplied, self.lanes.place()).await?;
        let (waiter, reply) = Waiter::new(text, deadline, place);
        self.lanes.join(waiter, input);
        // Without a reply, the task that was to send it is gone: its runtime was shut down, or the embedder panicked.
        let lost = || Error::new(ErrorKind::Unavailable, "the request was given up; try again");
        let answered = async { reply.await.map_err(|_| lost().with_effect(Effect::Unknown))? };
        // It may have been sent.
        deadline.run(EMBED, Effect::Unknown, answered).await
    }
}

#[async_trait]
impl<E: Embedder + 'static> Embedder for Coalesce<E> {
    fn id(&self) -> &str {
        self.lanes.embedder.id()
    }

    fn dimension(&self) -> Option<usize> {
        self.lanes.embedder.dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        match texts {
            // What is sent for others goes on in a task, which needs a runtime.
            [text] if Handle::try_current().is_ok() => self.shared(text, input).await,
            _ => self.lanes.embedder.embed(texts, input).await,
        }
    }

    async fn health(&self) -> Result<()> {
        self.lanes.embedder.health().await
    }

    async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.lanes.gather.timeout);
        let drained = deadline.run(CLOSE, Effect::Unknown, self.lanes.close()).await;
        self.lanes.embedder.close().await?;
        drained
    }
}

impl<E: fmt::Debug> fmt::Debug for Coalesce<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesce").field("embedder", &self.lanes.embedder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
