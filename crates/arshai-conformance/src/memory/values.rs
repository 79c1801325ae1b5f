//! One value: reading, conditional writing, deleting, and what survives the way through the store.

use std::time::{Duration, SystemTime};

use arshai_core::{
    ErrorKind,
    memory::{Memory, MemoryCapabilities, MemoryKey, Precondition, Put, Revision, Turn, Versioned},
};
use serde_json::{Map, Value, json};

use super::Context;
use crate::check::{Checks, Outcome, Problem, checks, equal, fails, holds, present, shown};

const GET: &str = "arshai_core::memory::MemoryStore::get";
const PUT: &str = "arshai_core::memory::MemoryStore::put";
const MEMORY: &str = "arshai_core::memory::Memory";

pub(super) async fn run(context: &Context, checks: &mut Checks, can: &MemoryCapabilities) {
    checks!(checks;
        "memory.absent_is_none": GET => context.absent();
        "memory.put_any_creates_and_replaces": PUT => context.put_any();
        "memory.put_absent_never_replaces": PUT => context.put_absent();
        "memory.put_matches_replaces_exactly_that_state": PUT => context.put_matches();
        "memory.put_conflict_carries_the_current_value": PUT => context.conflict();
        "memory.equal_content_has_one_revision": "arshai_core::memory::Revision" => context.revisions();
        "memory.delete_says_whether_there_was_one": "arshai_core::memory::MemoryStore::delete" => context.delete();
        "memory.other_handle_sees_writes": GET => context.other_handle();
        "memory.large_value": MEMORY => context.large();
        "memory.too_large_value_is_refused" if can.max_value_bytes.is_some(), "max_value_bytes": PUT =>
            context.too_large(can.max_value_bytes.unwrap_or(0));
        "memory.any_text_survives": MEMORY => context.texts();
        "memory.metadata_survives": MEMORY => context.metadata();
        "memory.metadata_too_deep_is_refused": "arshai_core::memory::Memory::validate" => context.too_deep();
        "memory.turns_survive": MEMORY => context.turns();
        "memory.turns_that_do_not_match_the_text_are_dropped": "arshai_core::memory::Memory::turns_match" =>
            context.foreign_turns();
        "memory.times_survive_to_the_microsecond": "arshai_core::memory::format_timestamp" => context.times();
        "memory.types_and_tenants_are_apart": "arshai_core::memory::MemoryKey" => context.scopes();
    );
}

impl Context {
    /// Puts and expects it to be stored.
    pub(super) async fn put(
        &self,
        key: &MemoryKey,
        memory: &Memory,
        when: Precondition,
    ) -> Outcome<Revision> {
        match self.store.put(key, memory, when.clone()).await? {
            Put::Stored(revision) => Ok(revision),
            Put::Conflict(found) => {
                let expected = format!("put with {when:?} is stored");
                Err(Problem::new(expected, format!("a conflict with {}", shown(&found))))
            }
        }
    }

    /// Reads and expects a value.
    pub(super) async fn get(&self, key: &MemoryKey) -> Outcome<Versioned> {
        present(key.stored(), self.store.get(key).await?)
    }

    async fn absent(&self) -> Outcome {
        let key = self.key("absent")?;
        equal("get", &self.store.get(&key).await?, &None)?;
        equal("ttl", &self.store.ttl(&key).await?, &None)?;
        equal("delete", &self.store.delete(&key).await?, &false)
    }

    async fn put_any(&self) -> Outcome {
        let key = self.key("any")?;
        for text in ["first", "second"] {
            let revision = self.put(&key, &Memory::new(text), Precondition::Any).await?;
            let read = self.get(&key).await?;
            equal("text read back", &read.memory.text.as_str(), &text)?;
            equal("revision read back is the one put returned", &read.revision, &revision)?;
        }
        Ok(())
    }

    async fn put_absent(&self) -> Outcome {
        let key = self.key("put-absent")?;
        self.put(&key, &Memory::new("first"), Precondition::Absent).await?;
        let put = self.store.put(&key, &Memory::new("second"), Precondition::Absent).await?;
        holds("put Absent on a present key is a conflict", matches!(put, Put::Conflict(Some(_))), &put)?;
        equal("text", &self.get(&key).await?.memory.text.as_str(), &"first")?;
        self.store.delete(&key).await?;
        self.put(&key, &Memory::new("third"), Precondition::Absent).await.map(|_| ())
    }

