//! The checked form of the settings: URLs and headers of every request.

use std::fmt;

use arshai_core::{Error, ErrorKind, Result};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::SecretString;

use super::{Azure, OpenAiConfig};

/// Where requests go and what they carry. Nothing in it can fail any more.
pub(crate) struct Endpoint {
    base: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    secrets: Vec<String>,
    host: String,
    port: u16,
    pub(crate) is_loopback: bool,
    pub(crate) is_https: bool,
    /// OpenAI itself or Azure: newer fields of the protocol are known there.
    pub(crate) is_first_party: bool,
    pub(crate) is_azure: bool,
    /// async-openai asks for one; the real one is in the headers.
    no_key: SecretString,
}

impl Endpoint {
    pub(crate) fn new(config: &OpenAiConfig) -> Result<Self> {
        let url = base_url(&config.base_url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_loopback = is_loopback(&url);
        let is_https = url.scheme() == "https";
        let mut secrets = Vec::new();
        let headers = headers(config, &mut secrets)?;
        if !secrets.is_empty() && !is_https && !is_loopback && !config.allow_plaintext_key {
            return Err(bad(
                "base_url",
                "a key would travel in plaintext to another machine: use https, or allow it with allow_plaintext_key",
            )
            .with_context("host", host));
        }
        let trimmed = url.as_str().trim_end_matches('/');
        let (base, query) = match &config.azure {
            None => (trimmed.to_owned(), Vec::new()),
            Some(Azure::Deployment { deployment, api_version }) => {
                let mut whole = url.clone();
                let name = deployment.trim();
                if name.is_empty() || api_version.trim().is_empty() {
                    return Err(bad("azure", "the deployment and its version must not be empty"));
                }
                if let Ok(mut segments) = whole.path_segments_mut() {
                    segments.pop_if_empty().extend(["openai", "deployments", name]);
                }
                (whole.to_string(), vec![("api-version", api_version.trim().to_owned())])
            }
            Some(Azure::V1 { api_version }) => {
                let base = if trimmed.ends_with("/openai/v1") {
                    trimmed.to_owned()
                } else {
                    format!("{trimmed}/openai/v1")
                };
                (base, api_version.iter().map(|version| ("api-version", version.clone())).collect())
            }
        };
        let is_azure = config.azure.is_some();
        let is_first_party = is_azure || is_openai(&host);
        let port = url.port_or_known_default().unwrap_or_default();
        let no_key = SecretString::from(String::new());
        Ok(Self {
            base,
            query,
            headers,
            secrets,
            host,
            port,
            is_loopback,
            is_https,
            is_first_party,
            is_azure,
            no_key,
        })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn no_key(&self) -> &SecretString {
        &self.no_key
    }

    /// `text` without any of the secrets, should a server repeat them.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base).finish_non_exhaustive()
    }
}

pub(crate) fn bad(setting: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message).with_operation("openai.config").with_context("setting", setting)
}

