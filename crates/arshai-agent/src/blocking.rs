//! The agent for programs without async.

use arshai_core::{
    Result,
    blocking::{Blocking, BlockingStream},
};

use crate::{Agent, AgentEvent, AgentInput, AgentReply};

/// [`Agent`] without async, for a [`Blocking`] one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use arshai_agent::{Agent, BlockingAgent as _};
/// use arshai_core::{blocking::{Blocking, Runtime}, chat::ChatModel};
///
/// # fn example(model: Arc<dyn ChatModel>) -> arshai_core::Result<()> {
/// let agent = Blocking::new(Arc::new(Agent::builder(model).build()), Runtime::new()?);
/// let reply = agent.process("How long is a conversation kept?")?;
/// # Ok(())
/// # }
/// ```
pub trait BlockingAgent {
    /// As [`Agent::process`], waiting for it.
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](arshai_core::ErrorKind::BlockingInAsync) in async code.
    fn process(&self, input: impl Into<AgentInput>) -> Result<AgentReply>;

    /// As [`Agent::stream`], as an iterator that waits for each event.
    fn stream(&self, input: impl Into<AgentInput>) -> BlockingStream<AgentEvent>;
}

impl BlockingAgent for Blocking<Agent> {
    fn process(&self, input: impl Into<AgentInput>) -> Result<AgentReply> {
        self.wait(self.inner().process(input))
    }

    fn stream(&self, input: impl Into<AgentInput>) -> BlockingStream<AgentEvent> {
        self.iterate(self.inner().stream(input))
    }
}
