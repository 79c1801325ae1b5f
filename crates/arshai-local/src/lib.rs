//! Models that need no server.
//!
//! [`ExtractiveModel`] answers by quoting: it searches through the tool it is offered and repeats the sentences that
//! hold the words of the question, with their citation numbers. It is no language model and does not pretend to be.
//!
//! With the feature `minilm` there is `MiniLmEmbedder`, which turns text into vectors in this process, and `Weights`,
//! which finds its model files or fetches them once.

mod answer;
mod extractive;
#[cfg(feature = "minilm")]
mod minilm;
mod provider;
mod quote;
mod sentences;
#[cfg(feature = "minilm")]
mod weights;

pub use extractive::ExtractiveModel;
#[cfg(feature = "minilm")]
pub use minilm::{MiniLmConfig, MiniLmEmbedder, TooLong};
#[cfg(feature = "minilm")]
pub use provider::embedder_provider;
pub use provider::model_provider;
#[cfg(feature = "minilm")]
pub use weights::{Progress, Weights};
