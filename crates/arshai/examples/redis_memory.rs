//! Keeps a conversation in Redis, without async. `REDIS_URL` says where it is.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::sync::Arc;

use arshai::{
    blocking::{Blocking, MemoryStore as _, Runtime},
    memory::TrimPolicy,
    prelude::*,
};

pub(crate) fn main() -> arshai::Result<()> {
    let memory: Arc<dyn MemoryStore> = Arc::new(RedisMemory::new(RedisConfig::from_env()?)?);
    let memory = Blocking::new(memory, Runtime::new()?);

    let key = MemoryKey::new("example-support-42")?;
    memory.delete(&key)?;
    let turns = [Turn::user("What is a vector?"), Turn::assistant("A list of numbers.")];
    memory.append(&key, &turns, TrimPolicy::default())?;
    if let Some(kept) = memory.retrieve(&key)? {
        println!("{}\nkept until deleted or {:?}", kept.text, memory.ttl(&key)?);
    }

    // Others may write at the same time: the closure sees what stands there, and runs again when somebody was faster.
    let visits = MemoryKey::new("example-visits")?;
    for _ in 0..3 {
        memory.update_with(&visits, |old| {
            let visits: u64 = old.and_then(|memory| memory.text.parse().ok()).unwrap_or(0);
            Ok(Memory::new((visits + 1).to_string()))
        })?;
    }
    if let Some(kept) = memory.retrieve(&visits)? {
        println!("{} visits", kept.text);
    }
    memory.delete(&visits)?;
    memory.delete(&key)?;
    memory.close()
}
