//! Requests that async-openai does not make: forms that are read while they are sent, and other interfaces of a server.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use arshai_core::{Deadline, Error, ErrorKind, Result};
use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use reqwest::{Request, RequestBuilder};
use serde_json::Value;
use tower_service::Service as _;

use super::{Body, Call, Exchange, Finish, Refusal, Reply, Transport, body, redact::Sent, reported};

impl Transport {
    /// A request below the base URL, with the headers and the query of every request.
    #[doc(hidden)]
    pub fn post(&self, path: &str) -> RequestBuilder {
        let endpoint = &self.inner.endpoint;
        self.inner.http.post(endpoint.url(path)).headers(endpoint.headers()).query(&endpoint.query())
    }

    /// Makes a call whose requests `build` puts together, one for each attempt, and whose reply is read whole. What
    /// `decode` calls retryable is retried; an error of `build` is the last one.
    ///
    /// # Errors
    ///
    /// The last failure, with the number of attempts.
    #[doc(hidden)]
    pub async fn send<T, F, Fut>(
        &self,
        call: Call,
        decode: impl Fn(Reply) -> Result<T> + Send + Sync + 'static,
        build: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Request>> + Send + 'static,
    {
        let most = self.inner.config.max_reply_bytes;
        let decode = Arc::new(decode);
        let finish: Finish<T> = Arc::new(move |response, place| {
            let decode = Arc::clone(&decode);
            Box::pin(async move {
                let headers = response.headers().clone();
                let body = body::whole(response, most).await?;
                drop(place);
                decode(Reply { headers, body })
            })
        });
        self.send_to(call, finish, build).await
    }

    /// As [`Transport::send`], with a reply that is read as it arrives.
    ///
    /// # Errors
    ///
    /// What kept the reply from beginning.
    #[doc(hidden)]
    pub async fn send_open<F, Fut>(&self, call: Call, build: F) -> Result<Body>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Request>> + Send + 'static,
    {
        let config = &self.inner.config;
        let (idle, most, operation) = (config.idle_timeout, config.max_reply_bytes, call.operation);
        let deadline = Deadline::current_or(config.stream_timeout);
        let endpoint = Arc::clone(&self.inner.endpoint);
        let finish: Finish<Body> = Arc::new(move |response, place| {
            let endpoint = Arc::clone(&endpoint);
            Box::pin(async move {
                let sent = Sent::current(&endpoint);
                Ok(Body::new(response, place, sent, operation, idle, deadline, most))
            })
        });
        self.send_to(call, finish, build).await
    }

    async fn send_to<T, F, Fut>(&self, call: Call, finish: Finish<T>, build: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Request>> + Send + 'static,
    {
        let operation = call.operation;
        let slot = Arc::new(Mutex::new(None));
        let why = Arc::new(Mutex::new(None::<Error>));
        let told = Arc::clone(&why);
        let requests = HttpRequestFactory::new(move || {
            let (building, told) = (build(), Arc::clone(&told));
            async move {
                building.await.map_err(|error| {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    OpenAIError::InvalidArgument(String::new())
                })
            }
        });
        let mut exchange = Exchange {
            inner: Arc::clone(&self.inner),
            call: Arc::new(call),
            finish,
            slot: Arc::clone(&slot),
        };
        let _stand_in = exchange.call(requests).await;
        if let Some(error) = why.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error.with_operation(operation));
        }
        let outcome = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.unwrap_or_else(|| Err(Error::internal("no request was made").with_operation(operation)))
    }

    /// Whether the server answers at all. Costs nothing.
    ///
    /// # Errors
    ///
    /// Why it does not.
    #[doc(hidden)]
    pub async fn answers(&self, operation: &'static str) -> Result<()> {
        self.health(operation).await
    }

    /// The error that a reply reports although it began well. What the server says is shown only while the reply is
    /// being decoded, when it is known what it answers.
    #[doc(hidden)]
    pub fn reported(&self, body: &Value) -> Error {
        reported(body, &Sent::current(&self.inner.endpoint))
    }

    /// Whether the server refused the request because of this field of it.
    #[doc(hidden)]
    pub fn is_about(error: &Error, field: &str) -> bool {
        error.kind() == ErrorKind::InvalidInput
            && Refusal::of(error).is_some_and(|refusal| refusal.is_about(field))
    }

    /// The host and port of the server.
    #[doc(hidden)]
    pub fn address(&self) -> (&str, u16) {
        (self.inner.endpoint.host(), self.inner.endpoint.port())
    }

    /// Whether the server is OpenAI itself.
    #[doc(hidden)]
    pub fn is_openai(&self) -> bool {
        self.inner.endpoint.is_first_party && !self.inner.endpoint.is_azure
    }
}
