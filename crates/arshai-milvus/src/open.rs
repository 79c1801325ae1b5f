//! Opening collections: made when they do not exist, finished when somebody made them by half, adopted otherwise.

use std::{sync::PoisonError, time::Duration};

use arshai_core::{
    Error, ErrorKind, Result,
    vector::{Collection, CollectionSpec},
};

use crate::{
    connection::Safety,
    engine::Engine,
    failure::{Cause, Failure},
    inner::{Inner, no_collection, of},
    proto::{
        common::{KeyValuePair, LoadState, Status},
        milvus::{AlterCollectionRequest, CreateIndexRequest, GetLoadStateRequest, GetLoadStateResponse},
        pair,
    },
    shape::{EMBEDDER, Shape, creation, index_of},
};

/// How soon a collection is looked for that somebody else may be making, doubled each time.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Inner {
    /// Opens a collection: everything here may be done again, and by several at once.
    pub(crate) async fn open(&self, spec: &CollectionSpec) -> Result<Collection, Failure> {
        let lock = self.opening(&spec.name);
        let _alone = lock.lock().await;
        let engine = self.engine().await?;
        let (existing, created) = match self.shape(&spec.name, Some(spec)).await? {
            Some(shape) => (shape, false),
            None => (self.create(spec, engine).await?, true),
        };
        let mut collection = Collection::adopt(existing.spec.clone(), spec, false)?;
        let record = spec.embedder.as_ref().filter(|_| existing.spec.embedder.is_none());
        if created {
            // What differs then is the server's choice, not something that existed.
            collection.notes.clear();
        }
        notes(&existing, spec, engine, created, &mut collection.notes);
        self.index(&existing, engine).await?;
        if !self.is_loaded(&spec.name).await? {
            self.load(&spec.name).await?;
        }
        if let Some(embedder) = record {
            self.record(&spec.name, embedder, &mut collection.notes).await?;
        }
        let mut shape = existing;
        if let Some(dense) = shape.dense.as_mut().filter(|dense| dense.index.is_none()) {
            dense.index = Some(if engine.hnsw { "HNSW" } else { "AUTOINDEX" }.to_owned());
        }
        shape.spec = collection.spec.clone();
        self.remember(&spec.name, shape, Some(spec.clone()));
        Ok(collection)
    }

    async fn create(&self, spec: &CollectionSpec, engine: &Engine) -> Result<Shape, Failure> {
        let request = creation(spec, engine)?;
        let mut wait = FIRST_LOOK;
        loop {
            let created: Result<Status, _> =
                self.call("CreateCollection", &request, Safety::Idempotent).await;
            match (self.shape(&spec.name, Some(spec)).await?, created) {
                // Whoever made it: it is there, and is looked at like any other.
                (Some(shape), _) => return Ok(shape),
                // Milvus Lite fails while somebody else is making it, and does not show it yet.
                (None, Err(failure))
                    if failure.error.kind() == ErrorKind::Unavailable && wait < LAST_LOOK =>
                {
                    self.in_time("a collection is being made", tokio::time::sleep(wait)).await?;
                    wait = wait.saturating_mul(2);
                }
                (None, Err(failure)) => return Err(failure),
                (None, Ok(_)) => return Err(no_collection(&spec.name)),
            }
        }
    }

    /// Gives every vector the index it lacks.
    async fn index(&self, shape: &Shape, engine: &Engine) -> Result<(), Failure> {
        let name = &shape.spec.name;
        let standing = self.indexes(name).await?;
        for (field, params) in shape.indexes(engine) {
            if index_of(&standing, &field).is_none() {
                self.create_index(name, &field, params).await?;
            }
        }
        Ok(())
    }

    async fn create_index(&self, name: &str, field: &str, params: Vec<KeyValuePair>) -> Result<(), Failure> {
        let request = CreateIndexRequest {
            collection_name: name.to_owned(),
            field_name: field.to_owned(),
            index_name: field.to_owned(),
            extra_params: params,
            ..CreateIndexRequest::default()
        };
        let created: Result<Status, _> = self.call("CreateIndex", &request, Safety::Idempotent).await;
        match created {
            Ok(_) => Ok(()),
            // Somebody else may have made it meanwhile.
            Err(failure) => match index_of(&self.indexes(name).await?, field) {
                Some(_) => Ok(()),
                None => Err(failure),
            },
        }
    }

    async fn is_loaded(&self, name: &str) -> Result<bool, Failure> {
        let request =
            GetLoadStateRequest { collection_name: name.to_owned(), ..GetLoadStateRequest::default() };
        let reply: GetLoadStateResponse = self.call("GetLoadState", &request, Safety::Read).await?;
        Ok(reply.state == i32::from(LoadState::Loaded))
    }

    /// Notes down whose vectors a collection holds.
    async fn record(&self, name: &str, embedder: &str, notes: &mut Vec<String>) -> Result<(), Failure> {
        let request = AlterCollectionRequest {
            collection_name: name.to_owned(),
            properties: vec![pair(EMBEDDER, embedder)],
            ..AlterCollectionRequest::default()
        };
        let altered: Result<Status, _> = self.call("AlterCollection", &request, Safety::Idempotent).await;
        match altered {
            Ok(_) => Ok(()),
            Err(failure) if failure.cause == Cause::NoMethod => {
                let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
                adopted.insert(name.to_owned(), embedder.to_owned());
                notes.push(format!(
                    "this server cannot record that the vectors are of {embedder}; only this store remembers it"
                ));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Removes a collection; `false` when there was none.
    pub(crate) async fn drop_collection(&self, name: &str) -> Result<bool, Failure> {
        if let Some(shape) = self.shape(name, None).await? {
            let dropped: Result<Status, _> = self.call("DropCollection", &of(name), Safety::Idempotent).await;
            match dropped {
                // The first attempt may have done it, or somebody else.
                Err(failure) if failure.cause != Cause::NoCollection => return Err(failure),
                _ => {}
            }
            self.forget(name);
            self.forget_writes(&shape.identity);
            self.adopted.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            return Ok(true);
        }
        self.forget(name);
        Ok(false)
    }
}

/// What people should know about a collection that is not quite what was asked for.
fn notes(shape: &Shape, wanted: &CollectionSpec, engine: &Engine, created: bool, notes: &mut Vec<String>) {
    if created && wanted.text_search && !shape.spec.text_search {
        notes.push("this server has no text search: Milvus has it from 2.5 on".into());
    }
    if shape.spec.fields.id != wanted.fields.id {
        notes.push(format!(
            "the primary key is called {} instead of {}",
            shape.spec.fields.id, wanted.fields.id
        ));
    }
    let index = shape.dense.as_ref().and_then(|dense| dense.index.as_deref());
    match index {
        Some(index) if index != "HNSW" => notes.push(format!("the existing index {index} is used")),
        None if shape.dense.is_some() && !engine.hnsw => {
            notes.push("this server has no HNSW index; AUTOINDEX is used instead".into());
        }
        _ => {}
    }
    if shape.auto_id {
        notes.push(
            "the server chooses the keys: records are written without one and cannot be replaced".into(),
        );
    }
    if shape.bm25.as_ref().is_some_and(|bm25| !bm25.ours) {
        notes.push("text search finds words as the collection's own analyzer splits them".into());
    }
}

/// What cannot be written, because the collection wants columns that records do not have.
pub(crate) fn refuse_foreign(shape: &Shape) -> Result<()> {
    if shape.foreign.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "the collection has fields that must be given and that records do not have; it can be read, not written",
    )
    .with_context("collection", &shape.spec.name)
    .with_context("fields", shape.foreign.join(", ")))
}
