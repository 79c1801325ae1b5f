//! `arshai memory`

use arshai_core::{
    Error, ErrorKind, Result,
    memory::{
        KeyPrefix, MemoryKey, MemoryStore, MemoryStoreExt as _, PageRequest, Ttl, Versioned, format_timestamp,
    },
};
use serde_json::{Map, Value, json};

use super::text_or_stdin;
use crate::{
    args,
    backends::{Backends, as_usage},
    failure::Outcome,
    output::Printer,
};

pub(crate) async fn memory(args: &args::Memory, backends: &Backends, printer: Printer) -> Outcome {
    let store = backends.memory().await?;
    match args {
        args::Memory::List => {
            let conversations = conversations(store.as_ref()).await?;
            printer.result(&json!({ "conversations": conversations }), || match conversations.is_empty() {
                true => "No conversations are kept.".to_owned(),
                false => conversations.join("\n"),
            })
        }
        args::Memory::Show { id } => {
            let key = key(id)?;
            let absent = || {
                Error::new(
                    ErrorKind::NotFound,
                    "nothing is kept of this conversation; `arshai memory list` shows what is",
                )
                .with_context("conversation", id.escape_debug())
            };
            let versioned = store.get(&key).await?.ok_or_else(absent)?;
            let ttl = store.ttl(&key).await?;
            printer.result(&shown(&key, &versioned, ttl), || versioned.memory.text.trim_start().to_owned())
        }
        args::Memory::Set { id, text } => {
            let key = key(id)?;
            let text = text_or_stdin(text)?;
            let versioned = store.store(&key, &text, Map::new()).await?;
            let ttl = store.ttl(&key).await?;
            printer.result(&shown(&key, &versioned, ttl), || format!("Kept for conversation {id}."))
        }
        args::Memory::Delete { id } => {
            let deleted = store.delete(&key(id)?).await?;
            printer.result(&json!({ "conversation": id, "deleted": deleted }), || match deleted {
                true => format!("Forgot conversation {id}."),
                false => format!("Nothing was kept of conversation {id}."),
            })
        }
    }
}

fn key(id: &str) -> Outcome<MemoryKey> {
    MemoryKey::new(id).map_err(as_usage("the conversation id"))
}

async fn conversations(store: &dyn MemoryStore) -> Result<Vec<String>> {
    let mut page = PageRequest { limit: 1000, ..PageRequest::default() };
    let mut all = Vec::new();
    loop {
        let found = store.list(&KeyPrefix::default(), &page).await?;
        all.extend(found.keys.iter().map(|key| key.conversation().to_owned()));
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn shown(key: &MemoryKey, versioned: &Versioned, ttl: Option<Ttl>) -> Value {
    let memory = &versioned.memory;
    json!({
        "conversation": key.conversation(),
        "memory_type": key.memory_type(),
        "working_memory": memory.text,
        "metadata": memory.metadata,
        "created_at": format_timestamp(memory.created_at),
        "last_update": format_timestamp(memory.last_update),
        "revision": versioned.revision.to_string(),
        "ttl_seconds": match ttl {
            Some(Ttl::Remaining(left)) => Value::from(left.as_secs()),
            Some(Ttl::Forever) | None => Value::Null,
        },
    })
}
