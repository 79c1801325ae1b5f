//! Whole turns of the agent, with a model that answers at once: what a turn costs beside the model.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arshai_agent::{Agent, AgentInput};
use arshai_core::{
    chat::{ChatCapabilities, ChatEvent, ChatModel, ChatRequest, ChatStream, Finish},
    memory::{InMemoryMemory, MemoryStore},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use async_trait::async_trait;
use futures_util::stream;

use crate::{conversations::CONVERSATIONS, measure::Bench};

const TURNS: usize = 2_000;
const MESSAGE: &str = "How long does the contract run, and who may end it early?";
const ANSWER: &str = "It runs for two years, and either side may end it with three months' notice.";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    for concurrency in bench.concurrencies(&[1, 64]) {
        turns(bench, "turn_in_memory", concurrency, Arc::new(InMemoryMemory::new())).await?;
        let folder = tempfile::tempdir()?;
        let file = SqliteFile::open(SqliteConfig::new(folder.path().join("bench.db"))).await?;
        turns(bench, "turn_sqlite", concurrency, Arc::new(file.memory())).await?;
        file.close().await?;
    }
    Ok(())
}

async fn turns(bench: &Bench, op: &str, concurrency: usize, memory: Arc<dyn MemoryStore>) -> Result<()> {
    let agent = Arc::new(Agent::builder(Arc::new(Prompt)).memory(memory).build());
    let turn = move |number: usize| {
        let agent = Arc::clone(&agent);
        async move {
            let input = AgentInput::new(MESSAGE).conversation(format!("bench-{}", number % CONVERSATIONS));
            let reply = agent.process(input).await?;
            ensure!(reply.text == ANSWER, "the reply is another one");
            Ok(())
        }
    };
    bench.calls("arshai", op, concurrency, TURNS, turn).await?;
    Ok(())
}

/// A model that answers at once, always the same.
#[derive(Debug)]
struct Prompt;

#[async_trait]
impl ChatModel for Prompt {
    fn id(&self) -> &str {
        "prompt"
    }

    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities::default()
    }

    async fn stream(&self, _request: ChatRequest) -> arshai_core::Result<ChatStream> {
        let done = ChatEvent::Done { usage: None, finish: Finish::Stop };
        Ok(Box::pin(stream::iter([Ok(ChatEvent::Text(ANSWER.to_owned())), Ok(done)])))
    }

    async fn health(&self) -> arshai_core::Result<()> {
        Ok(())
    }

    async fn close(&self) -> arshai_core::Result<()> {
        Ok(())
    }
}
