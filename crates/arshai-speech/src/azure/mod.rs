//! Azure AI Speech over REST
//! (<https://learn.microsoft.com/azure/ai-services/speech-service/rest-text-to-speech>,
//! <https://learn.microsoft.com/azure/ai-services/speech-service/fast-transcription-create>).

mod config;
mod hear;
mod hearing;
mod short;
mod speak;
mod ssml;

pub use config::{AzureHearing, AzureSpeechConfig};
pub use hear::AzureSpeechTranscriber;
pub use speak::AzureSpeechSynthesizer;

/// How the provider is called in spans.
const PROVIDER: &str = "azure.ai.speech";
