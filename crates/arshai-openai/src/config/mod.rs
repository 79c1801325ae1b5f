//! Where the server is, and how it is spoken to.

mod endpoint;
mod env;

use std::{path::PathBuf, time::Duration};

use arshai_core::{Result, config::Secret};

pub(crate) use endpoint::{Endpoint, bad};

/// Settings of an OpenAI-compatible server.
///
/// Checked once, by [`Transport::new`](crate::Transport::new).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use arshai_openai::OpenAiConfig;
///
/// let config = OpenAiConfig::new("http://127.0.0.1:8080/v1").with_request_timeout(Duration::from_secs(20));
/// assert_eq!(config.max_attempts, 8);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenAiConfig {
    /// The URL before `/chat/completions` and `/embeddings`, usually ending in `/v1`; for Azure the resource's endpoint.
    /// Credentials in it are refused. Default: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key, sent as a bearer token (`api-key` for Azure). Space around it is ignored. Default: none.
    pub api_key: Option<Secret>,
    /// The organisation that is billed. Default: the key's own.
    pub organization: Option<String>,
    /// The project that is billed. Default: the key's own.
    pub project: Option<String>,
    /// Azure's way of addressing models and sending the key. Default: OpenAI's.
    pub azure: Option<Azure>,
    /// Further headers of every request. Default: none.
    pub headers: Vec<(String, Secret)>,
    /// The proxy's URL. Default: that of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; never one for a
    /// loopback address.
    pub proxy: Option<Secret>,
    /// A PEM file of the certificate authorities to trust instead of the system's. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a key may travel in plaintext (`http:`) to a host that is not loopback. Default: false.
    pub allow_plaintext_key: bool,
    /// Time to connect. Default: 5 s.
    pub connect_timeout: Duration,
    /// Time for one attempt, until the end of a whole reply or the beginning of a streamed one. Default: 60 s.
    pub request_timeout: Duration,
    /// Time for one operation with all its attempts and waits, when the caller set no
    /// [`Deadline`](arshai_core::Deadline). Default: 300 s.
    pub total_timeout: Duration,
    /// The longest silence in a streamed reply. Default: 60 s.
    pub idle_timeout: Duration,
    /// Time for a whole streamed reply. Default: 900 s.
    pub stream_timeout: Duration,
    /// Attempts at most, the first included. Default: 8.
    pub max_attempts: u32,
    /// The first window of the jitter between attempts; it doubles. Default: 250 ms.
    pub first_wait: Duration,
    /// The longest window of the jitter. Default: 8 s.
    pub longest_wait: Duration,
    /// The longest wait accepted from a server; when it asks for more, there is no further attempt. Default: 60 s.
    pub longest_retry_after: Duration,
    /// Requests in flight at once, over all models that share the transport; streamed replies count until they end.
    /// Default: 1,024.
    pub max_concurrency: usize,
    /// Embedding batches of one call in flight at once. Default: 5.
    pub batch_concurrency: usize,
    /// Requests and tokens to spend in a minute. Default: no budget.
    pub rate_budget: Option<RateBudget>,
    /// The longest reply accepted, in bytes. Default: 64 MiB.
    pub max_reply_bytes: usize,
    /// Whether prompts and replies are put into spans. Default: false.
    pub capture_content: bool,
}

/// How Azure OpenAI is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Azure {
    /// `{base}/openai/deployments/{deployment}/…?api-version=…`. The deployment decides which model it is.
    Deployment {
        /// The deployment's name.
        deployment: String,
        /// The version of the interface, such as `2024-10-21`.
        api_version: String,
    },
    /// `{base}/openai/v1/…`, where the model is named as with OpenAI.
    V1 {
        /// Sent as `api-version` when it is set, such as `preview`.
        api_version: Option<String>,
    },
}

/// Requests and tokens to spend in a minute, shared by all models of a transport.
///
/// Who came first goes first. What the server says is left (`x-ratelimit-remaining-…`, `x-ratelimit-reset-…`) lowers it
/// and never raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateBudget {
    /// Requests a minute. Default: as many as the server's headers allow.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute. Default: as many as the server's headers allow.
    pub tokens_per_minute: Option<u32>,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            organization: None,
            project: None,
            azure: None,
            headers: Vec::new(),
            proxy: None,
            ca_file: None,
            allow_plaintext_key: false,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(900),
            max_attempts: 8,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
            max_concurrency: 1024,
            batch_concurrency: 5,
            rate_budget: None,
            max_reply_bytes: 64 << 20,
            capture_content: false,
        }
    }
}

impl OpenAiConfig {
    /// The server at this base URL; everything else as by default.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), ..Self::default() }
    }

    /// Azure's older way: one deployment of a resource.
    pub fn azure_deployment(
        endpoint: impl Into<String>,
        deployment: impl Into<String>,
        api_version: impl Into<String>,
    ) -> Self {
        let azure = Azure::Deployment { deployment: deployment.into(), api_version: api_version.into() };
        Self { azure: Some(azure), ..Self::new(endpoint) }
    }

    /// Azure's newer way: all models of a resource.
    pub fn azure_v1(endpoint: impl Into<String>) -> Self {
        Self { azure: Some(Azure::V1 { api_version: None }), ..Self::new(endpoint) }
    }

    /// Refuses settings with which no request could succeed.
    pub(crate) fn validate(&self) -> Result<()> {
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("total_timeout", self.total_timeout),
            ("idle_timeout", self.idle_timeout),
            ("stream_timeout", self.stream_timeout),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(bad(name, "it must be above 0"));
        }
        let counts = [
            ("max_attempts", self.max_attempts as usize),
            ("max_concurrency", self.max_concurrency),
            ("batch_concurrency", self.batch_concurrency),
            ("max_reply_bytes", self.max_reply_bytes),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(bad(name, "it must be at least 1")),
            None => Ok(()),
        }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Secret::new(key));
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), Secret::new(value)));
        self
    }

    /// The same with a proxy.
    #[must_use]
    pub fn with_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(Secret::new(url));
        self
    }

    /// The same trusting the certificate authorities of a PEM file.
    #[must_use]
    pub fn with_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// The same with another time for one attempt.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The same with another number of attempts.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The same with a budget.
    #[must_use]
    pub fn with_rate_budget(mut self, budget: RateBudget) -> Self {
        self.rate_budget = Some(budget);
        self
    }
}
