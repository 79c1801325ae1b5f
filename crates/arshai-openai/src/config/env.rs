//! Settings from the environment.

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Settings, Variable},
};

use super::{Azure, OpenAiConfig};

const PLAINTEXT: Variable =
    Variable::new("OPENAI_ALLOW_PLAINTEXT_KEY", "`true`: send the key over `http:` to another machine")
        .of("false", "true, false");

const DEPLOYMENT: Variable =
    Variable::new("AZURE_OPENAI_DEPLOYMENT", "the deployment; without one, Azure's v1 interface is used");
const EMBEDDING_DEPLOYMENT: Variable =
    Variable::new("AZURE_OPENAI_EMBEDDING_DEPLOYMENT", "the Azure deployment that embeds")
        .of("AZURE_OPENAI_DEPLOYMENT", "");

impl OpenAiConfig {
    /// What [`OpenAiConfig::from_env`] and [`OpenAiConfig::from_env_for_embeddings`] read beside what [`Settings`] does.
    pub const VARIABLES: [Variable; 12] = [
        Variable::new("OPENAI_API_KEY", "the key of the OpenAI-compatible server").secret(),
        Variable::new("OPENAI_BASE_URL", "the URL before `/chat/completions`")
            .of("https://api.openai.com/v1", "")
            .url(),
        Variable::new("OPENAI_ORG_ID", "the organisation that is billed").otherwise("the key's own"),
        Variable::new("OPENAI_PROJECT_ID", "the project that is billed").otherwise("the key's own"),
        Variable::new("OPENAI_CA_FILE", "certificate authorities to trust, PEM").otherwise("the system's"),
        Variable::new("OPENAI_PROXY", "the proxy's URL").otherwise("`HTTPS_PROXY` and the like").url(),
        PLAINTEXT,
        Variable::new("AZURE_OPENAI_ENDPOINT", "the Azure resource; used when `OPENAI_BASE_URL` is not set")
            .url(),
        Variable::new("AZURE_OPENAI_API_KEY", "its key").otherwise("`OPENAI_API_KEY`").secret(),
        DEPLOYMENT,
        EMBEDDING_DEPLOYMENT,
        Variable::new("OPENAI_API_VERSION", "Azure's `api-version`, needed with a deployment"),
    ];

