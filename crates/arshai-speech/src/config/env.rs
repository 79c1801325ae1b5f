//! Settings from the environment.

use arshai_core::{Error, ErrorKind, Result, config::Variable};
use arshai_openai::OpenAiConfig;

use super::{SpeechConfig, patient};
use crate::TranscriberConfig;

const SERVERS: &str = "openai, faster-whisper-server, whisper.cpp, whisper-asr-webservice";

impl SpeechConfig {
    /// What [`SpeechConfig::from_env`] reads beside the variables of [`OpenAiConfig::from_env`].
    pub const VARIABLES: [Variable; 8] = [
        Variable::new("OPENAI_TRANSCRIPTION_MODEL", "the model that hears").of("gpt-transcribe", ""),
        Variable::new("OPENAI_TRANSCRIPTION_BASE_URL", "the server that hears")
            .of("OPENAI_BASE_URL", "")
            .url(),
        Variable::new("OPENAI_TRANSCRIPTION_SERVER", "the ways of the server that hears")
            .of("openai", SERVERS),
        Variable::new("OPENAI_SPEECH_MODEL", "the model that speaks").of("gpt-4o-mini-tts", ""),
        Variable::new("OPENAI_SPEECH_BASE_URL", "the server that speaks").of("OPENAI_BASE_URL", "").url(),
        Variable::new("OPENAI_SPEECH_VOICE", "the voice that speaks").of("alloy", ""),
        Variable::new("AZURE_OPENAI_TRANSCRIPTION_DEPLOYMENT", "the Azure deployment that hears")
            .of("AZURE_OPENAI_DEPLOYMENT", ""),
        Variable::new("AZURE_OPENAI_SPEECH_DEPLOYMENT", "the Azure deployment that speaks")
            .of("AZURE_OPENAI_DEPLOYMENT", ""),
    ];

