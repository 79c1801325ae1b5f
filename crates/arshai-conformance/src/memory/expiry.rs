//! How long values live.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    memory::{Memory, MemoryCapabilities, Precondition, Ttl},
};

use super::Context;
use crate::check::{Checks, Outcome, Problem, checks, equal, fails, holds};

const TTL: &str = "arshai_core::memory::MemoryStore::ttl";
const TOUCH: &str = "arshai_core::memory::MemoryStore::touch";
const HOUR: Duration = Duration::from_secs(3600);
/// Polling for an expiry, not a measurement: how long it may take at most.
const EXPIRED_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn run(context: &Context, checks: &mut Checks, can: &MemoryCapabilities) {
    checks!(checks;
        "memory.ttl_is_what_touch_set" if can.expiry, "expiry": TOUCH => context.touched();
        "memory.expired_value_is_absent" if can.expiry, "expiry": TOUCH => context.expires();
        "memory.touch_without_expiry_is_unsupported" unless (can.expiry): TOUCH => context.no_expiry();
        "memory.ttl_of_a_present_value": TTL => context.some_ttl();
    );
}

impl Context {
    async fn touched(&self) -> Outcome {
        let key = self.key("touch")?;
        equal("touching an absent key", &self.store.touch(&key, Ttl::Forever).await?, &false)?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        equal("touching a present key", &self.store.touch(&key, Ttl::Remaining(HOUR)).await?, &true)?;
        let ttl = self.store.ttl(&key).await?;
        let within = |left: Duration| left <= HOUR && left > HOUR / 2;
        holds(
            "an hour or a little less is left",
            matches!(ttl, Some(Ttl::Remaining(left)) if within(left)),
            &ttl,
        )?;
        equal("text after touch", &self.get(&key).await?.memory.text.as_str(), &"x")?;
        equal("touching with Forever", &self.store.touch(&key, Ttl::Forever).await?, &true)?;
        equal("ttl", &self.store.ttl(&key).await?, &Some(Ttl::Forever))
    }

    async fn expires(&self) -> Outcome {
        let key = self.key("expires")?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        self.store.touch(&key, Ttl::Remaining(Duration::from_millis(50))).await?;
        let expired = async {
            while self.store.get(&key).await?.is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, Problem>(())
        };
        match tokio::time::timeout(EXPIRED_WITHIN, expired).await {
            Ok(outcome) => outcome?,
            Err(_elapsed) => {
                return Err(Problem::new("a value with 50 ms to live is gone", "it is still there"));
            }
        }
        equal("ttl", &self.store.ttl(&key).await?, &None)?;
        equal("touch", &self.store.touch(&key, Ttl::Forever).await?, &false)?;
        equal("delete", &self.store.delete(&key).await?, &false)?;
        let listed =
            self.store.list(&self.prefix("expires"), &arshai_core::memory::PageRequest::default()).await?;
        equal("keys listed", &listed.keys, &Vec::new())?;
        self.put(&key, &Memory::new("again"), Precondition::Absent).await.map(|_| ())
    }

    async fn no_expiry(&self) -> Outcome {
        let key = self.key("no-expiry")?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        fails("touch", self.store.touch(&key, Ttl::Remaining(HOUR)).await, ErrorKind::Unsupported)?;
        equal("ttl", &self.store.ttl(&key).await?, &Some(Ttl::Forever))
    }

    async fn some_ttl(&self) -> Outcome {
        let key = self.key("ttl")?;
        self.put(&key, &Memory::new("x"), Precondition::Any).await?;
        let ttl = self.store.ttl(&key).await?;
        holds("a present value has a time to live", ttl.is_some(), &ttl)
    }
}
