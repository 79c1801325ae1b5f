//! Sets of keys: listing in pages, odd characters, removing whole sets.

use std::collections::BTreeSet;

use arshai_core::memory::{KeyPrefix, Memory, MemoryKey, PageRequest, Precondition};

use super::Context;
use crate::check::{Checks, Outcome, Problem, checks, equal};

const LIST: &str = "arshai_core::memory::MemoryStore::list";
const DELETE_ALL: &str = "arshai_core::memory::MemoryStore::delete_all";
/// Every page is asked for once; a cursor that does not advance must not hang the suite.
const MOST_PAGES: usize = 1_000;

pub(super) async fn run(context: &Context, checks: &mut Checks) {
    checks!(checks;
        "memory.list_returns_every_key_once_over_pages": LIST => context.pages();
        "memory.list_takes_pattern_characters_literally": LIST => context.patterns();
        "memory.list_stays_inside_type_and_tenant": LIST => context.list_scopes();
        "memory.delete_all_removes_exactly_the_set": DELETE_ALL => context.delete_set();
        "memory.delete_all_takes_pattern_characters_literally": DELETE_ALL => context.delete_patterns();
    );
}

impl Context {
    /// Every key of the set, page by page; a key given twice is a problem only when it repeats on one page.
    async fn listed(&self, prefix: &KeyPrefix, limit: usize) -> Outcome<BTreeSet<MemoryKey>> {
        let mut found = BTreeSet::new();
        let mut request = PageRequest { limit, cursor: None };
        for _ in 0..MOST_PAGES {
            let page = self.store.list(prefix, &request).await?;
            found.extend(page.keys);
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return Ok(found),
            }
        }
        Err(Problem::new(format!("the listing ends within {MOST_PAGES} pages"), "it goes on"))
    }

    async fn fill(&self, keys: &[MemoryKey]) -> Outcome {
        for key in keys {
            self.put(key, &Memory::new("x"), Precondition::Any).await?;
        }
        Ok(())
    }

    async fn pages(&self) -> Outcome {
        let keys: Vec<_> = (0..57).map(|n| self.key(&format!("page-{n}"))).collect::<Outcome<_>>()?;
        self.fill(&keys).await?;
        let expected: BTreeSet<_> = keys.into_iter().collect();
        for limit in [1, 10, 57, 1000] {
            let found = self.listed(&self.prefix("page-"), limit).await?;
            equal(format!("keys listed in pages of {limit}"), &found, &expected)?;
        }
        equal("keys of an empty set", &self.listed(&self.prefix("page-none"), 10).await?, &BTreeSet::new())
    }

    async fn patterns(&self) -> Outcome {
        for odd in ["*", "?", "[a-z]", "%", "_", "a:b", "\\", "{x,y}", "'\"", "é東", "a b", "^$."] {
            let keys = [self.key(&format!("odd-{odd}-in"))?, self.key("odd-zz-out")?];
            self.fill(&keys).await?;
            let found = self.listed(&self.prefix(&format!("odd-{odd}")), 10).await?;
            let expected = keys.iter().take(1).cloned().collect();
            equal(format!("keys that begin with {odd:?}"), &found, &expected)?;
            let tenant =
                keys.iter().cloned().map(|key| Ok(key.in_tenant(odd, "t")?)).collect::<Outcome<Vec<_>>>()?;
            self.fill(&tenant).await?;
            let found = self.listed(&self.prefix(&format!("odd-{odd}")).in_tenant(odd, "t"), 10).await?;
            equal(format!("keys in namespace {odd:?}"), &found, &tenant.iter().take(1).cloned().collect())?;
            for key in keys.iter().chain(&tenant) {
                self.store.delete(key).await?;
            }
        }
        Ok(())
    }

    async fn list_scopes(&self) -> Outcome {
        let bare = self.key("apart-1")?;
        let typed = bare.clone().of_type("SUMMARY")?;
        let tenant = bare.clone().in_tenant(self.run.clone(), "one")?;
        let similar = bare.clone().in_tenant(self.run.clone(), "one:two")?;
        self.fill(&[bare.clone(), typed.clone(), tenant.clone(), similar.clone()]).await?;
        let prefix = self.prefix("apart-");
        for (prefix, key) in [
            (prefix.clone(), &bare),
            (prefix.clone().of_type("SUMMARY"), &typed),
            (prefix.clone().in_tenant(self.run.clone(), "one"), &tenant),
            (prefix.in_tenant(self.run.clone(), "one:two"), &similar),
        ] {
            let found = self.listed(&prefix, 10).await?;
            equal(format!("keys under {:?}", prefix.stored()), &found, &BTreeSet::from([key.clone()]))?;
        }
        let [bare_ones, in_tenants] = KeyPrefix::every();
        let all = (self.listed(&bare_ones, 500).await?, self.listed(&in_tenants, 500).await?);
        for (key, expected) in [
            (&bare, (true, false)),
            (&typed, (true, false)),
            (&tenant, (false, true)),
            (&similar, (false, true)),
        ] {
            equal(
                format!("that {:?} is in the sets of every memory", key.stored()),
                &(all.0.contains(key), all.1.contains(key)),
                &expected,
            )?;
        }
        for key in [bare, typed, tenant, similar] {
            self.store.delete(&key).await?;
        }
        Ok(())
    }

    async fn delete_set(&self) -> Outcome {
        let keys: Vec<_> = (0..25).map(|n| self.key(&format!("set-{n}"))).collect::<Outcome<_>>()?;
        let neighbour = self.key("sett")?;
        let tenant = self.key("set-1")?.in_tenant(self.run.clone(), "t")?;
        self.fill(&keys).await?;
        self.fill(&[neighbour.clone(), tenant.clone()]).await?;
        equal("removed", &self.store.delete_all(&self.prefix("set-")).await?, &25)?;
        equal("removed the second time", &self.store.delete_all(&self.prefix("set-")).await?, &0)?;
        self.get(&neighbour).await?;
        self.get(&tenant).await?;
        let scope = KeyPrefix::default().in_tenant(self.run.clone(), "t");
        equal("removed in the tenant", &self.store.delete_all(&scope).await?, &1)
    }

    async fn delete_patterns(&self) -> Outcome {
        let survivor = self.key("wild-abc")?;
        self.fill(std::slice::from_ref(&survivor)).await?;
        for odd in ["wild-*", "wild-?", "wild-%", "wild-_", "wild-[a]", "wild-a*c"] {
            let removed = self.store.delete_all(&self.prefix(odd)).await?;
            equal(format!("removed under {odd:?}"), &removed, &0)?;
        }
        self.get(&survivor).await.map(|_| ())
    }
}
