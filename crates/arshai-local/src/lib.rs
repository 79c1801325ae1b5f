//! Models that need no server.
//!
//! [`ExtractiveModel`] answers by quoting: it searches through the tool it is offered and repeats the sentences that
//! hold the words of the question, with their citation numbers. It is no language model and does not pretend to be.

mod answer;
mod extractive;
mod quote;
mod sentences;
mod stop_words;

pub use extractive::ExtractiveModel;
