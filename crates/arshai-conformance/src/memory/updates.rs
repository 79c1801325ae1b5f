//! The update loop on top of the store, under races and cancellation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Error, ErrorKind,
    memory::{
        Memory, MemoryCapabilities, MemoryKey, MemoryStore, MemoryStoreExt as _, Precondition, Put,
        TrimPolicy, Turn,
    },
};
use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::Context;
use crate::{
    check::{Checks, Outcome, Problem, checks, equal, fails, holds, present},
    drop_harness,
};

const UPDATE: &str = "arshai_core::memory::MemoryStoreExt::update_with";
const CANCEL: &str = "arshai_core::memory::MemoryStore, # Cancel safety";
const WRITERS: usize = 8;
const WRITES: usize = 100;

pub(super) async fn run(context: &Context, checks: &mut Checks, can: &MemoryCapabilities) {
    checks!(checks;
        "memory.store_and_update_keep_creation_time_and_metadata": "arshai_core::memory::MemoryStoreExt::store" =>
            context.store_and_update();
        "memory.append_keeps_turns_and_trims": "arshai_core::memory::MemoryStoreExt::append" => context.append();
        "memory.error_of_the_closure_writes_nothing": UPDATE => context.closure_error();
        "memory.passed_deadline_leaves_old_or_new": "arshai_core::Deadline" => context.deadline();
        "memory.racing_creates_have_one_winner" if can.compare_and_set, "compare_and_set":
            "arshai_core::memory::Precondition::Absent" => context.racing_creates();
        "memory.racing_updates_lose_nothing" if can.compare_and_set, "compare_and_set": UPDATE =>
            context.racing_updates();
    );
    for (name, contract, operation) in [
        ("memory.dropped_put_is_old_or_new", CANCEL, Operation::Put),
        ("memory.dropped_update_is_old_or_new", CANCEL, Operation::Update),
        ("memory.dropped_delete_is_old_or_new", CANCEL, Operation::Delete),
    ] {
        checks.run_noted(name, contract, Box::pin(context.dropped(operation))).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Put,
    Update,
    Delete,
}

impl Context {
    async fn store_and_update(&self) -> Outcome {
        let key = self.key("sugar")?;
        let metadata = Map::from_iter([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
        self.store.store(&key, "one", metadata).await?;
        let first = self.get(&key).await?.memory;
        self.store.store(&key, "two", Map::from_iter([("b".to_owned(), json!(3))])).await?;
        let returned = self.store.update(&key, "three").await?;
        let last = self.get(&key).await?;
        equal("what update returned is what is stored", &last, &returned)?;
        equal("text", &last.memory.text.as_str(), &"three")?;
        equal("metadata is merged and kept", &json!(last.memory.metadata), &json!({"a": 1, "b": 3}))?;
        equal("created_at", &last.memory.created_at, &first.created_at)?;
        let advanced = last.memory.last_update >= first.last_update;
        holds("last_update does not go back", advanced, &(first.last_update, last.memory.last_update))
    }

    async fn append(&self) -> Outcome {
        let key = self.key("append")?;
        let trim = TrimPolicy::default();
        for n in 0..60 {
            let turns = [Turn::user(format!("question {n}")), Turn::assistant(format!("answer {n}, é東"))];
            let store = if n % 2 == 0 { &self.store } else { &self.other };
            store.append(&key, &turns, trim).await?;
        }
        let memory = self.get(&key).await?.memory;
        let length = memory.text.chars().count();
        holds("the text was trimmed to at most 2000 characters", length <= 2000, &length)?;
        holds("the text begins with the mark of the cut", memory.text.starts_with("..."), &memory.text)?;
        let turns = memory.turns.clone().unwrap_or_default();
        equal("the last turn", &turns.last(), &Some(&Turn::assistant("answer 59, é東")))?;
        holds("the turns are what the text ends with", !turns.is_empty() && memory.turns_match(), &memory)
    }

    async fn closure_error(&self) -> Outcome {
        let key = self.key("closure")?;
        let refused = self.store.update_with(&key, |_| Err(Error::invalid("on purpose"))).await;
        let error = fails("an update whose closure refuses", refused, ErrorKind::InvalidInput)?;
        equal("the closure's own message", &error.message(), &"on purpose")?;
        equal("nothing was written", &self.store.get(&key).await?, &None)?;
        self.put(&key, &Memory::new("old"), Precondition::Any).await?;
        let before = self.get(&key).await?;
        let refused = self.store.update_with(&key, |_| Err(Error::invalid("on purpose"))).await;
        fails("an update whose closure refuses", refused, ErrorKind::InvalidInput)?;
        equal("the old value", &self.get(&key).await?, &before)
    }

    async fn deadline(&self) -> Outcome {
        let key = self.key("deadline")?;
        self.put(&key, &Memory::new("old"), Precondition::Any).await?;
        let passed = Deadline::after(Duration::ZERO);
        let new = Memory::new("new");
        let put = passed.scope(self.store.put(&key, &new, Precondition::Any)).await;
        let text = self.get(&key).await?.memory.text;
        holds("the value is old or new", text == "old" || text == "new", &text)?;
        match put {
            Ok(Put::Stored(_)) => equal("the acknowledged value", &text.as_str(), &"new"),
            Ok(Put::Conflict(found)) => {
                Err(Problem::new("no conflict with Any", crate::check::shown(&found)))
            }
            Err(error) => {
                let kinds = [ErrorKind::Timeout, ErrorKind::OutcomeUnknown];
                holds(
                    "a passed deadline is timeout or outcome_unknown",
                    kinds.contains(&error.kind()),
                    &error,
                )
            }
        }
    }

    async fn racing_creates(&self) -> Outcome {
        for round in 0..20 {
            let key = self.key(&format!("create-{round}"))?;
            let mut tasks = JoinSet::new();
            for writer in 0..WRITERS {
                let (store, key) = (self.handle(writer), key.clone());
                tasks.spawn(async move {
                    let put = store.put(&key, &Memory::new(writer.to_string()), Precondition::Absent).await?;
                    Ok::<_, Error>(matches!(put, Put::Stored(_)).then_some(writer))
                });
            }
            let mut winners = Vec::new();
            while let Some(joined) = tasks.join_next().await {
                winners.extend(joined.map_err(|error| Problem::new("no writer panics", error.to_string()))??);
            }
            equal("writers that created the key", &winners.len(), &1)?;
            let text = self.get(&key).await?.memory.text;
            equal("the winner's value", &Some(text), &winners.first().map(usize::to_string))?;
        }
        Ok(())
    }

    async fn racing_updates(&self) -> Outcome {
        let key = self.key("race")?;
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            tasks.spawn(append_tokens(self.handle(writer), key.clone(), writer));
        }
        let mut acknowledged = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            acknowledged
                .extend(joined.map_err(|error| Problem::new("no writer panics", error.to_string()))??);
        }
        let text = self.get(&key).await?.memory.text;
        let mut present: BTreeMap<&str, usize> = BTreeMap::new();
        for token in text.split_whitespace() {
            *present.entry(token).or_default() += 1;
        }
        let wrong: Vec<_> = acknowledged
            .iter()
            .map(|token| (token, present.get(token.as_str()).copied().unwrap_or(0)))
            .filter(|(_, times)| *times != 1)
            .collect();
        holds(
            format!(
                "each of the {} acknowledged updates of {WRITERS} writers on two handles is present exactly once \
                 (below: those that are not, with how often they are)",
                acknowledged.len()
            ),
            wrong.is_empty(),
            &wrong,
        )?;
        equal("updates acknowledged", &acknowledged.len(), &(WRITERS * WRITES))?;
        equal("updates present", &present.len(), &acknowledged.len())
    }

    fn handle(&self, writer: usize) -> Arc<dyn MemoryStore> {
        Arc::clone(if writer % 2 == 0 { &self.store } else { &self.other })
    }

    async fn dropped(&self, operation: Operation) -> Outcome<String> {
        let name = format!("dropped-{operation:?}").to_lowercase();
        let keys = |run: usize| self.key(&format!("{name}-{run}"));
        let run_operation = async |run: usize| {
            let key = keys(run)?;
            match operation {
                Operation::Put => {
                    let put = self.store.put(&key, &Memory::new("new"), Precondition::Any).await?;
                    holds("put is stored", matches!(put, Put::Stored(_)), &put)
                }
                Operation::Update => {
                    self.store.update_with(&key, |_| Ok(Memory::new("new"))).await?;
                    Ok(())
                }
                Operation::Delete => equal("delete", &self.store.delete(&key).await?, &true),
            }
        };
        // The first run's key is made here, each later run's at the end of the check before it.
        self.put(&keys(1)?, &Memory::new("old"), Precondition::Any).await?;
        let polls = drop_harness(run_operation, async |run: usize, dropped: crate::Dropped<Outcome>| {
            let checked = async {
                let completed = dropped.completed().transpose()?.is_some();
                let found = self.store.get(&keys(run)?).await?.map(|versioned| versioned.memory.text);
                let new = if matches!(operation, Operation::Delete) { None } else { Some("new".to_owned()) };
                let old = !completed && found.as_deref() == Some("old");
                holds(format!("{new:?}, or Some(\"old\") when dropped"), old || found == new, &found)?;
                let next = keys(run + 1)?;
                self.put(&next, &Memory::new("old"), Precondition::Any).await?;
                let seen = present("the next write on another handle", self.other.get(&next).await?)?;
                equal("the next write", &seen.memory.text.as_str(), &"old")
            };
            checked
                .await
                .map_err(|problem: Problem| format!("expected {}; found {}", problem.expected, problem.found))
        })
        .await
        .map_err(|failure| Problem::new(failure.expected, failure.found))?;
        Ok(format!("completes at poll {polls}, dropped at every one before"))
    }
}

/// Adds tokens of its own to the text, one update each; the tokens whose update was acknowledged.
async fn append_tokens(store: Arc<dyn MemoryStore>, key: MemoryKey, writer: usize) -> Outcome<Vec<String>> {
    let mut acknowledged = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let token = format!("w{writer}n{number}");
        store
            .update_with(&key, |old| {
                let text = old.map_or("", |memory| memory.text.as_str());
                Ok(Memory::new(format!("{text} {token}")))
            })
            .await?;
        acknowledged.push(token);
    }
    Ok(acknowledged)
}
