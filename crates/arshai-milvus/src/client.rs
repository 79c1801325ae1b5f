//! What only Milvus has.

use std::sync::Arc;

use arshai_core::{Deadline, Effect, Error, Result};
use prost::Message as _;

use crate::{
    config::MilvusConfig,
    connection::Safety,
    failure::{Cause, Failure},
    inner::{Inner, of},
    proto::{
        Reply,
        common::Status,
        milvus::{
            AliasRequest, CreateCollectionRequest, CreateIndexRequest, DatabaseRequest, DropAliasRequest,
            FlushRequest, FlushResponse, GetCollectionStatisticsResponse, IndexRequest, ListAliasesResponse,
            ListDatabasesRequest, ListDatabasesResponse, PartitionRequest, PartitionsRequest,
            RenameCollectionRequest, ShowPartitionsResponse,
        },
        pair,
        schema::CollectionSchema,
        value_of,
    },
    schema_field::SchemaField,
    store::MilvusStore,
};

/// Calls that only Milvus knows, over the connections of a [`MilvusStore`].
///
/// Each method is one call, named as in Milvus' own documentation, with the store's deadlines, retries and spans. What a
/// server does not know fails with [`ErrorKind::Unsupported`](arshai_core::ErrorKind::Unsupported). Rows by an expression
/// of Milvus are read through the store, with [`Filter::raw`](arshai_core::Filter::raw), page by page or as a stream.
///
/// Partitions are made, loaded, released, listed and removed here, and no more: the store writes to a collection's default
/// one, or where its partition key says, and searches and reads all of them.
///
/// # Replies that are lost
///
/// What takes something away is sent again, and has succeeded when the server then has no such thing. What makes something
/// is not, because some servers would say that it exists: it ends with
/// [`ErrorKind::OutcomeUnknown`](arshai_core::ErrorKind::OutcomeUnknown), for the caller to look. The same holds for a new
/// name of a collection, and for making, changing and removing users and roles. All other calls leave the same when they are
/// done twice, and are sent again. A reply that does not come within
/// [`MilvusConfig::attempt_timeout`](crate::MilvusConfig::attempt_timeout) is lost as well.
///
/// # Cancel safety
///
/// Dropping any of these futures leaves the client usable; what it asked for may have happened.
#[derive(Debug, Clone)]
pub struct MilvusClient {
    inner: Arc<Inner>,
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

/// A method for a call that returns nothing but its status: the collection or alias it is about, what is to be forgotten,
/// and what it may do when it is sent twice.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $kind:ty),*) on $subject:tt $(forgets $forgotten:ident)? =
            $safety:ident $method:literal, $request:expr;
    )*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// Those of the server and the connection.
            pub async fn $name(&self, $($argument: $kind),*) -> Result<()> {
                let operation = concat!("milvus.", stringify!($name));
                $(let _forgets = self.forgets($forgotten);)?
                let _status: Status =
                    self.call(operation, $subject, $method, &$request, Safety::$safety).await?;
                Ok(())
            }
        )*
    };
}

