//! Test doubles: deterministic stand-ins that need no model and no server. They are for tests; none of them
//! understands language.

mod embedder;
mod memory;
mod model;

pub use embedder::HashEmbedder;
pub use memory::FailingMemory;
pub use model::{ScriptedModel, ScriptedReply};
