//! The way to a server: one client, its limits, and the attempts of an operation.
//!
//! async-openai builds the requests; everything after that is decided here, because its own error types lose what a
//! retry needs to know. Its service hook hands over each request; what comes back to it is a stand-in, and the real
//! outcome leaves through a slot beside it.

mod body;
mod budget;
mod client;
mod direct;
mod exchange;
mod failure;
mod gate;
mod headers;
pub mod opening;
mod redact;
mod retry;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, Result};
use async_openai::error::OpenAIError;
use reqwest::header::HeaderMap;
use tokio::sync::Semaphore;

pub use body::Body;
pub(crate) use failure::{Refusal, reported};
pub use gate::{Gate, Pass};

use crate::config::{Endpoint, OpenAiConfig};
use budget::Budget;
use exchange::{Exchange, Finish, Place};
use redact::Sent;

/// How long the body of a refusal is waited for at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// async-openai's client, in the shape the transport gives it.
#[doc(hidden)]
pub type Api = async_openai::Client<Shape>;

/// Connections to one server, with the limits that all models on it share.
///
/// Clones share everything. Nothing is connected before the first request.
///
/// # Examples
///
/// ```
/// use arshai_openai::{OpenAiConfig, OpenAiEmbedder, Transport};
///
/// # fn main() -> arshai_core::Result<()> {
/// let transport = Transport::new(OpenAiConfig::new("http://127.0.0.1:8080/v1"))?;
/// let embedder = OpenAiEmbedder::new(transport.clone(), "all-minilm")?;
/// # let _ = embedder;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: OpenAiConfig,
    pub(crate) endpoint: Arc<Endpoint>,
    http: reqwest::Client,
    api: Api,
    places: Arc<Semaphore>,
    budget: Option<Budget>,
    quirks: Quirks,
}

/// What this server turned out not to understand.
#[derive(Debug, Default)]
pub(crate) struct Quirks {
    no_base64: AtomicBool,
    no_stream_options: AtomicBool,
}

/// What an operation is, for errors, the budget and the log.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name, such as `openai.embed`.
    pub operation: &'static str,
    /// The model asked. May be repeated in errors.
    pub model: String,
    /// Tokens it may cost, for the budget.
    pub tokens: u64,
    /// The longest time for one attempt; the configured one when `None`.
    pub timeout: Option<Duration>,
    /// Attempts at most; the configured number when `None`.
    pub attempts: Option<u32>,
    /// So often may the server fail on it (status 500), within the attempts; not limited by itself when `None`.
    pub failures: Option<u32>,
    /// What of the content must not be in errors, each text by itself, where the body does not show it.
    pub hidden: Option<Vec<String>>,
    /// The caller's own limit of requests in flight. A place is held from the sending of a request to the last byte of
    /// its reply, and not while that is understood or while another attempt is waited for.
    pub lane: Option<Arc<Semaphore>>,
}

impl Call {
    /// A call that is not counted in tokens.
    pub fn new(operation: &'static str, model: impl Into<String>) -> Self {
        Self {
            operation,
            model: model.into(),
            tokens: 0,
            timeout: None,
            attempts: None,
            failures: None,
            hidden: None,
            lane: None,
        }
    }
}

