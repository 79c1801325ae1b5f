//! The knowledge base: a collection of a store, with what fills and searches it.

use std::sync::{Arc, Mutex, PoisonError};

use arshai_core::{
    Error, ErrorKind, Result,
    embed::{Embedder, Input},
    vector::{Capabilities, Collection, CollectionSpec, VectorStore},
};

use crate::ChunkSettings;

/// Documents, findable. Cheap to share behind an `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct KnowledgeBase {
    pub(crate) store: Arc<dyn VectorStore>,
    pub(crate) collection: String,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) chunking: ChunkSettings,
    pub(crate) batch: usize,
    pub(crate) in_flight: usize,
    view: Mutex<Option<View>>,
}

/// What is known about the collection.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) collection: Collection,
    pub(crate) capabilities: Capabilities,
}

impl KnowledgeBase {
    /// How many chunks are written at once by default.
    pub const BATCH: usize = 256;

    /// How many batches are written at a time by default.
    pub const IN_FLIGHT: usize = 4;

    /// The knowledge base in `collection` of `store`, without an embedder. Nothing is opened yet.
    pub fn new(store: Arc<dyn VectorStore>, collection: impl Into<String>) -> Self {
        Self {
            store,
            collection: collection.into(),
            embedder: None,
            chunking: ChunkSettings::default(),
            batch: Self::BATCH,
            in_flight: Self::IN_FLIGHT,
            view: Mutex::new(None),
        }
    }

    /// The same, embedding what goes in and what is asked. Default: none, so that only words are searched.
    #[must_use]
    pub fn with_embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// The same with chunks of another size. Default: [`ChunkSettings::default`].
    #[must_use]
    pub fn with_chunking(mut self, chunking: ChunkSettings) -> Self {
        self.chunking = chunking;
        self
    }

    /// The same writing `size` chunks at once, `in_flight` such batches at a time; at least 1. Default:
    /// [`KnowledgeBase::BATCH`] and [`KnowledgeBase::IN_FLIGHT`].
    #[must_use]
    pub fn with_batch(mut self, size: usize, in_flight: usize) -> Self {
        self.batch = size.max(1);
        self.in_flight = in_flight.max(1);
        self
    }

    /// The store it lives in.
    pub fn store(&self) -> &Arc<dyn VectorStore> {
        &self.store
    }

    /// The collection it lives in.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Opens the collection for writing, creating it when it does not exist. Ingestion does this by itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when the collection holds vectors of another embedder or dimension;
    /// [`ErrorKind::Unsupported`] when nothing that went in could be found again: no embedder and no text search.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the collection created or not.
    pub async fn open(&self) -> Result<Collection> {
        let store = self.store.capabilities(None).await?;
        let mut spec = CollectionSpec::new(&self.collection);
        if !store.text {
            spec = spec.without_text_search();
        }
        if let Some(embedder) = &self.embedder {
            if !store.dense {
                return Err(Error::unsupported("the store cannot hold dense vectors; choose no embedder")
                    .with_operation("knowledge_base.open"));
            }
            spec = spec.with_dense(dimension(embedder.as_ref()).await?).with_embedder(embedder.id());
        }
        let collection = self.store.open(&spec).await?;
        let capabilities = self.store.capabilities(Some(&self.collection)).await?;
        if self.embedder.is_none() && !capabilities.text {
            return Err(Error::unsupported(
                "without an embedder and without text search nothing could be found again; choose an embedder",
            )
            .with_operation("knowledge_base.open")
            .with_context("collection", &self.collection));
        }
        if self.embedder.is_none() && collection.spec.dimension.is_some() && !capabilities.optional_dense {
            return Err(Error::unsupported(
                "every record of this collection needs a vector; choose its embedder",
            )
            .with_operation("knowledge_base.open")
            .with_context("collection", &self.collection)
            .with_context("embedder", collection.spec.embedder.as_deref().unwrap_or("unknown")));
        }
        self.remember(Some(View { collection: collection.clone(), capabilities }));
        Ok(collection)
    }

    /// What is known about the collection, read from the store the first time.
    pub(crate) async fn view(&self) -> Result<View> {
        let known = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(view) = known {
            return Ok(view);
        }
        let Some(collection) = self.store.describe(&self.collection).await? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "the collection does not exist yet; ingest documents first",
            )
            .with_operation("knowledge_base.search")
            .with_context("collection", self.collection.escape_debug()));
        };
        let capabilities = self.store.capabilities(Some(&self.collection)).await?;
        let view = View { collection, capabilities };
        self.check_embedder(&view).await?;
        // Another process may add vectors later, so only a view that cannot grow is kept.
        if self.embedder.is_none() || view.collection.spec.dimension.is_some() {
            self.remember(Some(view.clone()));
        }
        Ok(view)
    }

    async fn check_embedder(&self, view: &View) -> Result<()> {
        let (Some(embedder), Some(_)) = (&self.embedder, view.collection.spec.dimension) else {
            return Ok(());
        };
        let wanted = CollectionSpec::new(&self.collection)
            .with_metric(view.collection.spec.metric)
            .with_id(view.collection.spec.id)
            .with_dense(dimension(embedder.as_ref()).await?)
            .with_embedder(embedder.id());
        Collection::adopt(view.collection.spec.clone(), &wanted, false).map(|_| ())
    }

    pub(crate) fn remember(&self, view: Option<View>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

/// The length of an embedder's vectors; asked of the model itself when it does not tell.
async fn dimension(embedder: &dyn Embedder) -> Result<usize> {
    if let Some(dimension) = embedder.dimension() {
        return Ok(dimension);
    }
    let probe = embedder.embed(&["dimension"], Input::Document).await?;
    match probe.dimension() {
        0 => Err(probe.into_values().err().unwrap_or_else(|| {
            Error::new(ErrorKind::Protocol, "the embedder returned no vector")
                .with_context("embedder", embedder.id())
        })),
        dimension => Ok(dimension),
    }
}
