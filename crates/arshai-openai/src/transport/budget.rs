//! Requests and tokens to spend in a minute.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Result};
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::headers;
use crate::config::RateBudget;

/// Two buckets that fill steadily and follow what the server says is left.
#[derive(Debug)]
pub(super) struct Budget {
    /// First come, first served: a large request is not passed by small ones for ever.
    turn: tokio::sync::Mutex<()>,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    requests: Bucket,
    tokens: Bucket,
}

/// A bucket without a rate lets everything through.
#[derive(Debug)]
struct Bucket {
    configured: bool,
    per_minute: Option<f64>,
    left: f64,
    filled: Instant,
    /// The server said nothing is left until then.
    not_before: Option<Instant>,
}

impl Budget {
    pub(super) fn new(budget: RateBudget) -> Self {
        let now = Instant::now();
        let buckets = Buckets {
            requests: Bucket::new(budget.requests_per_minute, now),
            tokens: Bucket::new(budget.tokens_per_minute, now),
        };
        Self { turn: tokio::sync::Mutex::new(()), buckets: Mutex::new(buckets) }
    }

    /// Waits until a request of so many tokens may be made. Those who wait are served in the order they came.
    pub(super) async fn take(&self, tokens: u64, deadline: Deadline, operation: &'static str) -> Result<()> {
        const WAITING: (&str, &str) = ("waiting_for", "the budget of requests and tokens");
        let turn = async { Ok(self.turn.lock().await) };
        let _turn = deadline
            .run(operation, Effect::NotApplied, turn)
            .await
            .map_err(|error| error.with_context(WAITING.0, WAITING.1))?;
        loop {
            let wait = {
                let now = Instant::now();
                let mut buckets = self.lock();
                let wait = buckets.requests.wait(1.0, now).max(buckets.tokens.wait(tokens as f64, now));
                if wait.is_zero() {
                    buckets.requests.left -= 1.0;
                    buckets.tokens.left -= tokens as f64;
                    return Ok(());
                }
                wait
            };
            deadline
                .sleep(operation, wait)
                .await
                .map_err(|error| error.with_context(WAITING.0, WAITING.1))?;
        }
    }

    /// Follows the headers of a reply.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        let now = Instant::now();
        let mut buckets = self.lock();
        buckets.requests.learn(headers, Names::REQUESTS, now);
        buckets.tokens.learn(headers, Names::TOKENS, now);
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
struct Names {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

impl Names {
    const REQUESTS: Self = Self {
        limit: "x-ratelimit-limit-requests",
        remaining: "x-ratelimit-remaining-requests",
        reset: "x-ratelimit-reset-requests",
    };
    const TOKENS: Self = Self {
        limit: "x-ratelimit-limit-tokens",
        remaining: "x-ratelimit-remaining-tokens",
        reset: "x-ratelimit-reset-tokens",
    };
}

impl Bucket {
    fn new(per_minute: Option<u32>, now: Instant) -> Self {
        let rate = per_minute.map(|rate| f64::from(rate.max(1)));
        Self {
            configured: rate.is_some(),
            per_minute: rate,
            left: rate.unwrap_or(0.0),
            filled: now,
            not_before: None,
        }
    }

    /// How long until `amount` is there. More than a whole bucket is let through when the bucket is full.
    fn wait(&mut self, amount: f64, now: Instant) -> Duration {
        if let Some(until) = self.not_before {
            if until > now {
                return until.saturating_duration_since(now);
            }
            self.not_before = None;
        }
        let Some(rate) = self.per_minute else { return Duration::ZERO };
        self.fill(rate, now);
        let missing = amount.min(rate) - self.left;
        // Less than this is rounding: a wait for it would not end.
        if missing <= 1e-6 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(missing * 60.0 / rate).max(Duration::from_millis(1))
    }

    fn fill(&mut self, rate: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * rate / 60.0;
        self.left = (self.left + gained).min(rate);
        self.filled = now;
    }

