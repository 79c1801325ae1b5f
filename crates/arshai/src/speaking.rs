//! Speech by name.

use std::sync::Arc;

use arshai_core::{
    Error, Result,
    config::Variable,
    registry::{Address, Provider},
    speech::{Synthesizer, Transcriber},
};
use arshai_openai::OpenAiConfig;
use arshai_speech::{AzureSpeechConfig, SpeechConfig, SpeechService};

/// `openai` and `openai:MODEL`, with [`SpeechConfig::from_env`].
pub(crate) fn openai_transcriber() -> Provider<dyn Transcriber> {
    Provider::new(|address| async move {
        let config = openai(&address)?;
        let config = match address.argument() {
            Some(model) => config.with_transcription_model(model),
            None => config,
        };
        Ok(Arc::new(config.transcriber()?) as Arc<dyn Transcriber>)
    })
    .with_names(["openai"])
}

/// Likewise.
pub(crate) fn openai_synthesizer() -> Provider<dyn Synthesizer> {
    Provider::new(|address| async move {
        let config = openai(&address)?;
        let config = match address.argument() {
            Some(model) => config.with_synthesis_model(model),
            None => config,
        };
        Ok(Arc::new(config.synthesizer()?) as Arc<dyn Synthesizer>)
    })
    .with_names(["openai"])
}

/// `azure`, with [`AzureSpeechConfig::from_env`].
pub(crate) fn azure_transcriber() -> Provider<dyn Transcriber> {
    Provider::new(
        |address| async move { Ok(Arc::new(azure(&address)?.transcriber()?) as Arc<dyn Transcriber>) },
    )
    .with_names(["azure"])
}

/// Likewise.
pub(crate) fn azure_synthesizer() -> Provider<dyn Synthesizer> {
    Provider::new(
        |address| async move { Ok(Arc::new(azure(&address)?.synthesizer()?) as Arc<dyn Synthesizer>) },
    )
    .with_names(["azure"])
}

/// The provider that opens this service.
pub(crate) fn name_of(service: SpeechService) -> &'static str {
    match service {
        SpeechService::Azure => "azure",
        _ => "openai",
    }
}

/// What is not understood in the environment; Azure's is looked at when its key is there.
pub(crate) fn problems() -> [Option<Error>; 2] {
    // A variable that is empty is not set.
    let uses_azure =
        std::env::var_os("AZURE_SPEECH_KEY").is_some_and(|key| !key.to_string_lossy().trim().is_empty());
    let general = OpenAiConfig::from_env().is_err();
    [
        // What is wrong with the server in general is told already.
        SpeechConfig::from_env().err().filter(|_| !general),
        uses_azure.then(|| AzureSpeechConfig::from_env().err()).flatten().filter(|_| !general),
    ]
}

fn openai(address: &Address) -> Result<SpeechConfig> {
    Variable::check(&SpeechConfig::VARIABLES)?;
    Variable::check(&OpenAiConfig::VARIABLES)?;
    Ok(SpeechConfig::from_env()?.with_settings(&address.settings()?))
}

fn azure(address: &Address) -> Result<AzureSpeechConfig> {
    address.refuse_argument()?;
    Variable::check(&AzureSpeechConfig::VARIABLES)?;
    Variable::check(&OpenAiConfig::VARIABLES)?;
    Ok(AzureSpeechConfig::from_env()?.with_settings(&address.settings()?))
}
