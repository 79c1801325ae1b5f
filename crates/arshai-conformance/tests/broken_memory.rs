//! The memory suite can fail: each deliberate fault is caught by the check that is named for it.

use std::sync::Arc;

use arshai_conformance::{Report, memory};
use arshai_core::{
    Result,
    memory::{
        InMemoryMemory, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest,
        Precondition, Put, Ttl, Versioned,
    },
};
use async_trait::async_trait;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// A conditional put that only checks that something is there.
    LostUpdate,
    /// A conflict that makes the caller read again.
    BareConflict,
    /// A put in two steps.
    TornPut,
    /// Pattern characters in a prefix match anything.
    Globbing,
    /// A listing that leaves out the last key of every page.
    ShortPages,
    /// Turns are not kept.
    ForgetfulOfTurns,
    /// Text ends at a NUL.
    CutsAtNul,
    /// Works on after close.
    NeverCloses,
}

#[derive(Debug, Clone)]
struct Broken {
    fault: Fault,
    inner: InMemoryMemory,
}

#[async_trait]
impl MemoryStore for Broken {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let found = self.inner.get(key).await;
        if self.fault == Fault::LostUpdate {
            // Lets another writer in between reading and writing, so that the race does not depend on luck.
            tokio::task::yield_now().await;
        }
        found
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        let mut memory = memory.clone();
        match self.fault {
            Fault::LostUpdate if matches!(when, Precondition::Matches(_)) => {
                return self.inner.put(key, &memory, Precondition::Any).await;
            }
            Fault::TornPut => {
                let _half = self.inner.put(key, &Memory::new("half"), when.clone()).await?;
                tokio::task::yield_now().await;
                return self.inner.put(key, &memory, Precondition::Any).await;
            }
            Fault::ForgetfulOfTurns => memory.turns = None,
            Fault::CutsAtNul => memory.text.truncate(memory.text.find('\0').unwrap_or(memory.text.len())),
            _ => {}
        }
        let put = self.inner.put(key, &memory, when).await?;
        Ok(match put {
            Put::Conflict(_) if self.fault == Fault::BareConflict => Put::Conflict(None),
            other => other,
        })
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let mut found = self.inner.list(prefix, page).await?;
        if self.fault == Fault::ShortPages && found.next.is_some() {
            found.keys.pop();
        }
        Ok(found)
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let stored = prefix.stored();
        match stored.split_once(['*', '%']) {
            Some((start, _)) if self.fault == Fault::Globbing && start.len() > 30 => {
                let start = start.trim_start_matches("memory:WORKING_MEMORY:");
                self.inner.delete_all(&KeyPrefix::conversations(start)).await
            }
            _ => self.inner.delete_all(prefix).await,
        }
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        self.inner.ttl(key).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        self.inner.touch(key, ttl).await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        if self.fault == Fault::NeverCloses { Ok(()) } else { self.inner.close().await }
    }
}

async fn report(fault: Fault) -> Report {
    let store = Broken { fault, inner: InMemoryMemory::new() };
    memory::suite(&|| {
        let handle: Arc<dyn MemoryStore> = Arc::new(store.clone());
        async { Ok(handle) }
    })
    .await
}

#[tokio::test]
async fn every_fault_is_caught_by_the_check_named_for_it() {
    for (fault, check) in [
        (Fault::LostUpdate, "memory.racing_updates_lose_nothing"),
        (Fault::LostUpdate, "memory.put_matches_replaces_exactly_that_state"),
        (Fault::BareConflict, "memory.put_conflict_carries_the_current_value"),
        (Fault::TornPut, "memory.dropped_put_is_old_or_new"),
        (Fault::Globbing, "memory.delete_all_takes_pattern_characters_literally"),
        (Fault::ShortPages, "memory.list_returns_every_key_once_over_pages"),
        (Fault::ForgetfulOfTurns, "memory.turns_survive"),
        (Fault::CutsAtNul, "memory.any_text_survives"),
        (Fault::NeverCloses, "memory.closed_store_says_closed"),
    ] {
        let report = report(fault).await;
        assert!(report.failed(check), "{fault:?} was not caught by {check}: {report}");
        assert!(report.passed.contains(&"memory.absent_is_none"), "{fault:?}: {report}");
    }
}

#[tokio::test]
async fn stores_that_share_nothing_are_caught() {
    let report = memory::suite(&|| {
        let handle: Arc<dyn MemoryStore> = Arc::new(InMemoryMemory::new());
        async { Ok(handle) }
    })
    .await;
    assert!(report.failed("memory.other_handle_sees_writes"), "{report}");
    assert!(report.failed("memory.racing_creates_have_one_winner"), "{report}");
}
