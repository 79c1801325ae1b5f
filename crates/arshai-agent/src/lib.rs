//! The working-memory agent: it remembers a conversation, lets a model call tools, and says what its answers stand on.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use arshai_agent::{Agent, AgentInput};
//! use arshai_core::memory::InMemoryMemory;
//! use arshai_local::ExtractiveModel;
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let agent = Agent::builder(Arc::new(ExtractiveModel::new())).memory(Arc::new(InMemoryMemory::new())).build();
//! let reply = agent.process(AgentInput::new("What is green tea?").conversation("anna")).await?;
//! assert_eq!(reply.conversation, "anna");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
//! ```

mod agent;
mod blocking;
mod builder;
mod citation;
mod events;
mod passages;
mod turn;

pub use agent::{Agent, AgentEvent, AgentInput, AgentReply, AgentStream, DEFAULT_CONVERSATION};
pub use blocking::BlockingAgent;
pub use builder::{AgentBuilder, DEFAULT_SYSTEM_PROMPT, Retrieval};
pub use citation::Citation;
