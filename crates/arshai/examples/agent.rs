//! An agent that remembers in Redis and answers by an OpenAI-compatible server, without async. `REDIS_URL`,
//! `OPENAI_BASE_URL` and `OPENAI_API_KEY` say where they are.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::sync::Arc;

use arshai::{
    blocking::{Blocking, MemoryStore as _, Runtime},
    openai::ChatConfig,
    prelude::*,
};

pub(crate) fn main() -> arshai::Result<()> {
    let runtime = Runtime::new()?;
    let transport = Transport::new(OpenAiConfig::from_env()?)?;
    let short = ChatConfig::default().with_max_tokens(40);
    let model = OpenAiChat::with_config(transport, "gpt-4.1-mini", short)?;
    let memory: Arc<dyn MemoryStore> = Arc::new(RedisMemory::new(RedisConfig::from_env()?)?);
    let agent = Agent::builder(Arc::new(model)).memory(Arc::clone(&memory)).system_prompt("Be brief.");
    let agent = Blocking::new(Arc::new(agent.build()), runtime.clone());

    let reply = agent.process(AgentInput::new("Say hello to Ada.").conversation("example-agent"))?;
    println!("{}\n{} tokens", reply.text, reply.usage.total_tokens());
    // The words as they are written; the last event is the whole reply, which is in memory by then.
    for event in agent.stream(AgentInput::new("Whom did you greet?").conversation("example-agent")) {
        match event? {
            AgentEvent::Text(text) => print!("{text}"),
            AgentEvent::Done(reply) => println!("\n{} tokens", reply.usage.total_tokens()),
            _ => {}
        }
    }

    let memory = Blocking::new(memory, runtime);
    let key = MemoryKey::new("example-agent")?;
    if let Some(kept) = memory.retrieve(&key)? {
        println!("{} turns are kept", kept.text.matches("\nUser: ").count());
    }
    memory.delete(&key)?;
    memory.close()
}
