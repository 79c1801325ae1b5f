//! One operation: attempts, and the waits between them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use futures_util::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tower_service::Service;

use super::{Call, Inner, PATIENCE, Refusal, failure, redact::Sent, retry};

/// A place among the requests in flight: of the caller's own, and of all on the transport.
pub(super) struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _shared: OwnedSemaphorePermit,
}

/// Makes the outcome of a reply that began well. What it gives back may hold the place.
pub(super) type Finish<T> =
    Arc<dyn Fn(reqwest::Response, Place) -> BoxFuture<'static, Result<T>> + Send + Sync>;

/// The service that async-openai hands its requests to.
pub(super) struct Exchange<T> {
    pub(super) inner: Arc<Inner>,
    pub(super) call: Arc<Call>,
    pub(super) finish: Finish<T>,
    pub(super) slot: Arc<Mutex<Option<Result<T>>>>,
}

impl<T> Clone for Exchange<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            call: Arc::clone(&self.call),
            finish: Arc::clone(&self.finish),
            slot: Arc::clone(&self.slot),
        }
    }
}

impl<T: Send + 'static> Service<HttpRequestFactory> for Exchange<T> {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<reqwest::Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let outcome = this.run(&request).await;
            *this.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            // async-openai would log a body it does not understand; it understands this one.
            Ok(reqwest::Response::from(http::Response::new("null")))
        })
    }
}

impl<T: Send + 'static> Exchange<T> {
    async fn run(&self, request: &HttpRequestFactory) -> Result<T> {
        let operation = self.call.operation;
        let deadline = Deadline::current_or(self.inner.config.total_timeout);
        let (mut attempt, mut failures) = (0, 0);
        loop {
            attempt += 1;
            let error = match self.attempt(request, deadline).await {
                Ok(value) => return Ok(value),
                Err(error) => error.with_operation(operation).with_attempts(attempt),
            };
            failures += u32::from(Refusal::of(&error).is_some_and(|refusal| refusal.status == 500));
            let is_enough = |count: u32, most: Option<u32>| most.is_some_and(|most| count >= most);
            if is_enough(attempt, self.call.attempts) || is_enough(failures, self.call.failures) {
                return Err(error);
            }
            let Some(wait) = retry::wait(&self.inner.config, attempt, &error) else { return Err(error) };
            // The error names the host and what the server said, but neither key nor prompt.
            tracing::debug!(operation, attempt, ?wait, %error, "trying again");
            if deadline.sleep(operation, wait).await.is_err() {
                return Err(error);
            }
        }
    }

    async fn attempt(&self, request: &HttpRequestFactory, deadline: Deadline) -> Result<T> {
        let operation = self.call.operation;
        let inner = &self.inner;
        let place = async {
            let closed = |_| Error::new(ErrorKind::Closed, "the transport was closed; open another");
            let one = |places: &Arc<Semaphore>| Arc::clone(places).acquire_owned();
            let own = match &self.call.lane {
                Some(lane) => Some(one(lane).await.map_err(closed)?),
                None => None,
            };
            Ok(Place { _own: own, _shared: one(&inner.places).await.map_err(closed)? })
        };
        let place = deadline.run(operation, Effect::NotApplied, place).await.map_err(|error| {
            // Whoever waits here has met a full house, and not a slow server.
            error.with_context("waiting_for", "a place among the requests in flight")
        })?;
        if let Some(budget) = &inner.budget {
            budget.take(self.call.tokens, deadline, operation).await?;
        }
        let request = request.build().await.map_err(|_| {
            Error::invalid("the request cannot be put together; look at its headers and parts")
        })?;
        let limit = self.call.timeout.unwrap_or(inner.config.request_timeout);
        let within = limit.min(deadline.remaining());
        match tokio::time::timeout(within, self.send(request, place, within)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if deadline.is_past() => Err(Deadline::error(operation, Effect::Unknown)
                .with_context("host", inner.endpoint.host())),
            Err(_elapsed) => Err(Error::new(
                ErrorKind::Timeout,
                "the server took too long for one attempt; look at the server, or allow a longer request_timeout",
            )
            .with_effect(Effect::Unknown)
            .with_context("host", inner.endpoint.host())
            .with_context("request_timeout", format!("{limit:?}"))),
        }
    }

    async fn send(&self, request: reqwest::Request, place: Place, within: Duration) -> Result<T> {
        let inner = &self.inner;
        let begun = Instant::now();
        // Kept for the comparison with what an error says; a body of bytes is shared, not copied.
        let sent = Sent::new(&inner.endpoint, request.try_clone(), self.call.hidden.as_deref());
        let response = inner.http.execute(request).await.map_err(|error| failure::broken(inner, error))?;
        if let Some(budget) = &inner.budget {
            budget.learn(response.headers());
        }
        if !response.status().is_success() {
            drop(place);
            let patience = PATIENCE.min(within.saturating_sub(begun.elapsed()) / 2);
            return Err(failure::refused(inner, response, &sent, patience).await);
        }
        sent.scope((self.finish)(response, place)).await
    }
}