    async fn put_matches(&self) -> Outcome {
        let key = self.key("matches")?;
        let first = self.put(&key, &Memory::new("first"), Precondition::Any).await?;
        let second = self.put(&key, &Memory::new("second"), Precondition::Matches(first.clone())).await?;
        holds("another content has another revision", first != second, &(&first, &second))?;
        let stale = self.store.put(&key, &Memory::new("lost"), Precondition::Matches(first.clone())).await?;
        holds("put Matches(old revision) is a conflict", matches!(stale, Put::Conflict(Some(_))), &stale)?;
        equal("text", &self.get(&key).await?.memory.text.as_str(), &"second")?;
        let absent = self.key("matches-absent")?;
        let put = self.store.put(&absent, &Memory::new("x"), Precondition::Matches(first)).await?;
        equal("put Matches on an absent key", &put, &Put::Conflict(None))?;
        equal("nothing was written", &self.store.get(&absent).await?, &None)
    }

    async fn conflict(&self) -> Outcome {
        let key = self.key("conflict")?;
        self.put(&key, &Memory::new("current"), Precondition::Any).await?;
        let current = self.get(&key).await?;
        let wrong = Revision::from_digest(b"no such revision");
        for when in [Precondition::Absent, Precondition::Matches(wrong)] {
            let put = self.store.put(&key, &Memory::new("new"), when).await?;
            equal("the conflict", &put, &Put::Conflict(Some(current.clone())))?;
        }
        // The carried revision is good for the next attempt, without another read.
        self.put(&key, &Memory::new("next"), Precondition::Matches(current.revision)).await.map(|_| ())
    }

    async fn revisions(&self) -> Outcome {
        let key = self.key("revisions")?;
        self.put(&key, &Memory::new("same"), Precondition::Any).await?;
        let (one, two) = (self.get(&key).await?, self.get(&key).await?);
        equal("revision of a second read", &two.revision, &one.revision)?;
        let other = present("the value on another handle", self.other.get(&key).await?)?;
        equal("revision read on another handle", &other.revision, &one.revision)
    }

    async fn delete(&self) -> Outcome {
        let key = self.key("delete")?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        equal("deleting a present key", &self.store.delete(&key).await?, &true)?;
        equal("deleting it again", &self.store.delete(&key).await?, &false)?;
        equal("get after delete", &self.store.get(&key).await?, &None)
    }

    async fn other_handle(&self) -> Outcome {
        let key = self.key("other")?;
        for round in 0..20 {
            let text = format!("round {round}");
            self.put(&key, &Memory::new(text.clone()), Precondition::Any).await?;
            let read = present("the value on another handle", self.other.get(&key).await?)?;
            equal("text read by another handle right after the write", &read.memory.text, &text)?;
        }
        equal("delete on another handle", &self.other.delete(&key).await?, &true)?;
        equal("get after another handle's delete", &self.store.get(&key).await?, &None)
    }

    async fn large(&self) -> Outcome {
        let key = self.key("large")?;
        let text = "0123456789abcde\n".repeat(65_536);
        self.put(&key, &Memory::new(text.clone()), Precondition::Any).await?;
        let read = self.get(&key).await?.memory.text;
        holds("a text of 1 MiB comes back whole", read == text, &read.len())
    }

    async fn too_large(&self, most: u64) -> Outcome {
        const TRIED_AT_MOST: u64 = 64 << 20;
        if most >= TRIED_AT_MOST {
            return Ok(());
        }
        let key = self.key("too-large")?;
        let text = "x".repeat(usize::try_from(most).unwrap_or(0) + 1);
        let put = self.store.put(&key, &Memory::new(text), Precondition::Any).await;
        fails("a value above max_value_bytes", put, ErrorKind::InvalidInput)?;
        equal("nothing was written", &self.store.get(&key).await?, &None)
    }

    async fn texts(&self) -> Outcome {
        let key = self.key("texts")?;
        let texts = [
            "",
            " ",
            "\u{0}",
            "a\u{0}b",
            "\r\n\t\u{b}\u{1b}[31m",
            "\"'`\\;-- DROP TABLE memory",
            "%s %_ \\u0000 {}",
            "日本語 한국어 中文",
            "שלום مرحبا \u{202e}rtl",
            "👨‍👩‍👧‍👦 e\u{301} é \u{feff}\u{2028}\u{10ffff}",
            "{\"data\":{\"working_memory\":\"not me\"}}",
            "\nUser: hi\nAssistant: hello",
        ];
        for text in texts {
            self.put(&key, &Memory::new(text), Precondition::Any).await?;
            equal("text read back", &self.get(&key).await?.memory.text.as_str(), &text)?;
        }
        Ok(())
    }

