//! Opening what the settings name.

use std::sync::Arc;

use arshai_core::{
    Result,
    chat::ChatModel,
    config::Secret,
    embed::Embedder,
    memory::MemoryStore,
    registry::{Address, Registry},
    speech::{Synthesizer, Transcriber},
    vector::VectorStore,
};

use super::Config;

impl Config {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`], and naming the environment variable that holds the address.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn store(&self) -> Result<Arc<dyn VectorStore>> {
        let store = self.open(&self.backends.stores, &self.store_address()?).await;
        store.map_err(|error| self.store.blame(error))
    }

    /// Opens the memory.
    ///
    /// # Errors
    ///
    /// As [`Config::store`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn memory(&self) -> Result<Arc<dyn MemoryStore>> {
        let memory = self.open(&self.backends.memories, &self.memory_address()?).await;
        memory.map_err(|error| self.memory_value().blame(error))
    }

    /// Opens the embedder; `None` for nobody.
    ///
    /// # Errors
    ///
    /// As [`Config::store`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn embedder(&self) -> Result<Option<Arc<dyn Embedder>>> {
        let Some(address) = self.embedder_address() else { return Ok(None) };
        let embedder = self.open(&self.backends.embedders, address).await;
        embedder.map(Some).map_err(|error| self.embedder.blame(error))
    }

    /// Opens the chat model.
    ///
    /// # Errors
    ///
    /// As [`Config::store`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn model(&self) -> Result<Arc<dyn ChatModel>> {
        let model = self.open(&self.backends.models, self.model_address()).await;
        model.map_err(|error| self.model.blame(error))
    }

    /// Opens the transcriber: the one that was named, else Azure AI Speech when the environment holds its key and no
    /// OpenAI-compatible server, else that server.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn transcriber(&self) -> Result<Arc<dyn Transcriber>> {
        let named = self.transcriber.as_ref().map(Secret::expose);
        let address = named.unwrap_or_else(|| crate::backends::transcription_service());
        self.open(&self.backends.transcribers, address).await
    }

    /// Opens the synthesizer, likewise.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn synthesizer(&self) -> Result<Arc<dyn Synthesizer>> {
        let named = self.synthesizer.as_ref().map(Secret::expose);
        let address = named.unwrap_or_else(|| crate::backends::synthesis_service());
        self.open(&self.backends.synthesizers, address).await
    }

    /// Opens store and embedder as the knowledge base of the collection.
    ///
    /// # Errors
    ///
    /// As [`Config::store`] and [`Config::embedder`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    #[cfg(feature = "kb-tool")]
    pub async fn knowledge_base(&self) -> Result<arshai_kb_tool::KnowledgeBase> {
        let base = arshai_kb_tool::KnowledgeBase::new(self.store().await?, self.collection());
        let in_flight = self.settings.concurrency(arshai_kb_tool::KnowledgeBase::IN_FLIGHT);
        let base = base.with_batch(arshai_kb_tool::KnowledgeBase::BATCH, in_flight);
        Ok(match self.embedder().await? {
            Some(embedder) => base.with_embedder(embedder),
            None => base,
        })
    }

    /// Opens everything as the agent over the knowledge base.
    ///
    /// # Errors
    ///
    /// As [`Config::knowledge_base`], [`Config::memory`] and [`Config::model`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    #[cfg(all(feature = "agent", feature = "kb-tool"))]
    pub async fn agent(&self) -> Result<arshai_agent::Agent> {
        let tool = arshai_kb_tool::KnowledgeBaseTool::new(Arc::new(self.knowledge_base().await?));
        let agent = arshai_agent::Agent::builder(self.model().await?).memory(self.memory().await?);
        Ok(agent.retriever(Arc::new(tool)).build())
    }

    async fn open<T: ?Sized>(&self, registry: &Registry<T>, address: &str) -> Result<Arc<T>> {
        registry.open_address(Address::new(address)?.with_settings(self.settings.clone())).await
    }
}
