//! Settings of the embedder.

use std::time::Duration;

use arshai_core::{Error, ErrorKind, Result};

/// The positions the model was made for.
const MOST_TOKENS: usize = 512;

/// What happens to a text of more tokens than the embedder takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TooLong {
    /// It is embedded in parts, and its vector is their mean, weighted by their tokens. Nothing is left out.
    #[default]
    SplitAndMean,
    /// Its beginning is embedded, as most programs around this model do.
    Truncate,
    /// It fails, alone, with [`ErrorKind::InvalidInput`].
    Error,
}

/// How texts are embedded.
///
/// # Examples
///
/// ```
/// use arshai_local::{MiniLmConfig, TooLong};
///
/// let config = MiniLmConfig::default().with_max_tokens(512).with_too_long(TooLong::Truncate);
/// assert_eq!(config.threads, 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MiniLmConfig {
    /// Tokens embedded at once, with the two that mark begin and end: 8 to 512. Default: 256, what the model was
    /// trained with.
    pub max_tokens: usize,
    /// What happens to a longer text. Default: [`TooLong::SplitAndMean`].
    pub too_long: TooLong,
    /// A text of more bytes is refused: it should have been split into chunks. Default: 1 MiB.
    pub max_text_bytes: usize,
    /// Threads that compute: 1 to 256. Default: 2, or 1 on a machine with one core.
    pub threads: usize,
    /// Calls that wait or are computed; further ones wait in the caller's task. Default: 64.
    pub queue: usize,
    /// How long a call may take when the caller set no [`arshai_core::Deadline`]. Default: 300 s.
    pub timeout: Duration,
}

impl Default for MiniLmConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            max_tokens: 256,
            too_long: TooLong::default(),
            max_text_bytes: 1 << 20,
            threads: cores.min(2),
            queue: 64,
            timeout: Duration::from_secs(300),
        }
    }
}

impl MiniLmConfig {
    /// The same with another number of tokens embedded at once.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// The same with another treatment of long texts.
    #[must_use]
    pub fn with_too_long(mut self, too_long: TooLong) -> Self {
        self.too_long = too_long;
        self
    }

    /// The same with another limit on the bytes of a text.
    #[must_use]
    pub fn with_max_text_bytes(mut self, bytes: usize) -> Self {
        self.max_text_bytes = bytes;
        self
    }

    /// The same with another number of threads.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same with another number of calls in the queue.
    #[must_use]
    pub fn with_queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// The same with another timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |name: &'static str, value: usize, allowed: &'static str| {
            Err(Error::new(ErrorKind::Config, "a setting of the embedder is out of range")
                .with_context("setting", name)
                .with_context("value", value)
                .with_context("allowed", allowed))
        };
        if !(8..=MOST_TOKENS).contains(&self.max_tokens) {
            return wrong("max_tokens", self.max_tokens, "8 to 512");
        }
        if !(1..=256).contains(&self.threads) {
            return wrong("threads", self.threads, "1 to 256");
        }
        if !(1..=100_000).contains(&self.queue) {
            return wrong("queue", self.queue, "1 to 100000");
        }
        if self.max_text_bytes == 0 {
            return wrong("max_text_bytes", self.max_text_bytes, "1 and more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(MiniLmConfig::default().validate().is_ok());
        for (config, name) in [
            (MiniLmConfig::default().with_max_tokens(513), "max_tokens"),
            (MiniLmConfig::default().with_threads(0), "threads"),
            (MiniLmConfig::default().with_queue(0), "queue"),
            (MiniLmConfig::default().with_max_text_bytes(0), "max_text_bytes"),
        ] {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