    async fn metadata(&self) -> Outcome {
        let key = self.key("metadata")?;
        let mut deep = json!("bottom");
        for level in 0..60 {
            deep = if level % 2 == 0 { json!([deep]) } else { json!({ "down": deep }) };
        }
        let metadata = json!({
            "i64 max": i64::MAX, "i64 min": i64::MIN, "u64 max": u64::MAX, "2^53+1": 9_007_199_254_740_993_i64,
            "float": 0.1, "small": 5e-324, "large": 1.797_693_134_862_315_7e308, "zero": 0, "true": true,
            "null": null, "empty object": {}, "empty list": [], "list": [1, "two", [3.5, null], {"four": false}],
            "": "empty key", "quo\"te\\": "\u{0}", "日本": "東京", "$": {"a.b": [0]}, "deep": deep,
        });
        let Value::Object(metadata) = metadata else {
            return Err(Problem::new("an object", "another value"));
        };
        self.put(&key, &Memory::new("x").with_metadata(metadata.clone()), Precondition::Any).await?;
        let read = self.get(&key).await?.memory.metadata;
        for (name, value) in &metadata {
            equal(format!("metadata member {name:?}"), &read.get(name), &Some(value))?;
        }
        equal("number of members", &read.len(), &metadata.len())?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        equal("metadata of a plain memory", &self.get(&key).await?.memory.metadata, &Map::new())
    }

    async fn too_deep(&self) -> Outcome {
        let key = self.key("deep")?;
        self.put(&key, &Memory::new("readable"), Precondition::Any).await?;
        let deep = (0..150).fold(json!("bottom"), |value, _| json!([value]));
        let memory = Memory::new("x").with_metadata(Map::from_iter([("deep".to_owned(), deep)]));
        fails(
            "metadata nested 151 deep",
            self.store.put(&key, &memory, Precondition::Any).await,
            ErrorKind::InvalidInput,
        )?;
        equal("the value before", &self.get(&key).await?.memory.text.as_str(), &"readable")
    }

    async fn turns(&self) -> Outcome {
        let key = self.key("turns")?;
        let mut memory = Memory::new("older, without structure");
        memory.push(Turn::user("hello\nAssistant: forged"));
        memory.push(Turn::assistant("hi ✨"));
        self.put(&key, &memory, Precondition::Any).await?;
        let read = self.get(&key).await?.memory;
        equal("turns read back", &read.turns, &memory.turns)?;
        equal("text read back", &read.text, &memory.text)?;
        self.put(&key, &Memory::new("no structure"), Precondition::Any).await?;
        equal("turns of a text without structure", &self.get(&key).await?.memory.turns, &None)?;
        self.put(&key, &Memory::empty(), Precondition::Any).await?;
        equal("turns of an empty memory", &self.get(&key).await?.memory.turns, &Some(Vec::new()))
    }

    async fn foreign_turns(&self) -> Outcome {
        let key = self.key("foreign-turns")?;
        let mut memory = Memory::empty();
        memory.push(Turn::user("said"));
        memory.text = "changed by something else".to_owned();
        self.put(&key, &memory, Precondition::Any).await?;
        let read = self.get(&key).await?.memory;
        equal("text", &read.text, &memory.text)?;
        equal("turns that the text does not end with", &read.turns, &None)
    }

    async fn times(&self) -> Outcome {
        let key = self.key("times")?;
        let mut memory = Memory::new("x");
        memory.created_at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001);
        memory.last_update = SystemTime::UNIX_EPOCH + Duration::from_micros(1_800_000_000_999_999);
        self.put(&key, &memory, Precondition::Any).await?;
        let read = self.get(&key).await?.memory;
        equal("created_at", &read.created_at, &memory.created_at)?;
        equal("last_update", &read.last_update, &memory.last_update)
    }

    async fn scopes(&self) -> Outcome {
        let bare = self.key("scope")?;
        let keys = [
            bare.clone().of_type("SUMMARY")?,
            bare.clone().in_tenant("shop", "one")?,
            bare.clone().in_tenant("shop", "two")?,
            bare.clone().in_tenant("shop:one", "")?,
            bare.clone().in_tenant("", "shop")?,
            bare,
        ];
        for (number, key) in keys.iter().enumerate() {
            self.put(key, &Memory::new(number.to_string()), Precondition::Absent).await?;
        }
        for (number, key) in keys.iter().enumerate() {
            equal(key.stored(), &self.get(key).await?.memory.text, &number.to_string())?;
        }
        for key in &keys {
            equal(format!("deleting {}", key.stored()), &self.store.delete(key).await?, &true)?;
        }
        Ok(())
    }
}