/// The headers of a reply and its body so far.
#[doc(hidden)]
#[derive(Debug)]
pub struct Reply {
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Transport {
    /// Checks the settings and prepares a client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the setting that is wrong.
    pub fn new(config: OpenAiConfig) -> Result<Self> {
        config.validate()?;
        let endpoint = Arc::new(Endpoint::new(&config)?);
        let http = client::build(&config, &endpoint)?;
        let api = async_openai::Client::build(http.clone(), Shape(Arc::clone(&endpoint)));
        let places = config.max_concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let inner = Inner {
            places: Arc::new(Semaphore::new(places)),
            budget: config.rate_budget.map(Budget::new),
            quirks: Quirks::default(),
            config,
            endpoint,
            http,
            api,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &OpenAiConfig {
        &self.inner.config
    }

    /// The HTTP client, for requests that arshai does not make.
    pub fn http_client(&self) -> &reqwest::Client {
        &self.inner.http
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    pub(crate) fn quirks(&self) -> &Quirks {
        &self.inner.quirks
    }

    /// Makes a call whose reply is read whole and understood by `decode`. What `decode` calls retryable is retried.
    ///
    /// # Errors
    ///
    /// The last failure, with the number of attempts.
    #[doc(hidden)]
    pub async fn call<T, F, Fut>(
        &self,
        call: Call,
        decode: impl Fn(Reply) -> Result<T> + Send + Sync + 'static,
        make: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Api) -> Fut + Send,
        Fut: Future<Output = Result<(), OpenAIError>> + Send,
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
        self.exchange(call, finish, make).await
    }

    /// Makes a call whose reply is read as it arrives.
    ///
    /// # Errors
    ///
    /// What kept the reply from beginning.
    #[doc(hidden)]
    pub async fn open<F, Fut>(&self, call: Call, make: F) -> Result<Body>
    where
        F: FnOnce(Api) -> Fut + Send,
        Fut: Future<Output = Result<(), OpenAIError>> + Send,
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
        self.exchange(call, finish, make).await
    }

    async fn exchange<T, F, Fut>(&self, call: Call, finish: Finish<T>, make: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Api) -> Fut + Send,
        Fut: Future<Output = Result<(), OpenAIError>> + Send,
    {
        let operation = call.operation;
        let slot = Arc::new(Mutex::new(None));
        let exchange = Exchange {
            inner: Arc::clone(&self.inner),
            call: Arc::new(call),
            finish,
            slot: Arc::clone(&slot),
        };
        let built = make(self.inner.api.clone().with_http_service(exchange)).await;
        let outcome = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, built) {
            (Some(outcome), _) => outcome,
            // The request was never made: async-openai could not put it together. Its message may hold the prompt.
            (None, Err(_)) => Err(Error::invalid(
                "the request cannot be put into JSON; look at the schema and the arguments in it",
            )
            .with_operation(operation)),
            (None, Ok(())) => Err(Error::internal("no request was made").with_operation(operation)),
        }
    }

    /// Whether the server answers at all. Costs no tokens.
    pub(crate) async fn health(&self, operation: &'static str) -> Result<()> {
        let url = self.endpoint().url("/models");
        let mut request = self.inner.http.get(url).headers(self.endpoint().headers());
        request = request.query(&self.endpoint().query());
        let send = async {
            let response = request.send().await.map_err(|error| failure::broken(&self.inner, error))?;
            match response.status().as_u16() {
                // A server without a list of models answers nevertheless.
                200..=299 | 404 | 405 | 501 => Ok(()),
                _ => Err(failure::refused(
                    &self.inner,
                    response,
                    &Sent::nothing(&self.inner.endpoint),
                    PATIENCE,
                )
                .await),
            }
        };
        let deadline = Deadline::current_or(self.inner.config.request_timeout);
        deadline
            .run(operation, Effect::NotApplied, send)
            .await
            .map_err(|error| error.with_operation(operation))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("endpoint", &self.inner.endpoint)
            .field("free_places", &self.inner.places.available_permits())
            .finish_non_exhaustive()
    }
}

impl Quirks {
    pub(crate) fn takes_base64(&self) -> bool {
        !self.no_base64.load(Ordering::Relaxed)
    }

    pub(crate) fn set_takes_base64(&self, takes: bool) {
        self.no_base64.store(!takes, Ordering::Relaxed);
    }

    pub(crate) fn takes_stream_options(&self) -> bool {
        !self.no_stream_options.load(Ordering::Relaxed)
    }

    pub(crate) fn refuse_stream_options(&self) {
        self.no_stream_options.store(true, Ordering::Relaxed);
    }
}

/// URLs and headers as async-openai asks for them.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Shape(Arc<Endpoint>);

impl async_openai::config::Config for Shape {
    fn headers(&self) -> HeaderMap {
        self.0.headers()
    }

    fn url(&self, path: &str) -> String {
        self.0.url(path)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.0.query()
    }

    fn api_base(&self) -> &str {
        self.0.base()
    }

    fn api_key(&self) -> &secrecy::SecretString {
        self.0.no_key()
    }
}