    /// The settings of this process's environment; what is not set keeps its default.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `OPENAI_API_KEY` | the key | none |
    /// | `OPENAI_BASE_URL` | the URL before `/chat/completions` | `https://api.openai.com/v1` |
    /// | `OPENAI_ORG_ID` | the organisation that is billed | the key's own |
    /// | `OPENAI_PROJECT_ID` | the project that is billed | the key's own |
    /// | `OPENAI_REQUEST_TIMEOUT` | time for one attempt, in seconds | 60 |
    /// | `OPENAI_BATCH_CONCURRENCY` | embedding batches in flight at once | 5 |
    /// | `OPENAI_CA_FILE` | certificate authorities to trust, PEM | the system's |
    /// | `OPENAI_PROXY` | the proxy's URL | `HTTPS_PROXY` and the like |
    /// | `OPENAI_ALLOW_PLAINTEXT_KEY` | `true`: send the key over `http:` to another machine | false |
    /// | `AZURE_OPENAI_ENDPOINT` | the Azure resource; used when `OPENAI_BASE_URL` is not set | none |
    /// | `AZURE_OPENAI_API_KEY` | its key | `OPENAI_API_KEY` |
    /// | `AZURE_OPENAI_DEPLOYMENT` | the deployment; without one, the v1 interface is used | none |
    /// | `OPENAI_API_VERSION` | Azure's `api-version` | needed with a deployment |
    ///
    /// `ENABLE_ASYNC_OPERATIONS=false` puts one embedding batch in flight at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first variable whose value is not understood, and what is.
    pub fn from_env() -> Result<Self> {
        Variable::check(&Self::VARIABLES)?;
        Variable::check(&Settings::VARIABLES)?;
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same for an embedder: a deployment of Azure is one model, and the one that chats cannot embed.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `AZURE_OPENAI_EMBEDDING_DEPLOYMENT` | the Azure deployment that embeds | `AZURE_OPENAI_DEPLOYMENT` |
    ///
    /// Everything else is as [`OpenAiConfig::from_env`] says.
    ///
    /// # Errors
    ///
    /// As [`OpenAiConfig::from_env`].
    pub fn from_env_for_embeddings() -> Result<Self> {
        Variable::check(&Self::VARIABLES)?;
        Variable::check(&Settings::VARIABLES)?;
        Self::from_variables_for_embeddings(|name| std::env::var(name).ok())
    }

    /// The settings of any source of variables.
    ///
    /// # Errors
    ///
    /// As [`OpenAiConfig::from_env`].
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self> {
        let read = |name| {
            variable(name).map(|value: String| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let settings = Settings::from_variables(&variable)?;
        let mut config = Self {
            api_key: read("OPENAI_API_KEY").map(Secret::new),
            organization: read("OPENAI_ORG_ID"),
            project: read("OPENAI_PROJECT_ID"),
            ca_file: read("OPENAI_CA_FILE").map(Into::into),
            proxy: read("OPENAI_PROXY").map(Secret::new),
            ..Self::default()
        }
        .with_settings(&settings);
        if let Some(value) = read(PLAINTEXT.name) {
            config.allow_plaintext_key = PLAINTEXT.switch(&value)?;
        }
        match (read("OPENAI_BASE_URL"), read("AZURE_OPENAI_ENDPOINT")) {
            (Some(base_url), _) => config.base_url = base_url,
            (None, Some(endpoint)) => {
                config.base_url = endpoint;
                config.api_key = read("AZURE_OPENAI_API_KEY").map(Secret::new).or(config.api_key);
                config.azure = Some(azure(read(DEPLOYMENT.name), read("OPENAI_API_VERSION"))?);
            }
            (None, None) => {}
        }
        Ok(config)
    }

    /// The settings of any source of variables, for an embedder.
    ///
    /// # Errors
    ///
    /// As [`OpenAiConfig::from_env`].
    pub fn from_variables_for_embeddings(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self> {
        let own = variable(EMBEDDING_DEPLOYMENT.name).filter(|value| !value.trim().is_empty());
        Self::from_variables(|name| match &own {
            Some(own) if name == DEPLOYMENT.name => Some(own.clone()),
            _ => variable(name),
        })
    }

    /// The same with the time for one attempt and the batches in flight that the shared settings say.
    #[must_use]
    pub fn with_settings(mut self, settings: &Settings) -> Self {
        self.request_timeout = settings.openai_request_timeout;
        self.batch_concurrency = settings.concurrency(settings.openai_batch_concurrency);
        // A longer attempt than the operation may last would never come to its end.
        self.total_timeout = self.total_timeout.max(self.request_timeout);
        self
    }
}

fn azure(deployment: Option<String>, api_version: Option<String>) -> Result<Azure> {
    match (deployment, api_version) {
        (None, api_version) => Ok(Azure::V1 { api_version }),
        (Some(deployment), Some(api_version)) => Ok(Azure::Deployment { deployment, api_version }),
        (Some(_), None) => Err(Error::new(
            ErrorKind::Config,
            "a deployment of Azure needs a version: set OPENAI_API_VERSION",
        )
        .with_context("variable", "OPENAI_API_VERSION")
        .with_context("allowed", "a version such as 2024-10-21")),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    fn read(variables: &[(&'static str, &str)]) -> Result<OpenAiConfig> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        OpenAiConfig::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_is_the_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.base_url, "https://api.openai.com/v1");
        assert_eq!((config.request_timeout, config.batch_concurrency), (Duration::from_secs(60), 5));
        assert!(config.api_key.is_none() && config.azure.is_none());
    }

    #[test]
    fn every_variable_is_read() {
        let config = read(&[
            ("OPENAI_API_KEY", " sk-1\n"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
            ("OPENAI_ORG_ID", "org"),
            ("OPENAI_PROJECT_ID", "project"),
            ("OPENAI_REQUEST_TIMEOUT", "400"),
            ("OPENAI_BATCH_CONCURRENCY", "7"),
            ("OPENAI_ALLOW_PLAINTEXT_KEY", "yes"),
            ("OPENAI_CA_FILE", "ca.pem"),
            ("OPENAI_PROXY", "http://127.0.0.1:2"),
        ])
        .unwrap();
        assert_eq!(config.api_key.as_ref().map(Secret::expose), Some("sk-1"));
        assert_eq!(config.base_url, "http://127.0.0.1:1/v1");
        assert_eq!(
            (config.organization.as_deref(), config.project.as_deref()),
            (Some("org"), Some("project"))
        );
        assert_eq!((config.request_timeout.as_secs(), config.total_timeout.as_secs()), (400, 400));
        assert_eq!(config.batch_concurrency, 7);
        assert!(config.allow_plaintext_key && config.ca_file.is_some() && config.proxy.is_some());
        let one = read(&[("ENABLE_ASYNC_OPERATIONS", "false")]).unwrap();
        assert_eq!(one.batch_concurrency, 1);
    }

    #[test]
    fn azure_is_used_when_no_other_server_is_named() {
        let azure = [("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com"), ("AZURE_OPENAI_API_KEY", "k")];
        let v1 = read(&azure).unwrap();
        assert_eq!(v1.azure, Some(Azure::V1 { api_version: None }));
        assert_eq!(v1.api_key.as_ref().map(Secret::expose), Some("k"));
        let error = read(&[azure.as_slice(), &[("AZURE_OPENAI_DEPLOYMENT", "d")]].concat()).unwrap_err();
        assert!(error.to_string().contains("OPENAI_API_VERSION"), "{error}");
        let other =
            read(&[azure.as_slice(), &[("OPENAI_BASE_URL", "http://127.0.0.1/v1")]].concat()).unwrap();
        assert_eq!(other.azure, None);
    }

    #[test]
    fn the_deployment_that_embeds_is_that_of_chats_unless_it_is_named() {
        let azure = [
            ("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com"),
            ("AZURE_OPENAI_DEPLOYMENT", "chats"),
            ("OPENAI_API_VERSION", "2024-10-21"),
        ];
        for (own, expected) in [(None, "chats"), (Some(" "), "chats"), (Some(" embeds\n"), "embeds")] {
            let variables = |name: &'static str| match name {
                "AZURE_OPENAI_EMBEDDING_DEPLOYMENT" => own.map(str::to_owned),
                _ => azure.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
            };
            let deployment = |config: OpenAiConfig| match config.azure {
                Some(Azure::Deployment { deployment, .. }) => deployment,
                other => panic!("{other:?}"),
            };
            let embeds = OpenAiConfig::from_variables_for_embeddings(variables).unwrap();
            assert_eq!(deployment(embeds), expected, "{own:?}");
            assert_eq!(deployment(OpenAiConfig::from_variables(variables).unwrap()), "chats");
        }
        // Alone it is a deployment as any other, and needs a version.
        let alone = |name| match name {
            "AZURE_OPENAI_ENDPOINT" => Some("https://x.openai.azure.com".to_owned()),
            "AZURE_OPENAI_EMBEDDING_DEPLOYMENT" => Some("embeds".to_owned()),
            _ => None,
        };
        let error = OpenAiConfig::from_variables_for_embeddings(alone).unwrap_err();
        assert!(error.to_string().contains("OPENAI_API_VERSION"), "{error}");
        assert!(OpenAiConfig::from_variables(alone).is_ok(), "who chats has no need of it");
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (name, value) in [("OPENAI_REQUEST_TIMEOUT", "soon"), ("OPENAI_ALLOW_PLAINTEXT_KEY", "perhaps")] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