fn base_url(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).map_err(|error| {
        bad("base_url", "it is not a URL: write one such as https://api.openai.com/v1").with_source(error)
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("base_url", "it must begin with https:// or http:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("base_url", "it must hold no credentials: set the key or a header instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("base_url", "it must hold no query: set headers or azure instead"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// OpenAI's own hosts, those of its regions (`eu.api.openai.com`) too.
fn is_openai(host: &str) -> bool {
    host.strip_suffix("api.openai.com").is_some_and(|region| region.is_empty() || region.ends_with('.'))
}

/// Headers of every request. What must not be shown is marked sensitive and added to `secrets`.
fn headers(config: &OpenAiConfig, secrets: &mut Vec<String>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &config.api_key {
        let key = key.expose().trim();
        if !key.is_empty() {
            let (name, text) = match config.azure {
                Some(_) => (HeaderName::from_static("api-key"), key.to_owned()),
                None => (AUTHORIZATION, format!("Bearer {key}")),
            };
            let what =
                "the key holds a character that no header can carry, such as a line break: set it again";
            headers.insert(name, sensitive(&text).ok_or_else(|| bad("api_key", what))?);
            secrets.push(key.to_owned());
        }
    }
    let named = [("openai-organization", &config.organization), ("openai-project", &config.project)];
    for (name, value) in named {
        if let Some(value) = value {
            let what = "it holds a character that no header can carry";
            let value = HeaderValue::from_str(value.trim()).map_err(|_| bad(name, what))?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    for (name, value) in &config.headers {
        let what = "a header's name or value holds a character that no header can carry";
        let parsed = HeaderName::from_bytes(name.trim().as_bytes());
        let parsed = parsed.map_err(|_| bad("headers", what).with_context("header", name.escape_debug()))?;
        let text = value.expose().trim();
        let value = sensitive(text);
        let value = value.ok_or_else(|| bad("headers", what).with_context("header", name.escape_debug()))?;
        if may_be_secret(&parsed) && !text.is_empty() {
            secrets.push(text.to_owned());
        }
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// A header that may authenticate; a session id or a routing hint in plaintext is the caller's own choice.
fn may_be_secret(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["auth", "key", "token", "secret", "cookie", "password", "credential"]
        .iter()
        .any(|part| name.contains(part))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(config: &OpenAiConfig) -> String {
        Endpoint::new(config).unwrap().url("/embeddings")
    }

    #[test]
    fn a_slash_at_the_end_does_not_double() {
        for base in ["http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/", " http://127.0.0.1:8080/v1// "]
        {
            assert_eq!(url(&OpenAiConfig::new(base)), "http://127.0.0.1:8080/v1/embeddings");
        }
    }

    #[test]
    fn azure_has_its_own_paths_and_header() {
        let classic = OpenAiConfig::azure_deployment("https://x.openai.azure.com/", "a/b", "2024-10-21")
            .with_api_key("k");
        let endpoint = Endpoint::new(&classic).unwrap();
        let expected = "https://x.openai.azure.com/openai/deployments/a%2Fb/embeddings";
        assert_eq!(endpoint.url("/embeddings"), expected);
        assert_eq!(endpoint.query(), [("api-version", "2024-10-21")]);
        assert_eq!(endpoint.headers().get("api-key").unwrap(), "k");
        assert!(endpoint.headers().get(AUTHORIZATION).is_none());
        for base in ["https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1/"] {
            assert_eq!(url(&OpenAiConfig::azure_v1(base)), "https://x.openai.azure.com/openai/v1/embeddings");
        }
    }

    #[test]
    fn openai_is_known_in_every_region_and_by_no_similar_name() {
        for (host, expected) in [
            ("api.openai.com", true),
            ("eu.api.openai.com", true),
            ("US.API.OpenAI.com", true),
            ("api.openai.com.example", false),
            ("notapi.openai.com", false),
            ("openai.com", false),
        ] {
            let endpoint = Endpoint::new(&OpenAiConfig::new(format!("https://{host}/v1"))).unwrap();
            assert_eq!(endpoint.is_first_party, expected, "{host}");
        }
    }

    #[test]
    fn a_key_in_plaintext_to_another_machine_is_refused_unless_allowed() {
        let mut config = OpenAiConfig::new("http://models.example/v1").with_api_key("sk-hidden");
        let error = Endpoint::new(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("allow_plaintext_key") && !error.to_string().contains("hidden"));
        config.allow_plaintext_key = true;
        assert!(Endpoint::new(&config).is_ok());
        for base in
            ["http://127.0.0.1/v1", "http://[::1]/v1", "http://localhost:1/v1", "https://x.example/v1"]
        {
            assert!(Endpoint::new(&OpenAiConfig::new(base).with_api_key("k")).is_ok(), "{base}");
        }
        for name in ["X-Api-Key", "X-Auth", "Proxy-Authorization"] {
            let header = OpenAiConfig::new("http://models.example/v1").with_header(name, "k");
            assert!(Endpoint::new(&header).is_err(), "{name}");
        }
        // Looks like a loopback address and is not one.
        assert!(Endpoint::new(&OpenAiConfig::new("http://127.0.0.1.example/v1").with_api_key("k")).is_err());
    }

    #[test]
    fn a_key_with_a_line_break_is_an_error_and_not_a_panic() {
        let trailing = OpenAiConfig::default().with_api_key("sk-good\r\n");
        assert_eq!(Endpoint::new(&trailing).unwrap().headers().get(AUTHORIZATION).unwrap(), "Bearer sk-good");
        let error = Endpoint::new(&OpenAiConfig::default().with_api_key("sk-\nbad")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("bad\""), "{error:?}");
    }

    #[test]
    fn a_url_that_would_leak_or_go_astray_is_refused() {
        for base in
            ["", "api.openai.com/v1", "ftp://x/v1", "https://u:p@x.example/v1", "https://x.example/v1?k=v"]
        {
            let error = Endpoint::new(&OpenAiConfig::new(base)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{base}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = OpenAiConfig::default().with_api_key("sk-hidden").with_header("x-token", "hidden-too");
        let endpoint = Endpoint::new(&config).unwrap();
        let shown = format!("{config:?} {endpoint:?} {:?}", endpoint.headers());
        assert!(!shown.contains("hidden"), "{shown}");
        assert_eq!(endpoint.redacted("bad key sk-hidden, hidden-too"), "bad key ***, ***");
    }
}