impl MilvusClient {
    calls! {
        /// Makes a partition.
        create_partition(collection: &str, partition: &str) on collection =
            Once "CreatePartition", partition_of(collection, partition);
        /// Removes a partition and its rows. It must have been released.
        drop_partition(collection: &str, partition: &str) on collection =
            Removal "DropPartition", partition_of(collection, partition);
        /// Loads some partitions of a collection, without waiting for the end of it.
        load_partitions(collection: &str, partitions: &[&str]) on collection =
            Idempotent "LoadPartitions", partitions_of(collection, partitions);
        /// Releases some partitions of a collection.
        release_partitions(collection: &str, partitions: &[&str]) on collection =
            Idempotent "ReleasePartitions", partitions_of(collection, partitions);
        /// Gives a collection another name besides its own.
        create_alias(collection: &str, alias: &str) on collection forgets alias =
            Once "CreateAlias", alias_of(collection, alias);
        /// Gives an alias to another collection.
        alter_alias(collection: &str, alias: &str) on collection forgets alias =
            Idempotent "AlterAlias", alias_of(collection, alias);
        /// Takes an alias away.
        drop_alias(alias: &str) on alias forgets alias =
            Removal "DropAlias", DropAliasRequest { alias: alias.to_owned(), ..DropAliasRequest::default() };
        /// Makes a database. A store of its own works in it, made with [`MilvusConfig::database`].
        create_database(database: &str) on "" =
            Once "CreateDatabase", DatabaseRequest { db_name: database.to_owned() };
        /// Removes a database, which must be empty.
        drop_database(database: &str) on "" =
            Removal "DropDatabase", DatabaseRequest { db_name: database.to_owned() };
        /// Takes a collection out of memory. The store loads it again when it is used.
        release(collection: &str) on collection = Idempotent "ReleaseCollection", of(collection);
        /// Removes the index of a field. The collection must have been released.
        drop_index(collection: &str, field: &str) on collection forgets collection =
            Removal "DropIndex", IndexRequest {
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
            self.call("milvus.rename_collection", from, "RenameCollection", &request, Safety::Once).await?;
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
            self.call("milvus.create_collection", name, "CreateCollection", &request, Safety::Once).await?;
        Ok(())
    }

    /// Makes the index of a field; parameters as Milvus names them (`index_type`, `metric_type`, `params` as JSON).
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Unsupported`](arshai_core::ErrorKind::Unsupported) for an index
    /// that the server is known to lack.
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
        let request = CreateIndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            index_name: field.to_owned(),
            extra_params: params.iter().map(|(key, value)| pair(key, *value)).collect(),
            ..CreateIndexRequest::default()
        };
        let making = async {
            if let Some((_, index)) = params.iter().find(|(name, _)| *name == "index_type") {
                if self.inner.engine().await?.lacks_index(index) {
                    let lacks = "this server has no such index; AUTOINDEX is on all of them";
                    return Err(Error::unsupported(lacks).with_context("index", index.escape_debug()).into());
                }
            }
            let _forgets = self.forgets(collection);
            let _status: Status = self.ask("CreateIndex", &request, Safety::Once).await?;
            Ok(())
        };
        self.inner.traced("milvus.create_index", collection, making).await
    }

    /// The indexes of a collection.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn indexes(&self, collection: &str) -> Result<Vec<IndexInfo>> {
        let indexes = self.inner.traced("milvus.indexes", collection, self.inner.indexes(collection)).await?;
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
    /// Those of the server and the connection; [`ErrorKind::Timeout`](arshai_core::ErrorKind::Timeout) when it takes longer
    /// than [`MilvusConfig::open_timeout`](crate::MilvusConfig::open_timeout).
    pub async fn load(&self, collection: &str) -> Result<()> {
        let operation = "milvus.load";
        let deadline = Deadline::current_or(self.config().open_timeout);
        let loading = async { Ok(self.inner.load(collection).await?) };
        let loading = async { Ok(deadline.run(operation, Effect::Unknown, loading).await?) };
        self.inner.traced(operation, collection, loading).await
    }

    /// Asks the server to write what it holds in memory to storage.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn flush(&self, collections: &[&str]) -> Result<()> {
        let about = if let [one] = collections { *one } else { "" };
        let collection_names = collections.iter().map(|name| (*name).to_owned()).collect();
        let request = FlushRequest { collection_names, ..FlushRequest::default() };
        let _reply: FlushResponse =
            self.call("milvus.flush", about, "Flush", &request, Safety::Idempotent).await?;
        Ok(())
    }

    /// The names of a collection's partitions.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn partitions(&self, collection: &str) -> Result<Vec<String>> {
        let reply: ShowPartitionsResponse = self
            .call("milvus.partitions", collection, "ShowPartitions", &of(collection), Safety::Read)
            .await?;
        Ok(reply.partition_names)
    }

    /// The other names of a collection.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn aliases(&self, collection: &str) -> Result<Vec<String>> {
        let reply: ListAliasesResponse =
            self.call("milvus.aliases", collection, "ListAliases", &of(collection), Safety::Read).await?;
        Ok(reply.aliases)
    }

    /// The names of all databases.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn databases(&self) -> Result<Vec<String>> {
        let reply: ListDatabasesResponse = self
            .call("milvus.databases", "", "ListDatabases", &ListDatabasesRequest {}, Safety::Read)
            .await?;
        Ok(reply.db_names)
    }

    /// How many rows the server counted when it last wrote to storage. [`VectorStore::stats`] counts those that a query
    /// finds.
    ///
    /// [`VectorStore::stats`]: arshai_core::vector::VectorStore::stats
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Protocol`](arshai_core::ErrorKind::Protocol) when the server does
    /// not say a number.
    pub async fn stored_rows(&self, collection: &str) -> Result<u64> {
        let request = of(collection);
        let counting = async {
            let reply: GetCollectionStatisticsResponse =
                self.ask("GetCollectionStatistics", &request, Safety::Read).await?;
            value_of(&reply.stats, "row_count")
                .and_then(|count| count.parse().ok())
                .ok_or_else(|| Failure::protocol("the server does not say how many rows there are"))
        };
        self.inner.traced("milvus.stored_rows", collection, counting).await
    }

    pub(crate) fn config(&self) -> &MilvusConfig {
        &self.inner.connection.config
    }

    fn forgets<'a>(&'a self, name: &'a str) -> Forgets<'a> {
        Forgets { inner: &self.inner, name }
    }

    /// A call that is a whole operation. `collection` is empty for one that is about none.
    pub(crate) async fn call<R: Reply>(
        &self,
        operation: &'static str,
        collection: &str,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<R> {
        self.inner.traced(operation, collection, self.ask(method, request, safety)).await
    }

    async fn ask<R: Reply>(
        &self,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<R, Failure> {
        let Failure { error, cause } = match self.inner.call(method, request, safety).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let error = match cause {
            Cause::NoMethod => error.with_context("needs", "another Milvus version"),
            _ => error,
        };
        Err(Failure { error, cause })
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
