//! Models and tools.

use async_trait::async_trait;
use serde_json::Value;

use super::{
    super::{ChatModel, Embedder, Synthesizer, Tool, Transcriber},
    Offload, iterated,
};
use crate::{
    Result, chat,
    chat::{ChatCapabilities, ChatReply, ChatRequest, ChatStream},
    embed,
    embed::{EmbeddingBatch, Input},
    speech,
    speech::{Audio, SpeakOptions, Speech, SpeechStream, TranscribeOptions, Transcript, TranscriptStream},
    tool,
    tool::{ToolDefinition, ToolOutput},
};

#[async_trait]
impl<T: Embedder + ?Sized + 'static> embed::Embedder for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn dimension(&self) -> Option<usize> {
        self.inner.dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        self.read(move |inner| inner.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), input))
            .await
    }

    async fn health(&self) -> Result<()> {
        self.read(Embedder::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(Embedder::close).await
    }
}

#[async_trait]
impl<T: Tool + ?Sized + 'static> tool::Tool for Offload<T> {
    fn definition(&self) -> &ToolDefinition {
        self.inner.definition()
    }

    async fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        let arguments = arguments.clone();
        self.write(move |inner| inner.call(&arguments)).await
    }
}

#[async_trait]
impl<T: ChatModel + ?Sized + 'static> chat::ChatModel for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.inner.capabilities()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        self.read(move |inner| inner.chat(request)).await
    }

    /// The events are taken from the iterator on a thread for blocking work; when this stream is dropped, the thread
    /// ends at the next event.
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        Ok(iterated(self.read(move |inner| inner.stream(request)).await?))
    }

    async fn health(&self) -> Result<()> {
        self.read(ChatModel::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(ChatModel::close).await
    }
}

#[async_trait]
impl<T: Transcriber + ?Sized + 'static> speech::Transcriber for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    async fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript> {
        let options = options.clone();
        self.read(move |inner| inner.transcribe(audio, &options)).await
    }

    /// As [`ChatModel::stream`](chat::ChatModel::stream) does.
    async fn stream(&self, audio: Audio, options: &TranscribeOptions) -> Result<TranscriptStream> {
        let options = options.clone();
        Ok(iterated(self.read(move |inner| inner.stream(audio, &options)).await?))
    }

    async fn health(&self) -> Result<()> {
        self.read(Transcriber::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(Transcriber::close).await
    }
}

/// Its streams are of the format that was asked for: an iterator tells no other.
#[async_trait]
impl<T: Synthesizer + ?Sized + 'static> speech::Synthesizer for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    async fn stream(&self, text: &str, options: &SpeakOptions) -> Result<SpeechStream> {
        let (text, options, format) = (text.to_owned(), options.clone(), options.format);
        let audio = self.read(move |inner| inner.stream(&text, &options)).await?;
        Ok(SpeechStream::new(format, iterated(audio)))
    }

    async fn synthesize(&self, text: &str, options: &SpeakOptions) -> Result<Speech> {
        let (text, options) = (text.to_owned(), options.clone());
        self.read(move |inner| inner.synthesize(&text, &options)).await
    }

    async fn health(&self) -> Result<()> {
        self.read(Synthesizer::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(Synthesizer::close).await
    }
}