    fn learn(&mut self, headers: &HeaderMap, names: Names, now: Instant) {
        let number = |name| headers::text(headers, name).and_then(|value| value.parse::<f64>().ok());
        if let Some(limit) = number(names.limit).filter(|limit| limit.is_finite() && *limit >= 1.0) {
            if !self.configured {
                if self.per_minute.is_none() {
                    (self.left, self.filled) = (limit, now);
                }
                self.per_minute = Some(limit);
            }
        }
        let Some(remaining) = number(names.remaining).filter(|remaining| *remaining >= 0.0) else { return };
        // What has flowed in until now is in the server's number.
        if let Some(rate) = self.per_minute {
            self.fill(rate, now);
        }
        self.left = self.left.min(remaining);
        if remaining < 1.0 {
            let reset = headers::text(headers, names.reset).and_then(headers::span);
            // A minute is all that a budget of a minute can ask for.
            self.not_before = reset.map(|reset| now + reset.min(Duration::from_secs(60)));
        }
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::ErrorKind;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    async fn spent(budget: &Budget, tokens: u64) -> Duration {
        let before = Instant::now();
        budget.take(tokens, Deadline::after(Duration::from_secs(600)), "test").await.unwrap();
        before.elapsed()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_the_budget_wait_for_the_bucket_to_fill() {
        let budget = Budget::new(RateBudget { requests_per_minute: Some(60), tokens_per_minute: None });
        for _ in 0..60 {
            assert_eq!(spent(&budget, 10).await, Duration::ZERO);
        }
        let waited = spent(&budget, 10).await;
        assert!(waited >= Duration::from_millis(990) && waited < Duration::from_millis(1100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_counted_and_a_huge_request_is_not_locked_out_for_ever() {
        let budget = Budget::new(RateBudget { requests_per_minute: None, tokens_per_minute: Some(600) });
        assert_eq!(spent(&budget, 600).await, Duration::ZERO);
        assert!(spent(&budget, 300).await >= Duration::from_secs(29));
        assert!(spent(&budget, 1_000_000).await <= Duration::from_secs(61));
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_knows_better() {
        let budget = Budget::new(RateBudget::default());
        assert_eq!(spent(&budget, 1).await, Duration::ZERO);
        budget.learn(&headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "2.5s"),
        ]));
        let waited = spent(&budget, 1).await;
        assert!(waited >= Duration::from_millis(2500) && waited < Duration::from_secs(4), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_says_is_left_does_not_grow_by_time_that_has_passed() {
        let budget = Budget::new(RateBudget { requests_per_minute: Some(60), tokens_per_minute: None });
        spent(&budget, 0).await;
        tokio::time::advance(Duration::from_secs(50)).await;
        budget.learn(&headers(&[("x-ratelimit-remaining-requests", "1")]));
        assert_eq!(spent(&budget, 0).await, Duration::ZERO);
        assert!(spent(&budget, 0).await >= Duration::from_millis(900), "fifty more from the time before");
    }

    #[tokio::test(start_paused = true)]
    async fn small_requests_do_not_pass_a_large_one_that_came_before() {
        let budget = Budget::new(RateBudget { requests_per_minute: None, tokens_per_minute: Some(600) });
        spent(&budget, 600).await;
        let order = Mutex::new(Vec::new());
        let take = |name: &'static str, tokens| {
            let (budget, order) = (&budget, &order);
            async move {
                spent(budget, tokens).await;
                order.lock().unwrap().push(name);
            }
        };
        tokio::join!(take("large", 300), take("small", 10), take("small", 10));
        assert_eq!(*order.lock().unwrap(), ["large", "small", "small"]);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_deadline() {
        let budget = Budget::new(RateBudget { requests_per_minute: Some(1), tokens_per_minute: None });
        spent(&budget, 0).await;
        let error = budget.take(0, Deadline::after(Duration::from_secs(1)), "test").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
