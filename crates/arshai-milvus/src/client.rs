//! What only Milvus has.

use std::sync::Arc;

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use prost::Message as _;

use crate::{
    config::MilvusConfig,
    connection::Safety,
    failure::{Cause, Failure},
    inner::{Inner, of},
    proto::{
        common::Status,
        milvus::{
            AliasRequest, CreateCollectionRequest, CreateIndexRequest, DatabaseRequest, DropAliasRequest,
            FlushRequest, FlushResponse, GetCollectionStatisticsResponse, IndexRequest, ListAliasesResponse,
            ListDatabasesRequest, ListDatabasesResponse, PartitionRequest, PartitionsRequest,
            RenameCollectionRequest, ShowPartitionsResponse,
        },
        pair,
        schema::{CollectionSchema, DataType, FieldSchema},
        value_of,
    },
    store::MilvusStore,
};

/// Calls that only Milvus knows, over the connections of a [`MilvusStore`].
///
/// Each method is one call, named as in Milvus' own documentation, with the store's deadlines and retries. What a server
/// does not know fails with [`ErrorKind::Unsupported`]. Rows by an expression of Milvus are read through the store, with
/// [`Filter::raw`](arshai_core::Filter::raw), page by page or as a stream.
///
/// # Cancel safety
///
/// Dropping any of these futures leaves the client usable; what it asked for may have happened.
#[derive(Debug, Clone)]
pub struct MilvusClient {
    inner: Arc<Inner>,
}

/// A field of a collection with a schema of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether it is the primary key: an integer or a text. Default: no.
    pub is_primary_key: bool,
    /// Whether the server chooses its values. Default: no.
    pub auto_id: bool,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// True or false.
    Bool,
    /// A 64-bit integer.
    Int64,
    /// A 64-bit float.
    Double,
    /// A text of so many bytes at most, 65,535 at most.
    VarChar(usize),
    /// JSON.
    Json,
    /// A vector of so many floats.
    FloatVector(usize),
    /// A sparse vector.
    SparseFloatVector,
}

/// An index as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// The field it is of.
    pub field: String,
    /// Its type, such as `HNSW`; empty when the server does not say.
    pub index_type: String,
    /// Its metric, such as `COSINE`; empty for an index of scalars.
    pub metric: String,
}

impl SchemaField {
    /// A field that is no key.
    pub fn new(name: impl Into<String>, kind: FieldKind) -> Self {
        Self { name: name.into(), kind, is_primary_key: false, auto_id: false }
    }

    /// The same as the primary key; `auto_id` lets the server choose its values.
    #[must_use]
    pub fn primary_key(mut self, auto_id: bool) -> Self {
        (self.is_primary_key, self.auto_id) = (true, auto_id);
        self
    }

    fn schema(&self) -> FieldSchema {
        let (kind, param) = match self.kind {
            FieldKind::Bool => (DataType::Bool, None),
            FieldKind::Int64 => (DataType::Int64, None),
            FieldKind::Double => (DataType::Double, None),
            FieldKind::VarChar(bytes) => (DataType::VarChar, Some(pair("max_length", bytes.to_string()))),
            FieldKind::Json => (DataType::Json, None),
            FieldKind::FloatVector(dim) => (DataType::FloatVector, Some(pair("dim", dim.to_string()))),
            FieldKind::SparseFloatVector => (DataType::SparseFloatVector, None),
        };
        FieldSchema {
            name: self.name.clone(),
            data_type: kind.into(),
            is_primary_key: self.is_primary_key,
            auto_id: self.auto_id,
            type_params: param.into_iter().collect(),
            ..FieldSchema::default()
        }
    }
}

impl MilvusStore {
    /// What only Milvus has, over this store's connections.
    pub fn client(&self) -> MilvusClient {
        MilvusClient { inner: Arc::clone(&self.inner) }
    }
}

/// Forgets a collection when the call that changes it has ended, or its future was dropped: what was sent may happen.
struct Forgets<'a> {
    inner: &'a Inner,
    name: &'a str,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.inner.forget(self.name);
    }
}

/// A method for a call that returns nothing but its status.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $kind:ty),*) $(forgets $forgotten:ident)? = $method:literal, $request:expr;
    )*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// Those of the server and the connection.
            pub async fn $name(&self, $($argument: $kind),*) -> Result<()> {
                let operation = concat!("milvus.", stringify!($name));
                let _pass = self.inner.connection.enter().map_err(|error| error.with_operation(operation))?;
                $(let _forgets = self.forgets($forgotten);)?
                let done: Result<Status, Failure> =
                    self.inner.connection.call($method, &$request, Safety::Idempotent).await;
                done.map(|_| ()).map_err(|failure| Error::from(failure).with_operation(operation))
            }
        )*
    };
}