    /// The settings of this process's environment; what is not set keeps its default.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `OPENAI_TRANSCRIPTION_MODEL` | the model that hears | `gpt-transcribe` |
    /// | `OPENAI_TRANSCRIPTION_BASE_URL` | the server that hears | as `OPENAI_BASE_URL` or Azure's variables say |
    /// | `OPENAI_TRANSCRIPTION_SERVER` | its ways: `openai`, `faster-whisper-server`, `whisper.cpp`, `whisper-asr-webservice` | `openai` |
    /// | `OPENAI_SPEECH_MODEL` | the model that speaks | `gpt-4o-mini-tts` |
    /// | `OPENAI_SPEECH_BASE_URL` | the server that speaks | likewise |
    /// | `OPENAI_SPEECH_VOICE` | the voice that speaks | `alloy` |
    /// | `AZURE_OPENAI_TRANSCRIPTION_DEPLOYMENT` | the Azure deployment that hears | `AZURE_OPENAI_DEPLOYMENT` |
    /// | `AZURE_OPENAI_SPEECH_DEPLOYMENT` | the Azure deployment that speaks | `AZURE_OPENAI_DEPLOYMENT` |
    ///
    /// `faster-whisper-server` is the package of that name on PyPI. The project that was once called so is now speaches,
    /// whose ways are those of `openai`.
    ///
    /// Keys, Azure's resource (`AZURE_OPENAI_ENDPOINT`, …), proxies and the like are those of [`OpenAiConfig::from_env`].
    /// The times are longer: 300 s for one attempt and for silence in a reply, and 1800 s for an operation, when no longer
    /// ones are set. A server
    /// that one of these names instead gets the key of `OPENAI_API_KEY` too. For Azure AI Speech see
    /// [`AzureSpeechConfig`](crate::AzureSpeechConfig).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first variable whose value is not understood.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The settings of any source of variables.
    ///
    /// # Errors
    ///
    /// As [`SpeechConfig::from_env`].
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self> {
        let read = |name| {
            variable(name).map(|value: String| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        // A base URL of its own takes the place of the general one, and of Azure; a deployment that of the general one,
        // which is most often the one that chats.
        let server = |own: Option<String>, deployment: Option<String>| -> Result<OpenAiConfig> {
            let config = OpenAiConfig::from_variables(|name| match (name, &own, &deployment) {
                ("OPENAI_BASE_URL", Some(url), _) => Some(url.clone()),
                ("AZURE_OPENAI_DEPLOYMENT", _, Some(deployment)) => Some(deployment.clone()),
                _ => variable(name),
            });
            Ok(patient(config.map_err(|error: Error| error.with_operation("speech.config"))?))
        };
        let mut config = Self {
            transcription: server(
                read("OPENAI_TRANSCRIPTION_BASE_URL"),
                read("AZURE_OPENAI_TRANSCRIPTION_DEPLOYMENT"),
            )?,
            synthesis: server(read("OPENAI_SPEECH_BASE_URL"), read("AZURE_OPENAI_SPEECH_DEPLOYMENT"))?,
            ..Self::default()
        };
        if let Some(name) = read("OPENAI_TRANSCRIPTION_SERVER") {
            config.transcriber = ways(&name)?;
        }
        if let Some(model) = read("OPENAI_TRANSCRIPTION_MODEL") {
            config.transcription_model = model;
        }
        if let Some(model) = read("OPENAI_SPEECH_MODEL") {
            config.synthesis_model = model;
        }
        if let Some(voice) = read("OPENAI_SPEECH_VOICE") {
            config.synthesizer.voice = voice;
        }
        Ok(config)
    }
}

fn ways(server: &str) -> Result<TranscriberConfig> {
    match server {
        "openai" => Ok(TranscriberConfig::default()),
        "faster-whisper-server" => Ok(TranscriberConfig::faster_whisper_server()),
        "whisper.cpp" => Ok(TranscriberConfig::whisper_cpp()),
        "whisper-asr-webservice" => Ok(TranscriberConfig::whisper_asr()),
        _ => Err(Error::new(ErrorKind::Config, "an environment variable has a value that is not understood")
            .with_operation("speech.config")
            .with_context("variable", "OPENAI_TRANSCRIPTION_SERVER")
            .with_context("value", server.escape_debug())
            .with_context("allowed", SERVERS)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arshai_openai::Azure;

    use super::*;

    fn read(variables: &[(&'static str, &str)]) -> Result<SpeechConfig> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        SpeechConfig::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn defaults_are_those_told() {
        let config = read(&[]).unwrap();
        let told = SpeechConfig::VARIABLES.map(|variable| variable.default);
        assert_eq!(
            [told[0], told[3], told[5]],
            [config.transcription_model.as_str(), &config.synthesis_model, &config.synthesizer.voice]
        );
        assert_eq!(
            (config.transcription.request_timeout.as_secs(), config.synthesis.total_timeout.as_secs()),
            (300, 1800)
        );
        assert_eq!(config.transcription.idle_timeout.as_secs(), 300);
    }

    #[test]
    fn azure_hears_speaks_and_chats_by_three_deployments() {
        let azure = [
            ("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com"),
            ("AZURE_OPENAI_API_KEY", "k"),
            ("AZURE_OPENAI_DEPLOYMENT", "chats"),
            ("OPENAI_API_VERSION", "2024-10-21"),
        ];
        let deployments = |own: &[(&'static str, &str)]| {
            let config = read(&[azure.as_slice(), own].concat()).unwrap();
            [config.transcription, config.synthesis].map(|server| match server.azure {
                Some(Azure::Deployment { deployment, .. }) => deployment,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(deployments(&[]), ["chats", "chats"]);
        let (hears, speaks) = (
            ("AZURE_OPENAI_TRANSCRIPTION_DEPLOYMENT", "hears"),
            ("AZURE_OPENAI_SPEECH_DEPLOYMENT", "speaks"),
        );
        assert_eq!(deployments(&[hears, speaks]), ["hears", "speaks"]);
        assert_eq!(deployments(&[speaks]), ["chats", "speaks"]);
    }

    #[test]
    fn hearing_and_speaking_may_be_done_by_two_servers() {
        let config = read(&[
            ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
            ("OPENAI_SPEECH_BASE_URL", "http://127.0.0.1:2/v1"),
            ("OPENAI_TRANSCRIPTION_MODEL", "small"),
            ("OPENAI_SPEECH_MODEL", "piper"),
            ("OPENAI_SPEECH_VOICE", "joe"),
            ("OPENAI_REQUEST_TIMEOUT", "900"),
        ])
        .unwrap();
        assert_eq!(config.transcription.base_url, "http://127.0.0.1:1/v1");
        assert_eq!(config.synthesis.base_url, "http://127.0.0.1:2/v1");
        assert_eq!(
            (config.transcription_model.as_str(), config.synthesis_model.as_str()),
            ("small", "piper")
        );
        assert_eq!(
            (config.synthesizer.voice.as_str(), config.synthesis.request_timeout.as_secs()),
            ("joe", 900)
        );
    }

    #[test]
    fn a_server_with_ways_of_its_own_is_named() {
        let config = read(&[("OPENAI_TRANSCRIPTION_SERVER", "faster-whisper-server")]).unwrap();
        assert_eq!(config.transcriber, TranscriberConfig::faster_whisper_server());
        let error = read(&[("OPENAI_TRANSCRIPTION_SERVER", "whisper")]).unwrap_err().to_string();
        assert!(error.contains("OPENAI_TRANSCRIPTION_SERVER") && error.contains("whisper.cpp"), "{error}");
        for server in SERVERS.split(", ") {
            read(&[("OPENAI_TRANSCRIPTION_SERVER", server)]).unwrap();
        }
    }

    #[test]
    fn azure_is_used_unless_another_server_is_named() {
        let azure = [("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com"), ("AZURE_OPENAI_API_KEY", "k")];
        let config =
            read(&[azure.as_slice(), &[("OPENAI_SPEECH_BASE_URL", "http://127.0.0.1:2/v1")]].concat())
                .unwrap();
        assert!(config.transcription.azure.is_some() && config.synthesis.azure.is_none());
    }
}