impl MilvusClient {
    calls! {
        /// Makes a partition.
        create_partition(collection: &str, partition: &str) = "CreatePartition", partition_of(collection, partition);
        /// Removes a partition and its rows. It must have been released.
        drop_partition(collection: &str, partition: &str) = "DropPartition", partition_of(collection, partition);
        /// Loads some partitions of a collection, without waiting for the end of it.
        load_partitions(collection: &str, partitions: &[&str]) = "LoadPartitions", partitions_of(collection, partitions);
        /// Releases some partitions of a collection.
        release_partitions(collection: &str, partitions: &[&str]) = "ReleasePartitions", partitions_of(collection, partitions);
        /// Gives a collection another name besides its own.
        create_alias(collection: &str, alias: &str) forgets alias = "CreateAlias", alias_of(collection, alias);
        /// Gives an alias to another collection.
        alter_alias(collection: &str, alias: &str) forgets alias = "AlterAlias", alias_of(collection, alias);
        /// Takes an alias away.
        drop_alias(alias: &str) forgets alias = "DropAlias", DropAliasRequest { alias: alias.to_owned(), ..DropAliasRequest::default() };
        /// Makes a database.
        create_database(database: &str) = "CreateDatabase", DatabaseRequest { db_name: database.to_owned() };
        /// Removes a database, which must be empty.
        drop_database(database: &str) = "DropDatabase", DatabaseRequest { db_name: database.to_owned() };
        /// Takes a collection out of memory. The store loads it again when it is used.
        release(collection: &str) = "ReleaseCollection", of(collection);
        /// Removes the index of a field. The collection must have been released.
        drop_index(collection: &str, field: &str) forgets collection = "DropIndex", IndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            index_name: field.to_owned(),
            ..IndexRequest::default()
        };
    }

    /// Gives a collection another name.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn rename_collection(&self, from: &str, to: &str) -> Result<()> {
        let request = RenameCollectionRequest {
            old_name: from.to_owned(),
            new_name: to.to_owned(),
            ..RenameCollectionRequest::default()
        };
        let _forgets = (self.forgets(from), self.forgets(to));
        let _status: Status =
            self.call("milvus.rename_collection", "RenameCollection", &request, Safety::Once).await?;
        Ok(())
    }

    /// Makes a collection with a schema of one's own. It has neither index nor is it loaded: opening it in the store
    /// does both.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn create_collection(&self, name: &str, fields: &[SchemaField]) -> Result<()> {
        let schema = CollectionSchema {
            name: name.to_owned(),
            auto_id: fields.iter().any(|field| field.auto_id),
            fields: fields.iter().map(SchemaField::schema).collect(),
            ..CollectionSchema::default()
        };
        let request = CreateCollectionRequest {
            collection_name: name.to_owned(),
            schema: schema.encode_to_vec().into(),
            shards_num: 1,
            ..CreateCollectionRequest::default()
        };
        let _status: Status =
            self.call("milvus.create_collection", "CreateCollection", &request, Safety::Idempotent).await?;
        Ok(())
    }

    /// Makes the index of a field; parameters as Milvus names them (`index_type`, `metric_type`, `params` as JSON).
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Unsupported`] for an index that the server is known to lack.
    pub async fn create_index(&self, collection: &str, field: &str, params: &[(&str, &str)]) -> Result<()> {
        let deadline = Deadline::current_or(self.config().timeout);
        Box::pin(deadline.scope(self.create_index_in_time(collection, field, params))).await
    }

    async fn create_index_in_time(
        &self,
        collection: &str,
        field: &str,
        params: &[(&str, &str)],
    ) -> Result<()> {
        let operation = "milvus.create_index";
        if let Some((_, index)) = params.iter().find(|(name, _)| *name == "index_type") {
            let _pass = self.inner.connection.enter().map_err(|error| error.with_operation(operation))?;
            let engine = self.inner.engine().await;
            let engine = engine.map_err(|failure| Error::from(failure).with_operation(operation))?;
            if engine.lacks_index(index) {
                return Err(Error::unsupported("this server has no such index; AUTOINDEX is on all of them")
                    .with_context("index", index.escape_debug())
                    .with_operation(operation));
            }
        }
        let request = CreateIndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            index_name: field.to_owned(),
            extra_params: params.iter().map(|(key, value)| pair(key, *value)).collect(),
            ..CreateIndexRequest::default()
        };
        let _forgets = self.forgets(collection);
        let _status: Status = self.call(operation, "CreateIndex", &request, Safety::Idempotent).await?;
        Ok(())
    }

    /// The indexes of a collection.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn indexes(&self, collection: &str) -> Result<Vec<IndexInfo>> {
        let operation = "milvus.indexes";
        let _pass = self.inner.connection.enter().map_err(|error| error.with_operation(operation))?;
        let indexes = self.inner.indexes(collection).await;
        let indexes = indexes.map_err(|failure| Error::from(failure).with_operation(operation))?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Ok(indexes
            .into_iter()
            .map(|index| IndexInfo {
                index_type: text(value_of(&index.params, "index_type")),
                metric: text(value_of(&index.params, "metric_type")),
                name: index.index_name,
                field: index.field_name,
            })
            .collect())
    }

    /// Loads a collection and waits until it answers.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Timeout`] when it takes longer than
    /// [`MilvusConfig::open_timeout`](crate::MilvusConfig::open_timeout).
    pub async fn load(&self, collection: &str) -> Result<()> {
        let operation = "milvus.load";
        let _pass = self.inner.connection.enter().map_err(|error| error.with_operation(operation))?;
        let deadline = Deadline::current_or(self.inner.connection.config.open_timeout);
        let loading = async { Ok(self.inner.load(collection).await?) };
        let loaded = deadline.run(operation, Effect::Unknown, loading).await;
        loaded.map_err(|error| error.with_operation(operation))
    }

    /// Asks the server to write what it holds in memory to storage.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn flush(&self, collections: &[&str]) -> Result<()> {
        let collection_names = collections.iter().map(|name| (*name).to_owned()).collect();
        let request = FlushRequest { collection_names, ..FlushRequest::default() };
        let _reply: FlushResponse = self.call("milvus.flush", "Flush", &request, Safety::Idempotent).await?;
        Ok(())
    }

    /// The names of a collection's partitions.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn partitions(&self, collection: &str) -> Result<Vec<String>> {
        let reply: ShowPartitionsResponse =
            self.call("milvus.partitions", "ShowPartitions", &of(collection), Safety::Read).await?;
        Ok(reply.partition_names)
    }

    /// The other names of a collection.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn aliases(&self, collection: &str) -> Result<Vec<String>> {
        let reply: ListAliasesResponse =
            self.call("milvus.aliases", "ListAliases", &of(collection), Safety::Read).await?;
        Ok(reply.aliases)
    }

    /// The names of all databases.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn databases(&self) -> Result<Vec<String>> {
        let reply: ListDatabasesResponse =
            self.call("milvus.databases", "ListDatabases", &ListDatabasesRequest {}, Safety::Read).await?;
        Ok(reply.db_names)
    }

    /// How many rows the server counted when it last wrote to storage. [`VectorStore::stats`] counts those that a query
    /// finds.
    ///
    /// [`VectorStore::stats`]: arshai_core::vector::VectorStore::stats
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Protocol`] when the server does not say a number.
    pub async fn stored_rows(&self, collection: &str) -> Result<u64> {
        let operation = "milvus.stored_rows";
        let reply: GetCollectionStatisticsResponse =
            self.call(operation, "GetCollectionStatistics", &of(collection), Safety::Read).await?;
        value_of(&reply.stats, "row_count").and_then(|count| count.parse().ok()).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "the server does not say how many rows there are")
                .with_operation(operation)
        })
    }

    pub(crate) fn config(&self) -> &MilvusConfig {
        &self.inner.connection.config
    }

    fn forgets<'a>(&'a self, name: &'a str) -> Forgets<'a> {
        Forgets { inner: &self.inner, name }
    }

    pub(crate) async fn call<R: crate::proto::Reply>(
        &self,
        operation: &'static str,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<R> {
        let _pass = self.inner.connection.enter().map_err(|error| error.with_operation(operation))?;
        let reply = self.inner.connection.call(method, request, safety).await;
        reply.map_err(|failure: Failure| {
            let error = match failure.cause {
                Cause::NoMethod => failure.error.with_context("needs", "another Milvus version"),
                _ => failure.error,
            };
            error.with_operation(operation)
        })
    }
}

fn partition_of(collection: &str, partition: &str) -> PartitionRequest {
    PartitionRequest {
        collection_name: collection.to_owned(),
        partition_name: partition.to_owned(),
        ..PartitionRequest::default()
    }
}

fn partitions_of(collection: &str, partitions: &[&str]) -> PartitionsRequest {
    PartitionsRequest {
        collection_name: collection.to_owned(),
        partition_names: partitions.iter().map(|name| (*name).to_owned()).collect(),
        ..PartitionsRequest::default()
    }
}

fn alias_of(collection: &str, alias: &str) -> AliasRequest {
    AliasRequest {
        collection_name: collection.to_owned(),
        alias: alias.to_owned(),
        ..AliasRequest::default()
    }
}
