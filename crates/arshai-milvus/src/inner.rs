//! What all clones of a store share.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arshai_core::{Deadline, Error, ErrorKind, Result, vector::CollectionSpec, vector::Consistency};
use tokio::sync::{OnceCell, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard};

use crate::{
    connection::{Connection, Safety},
    engine::Engine,
    failure::{Cause, Failure},
    proto::{
        Reply,
        common::{ClientInfo, ConsistencyLevel, LoadState},
        milvus::{
            CollectionRequest, ConnectRequest, ConnectResponse, DescribeCollectionResponse,
            DescribeIndexResponse, GetLoadStateRequest, GetLoadStateResponse, GetVersionRequest,
            GetVersionResponse, IndexDescription, IndexRequest,
        },
    },
    shape::Shape,
};

/// A store's connection and what it remembers of the server.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) connection: Arc<Connection>,
    engine: OnceCell<Engine>,
    known: Mutex<HashMap<String, Arc<Known>>>,
    /// When this store last wrote to each collection, by [`Shape::identity`]: other names for it, and forgetting its
    /// shape, change nothing about that.
    written: Mutex<HashMap<String, Arc<AtomicU64>>>,
    /// One opener of a name at a time.
    opening: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Embedders of collections on a server that cannot record them.
    pub(crate) adopted: Mutex<HashMap<String, String>>,
    /// Held while rows are replaced on a server that does it in two steps, and by those who read there.
    replacing: Arc<RwLock<()>>,
}

/// A collection that was looked at.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) shape: Shape,
    /// How somebody opened it here: whose names for its fields are used.
    wanted: Option<CollectionSpec>,
    /// The time of this store's last write, as the server counts it.
    written: Arc<AtomicU64>,
}

impl Known {
    /// Remembers when a write happened, so that later reads see it.
    pub(crate) fn wrote(&self, timestamp: u64) {
        self.written.fetch_max(timestamp, Ordering::AcqRel);
    }

    /// What a read asks for: a level, and the time up to which it must see everything.
    pub(crate) fn read_at(&self, consistency: Consistency) -> (ConsistencyLevel, u64) {
        match consistency {
            Consistency::Strong => (ConsistencyLevel::Strong, 0),
            Consistency::Bounded => (ConsistencyLevel::Bounded, 2),
            Consistency::Eventually => (ConsistencyLevel::Eventually, 1),
            // Without a write of our own nothing is waited for.
            _ => (ConsistencyLevel::Session, self.written.load(Ordering::Acquire).max(1)),
        }
    }

    /// The same for a page of an iterator. Of those a server takes a time for that of the snapshot to read, and would show
    /// nothing that came after it; so none is sent, and to see one's own writes is to see everybody's.
    pub(crate) fn iterate_at(&self, consistency: Consistency) -> ConsistencyLevel {
        match self.read_at(consistency) {
            (ConsistencyLevel::Session, 0 | 1) => ConsistencyLevel::Eventually,
            (ConsistencyLevel::Session, _) => ConsistencyLevel::Strong,
            (level, _) => level,
        }
    }
}

impl Inner {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection: Arc::new(connection),
            engine: OnceCell::new(),
            known: Mutex::default(),
            written: Mutex::default(),
            opening: Mutex::default(),
            adopted: Mutex::default(),
            replacing: Arc::default(),
        }
    }

    /// The kind of server, asked once.
    pub(crate) async fn engine(&self) -> Result<&Engine, Failure> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let recognised = self.engine.get_or_try_init(|| self.recognise());
        Box::pin(self.in_time("asking what server answers", recognised)).await?
    }

    async fn recognise(&self) -> Result<Engine, Failure> {
        let asked: Result<GetVersionResponse, _> =
            self.connection.call("GetVersion", &GetVersionRequest {}, Safety::Read).await;
        match asked {
            Ok(reply) => return Ok(Engine::of(&reply.version)),
            Err(failure) if failure.cause == Cause::NoMethod => {}
            Err(failure) => return Err(failure),
        }
        // Milvus Lite in C++ does not know that call, and neither does whatever else may listen there.
        let client_info =
            ClientInfo { sdk_type: "arshai".to_owned(), sdk_version: env!("CARGO_PKG_VERSION").to_owned() };
        let request = ConnectRequest { client_info: Some(client_info) };
        let connected: Result<ConnectResponse, _> =
            self.connection.call("Connect", &request, Safety::Read).await;
        match connected.map(|reply| reply.server_info.map(|server| server.build_tags)) {
            Ok(Some(version)) if !version.is_empty() => Ok(Engine::of(&version)),
            Ok(_) if self.names_database() => Err(
                // It would pass over the name, and keep everybody's collections in one place.
                Error::unsupported("Milvus Lite in C++ has no databases; leave the name of one out")
                    .with_context("database", self.connection.config.database.escape_debug())
                    .into(),
            ),
            Ok(_) => Ok(Engine::lite_cpp()),
            Err(failure) if failure.cause == Cause::NoMethod => Err(Error::new(
                ErrorKind::Unavailable,
                "what answers there is no Milvus, or a proxy that does not reach one; check the address",
            )
            .with_context("address", self.connection.config.address())
            .into()),
            Err(failure) => Err(failure),
        }
    }

    fn names_database(&self) -> bool {
        !["", "default"].contains(&self.connection.config.database.as_str())
    }

    /// One call, once it is sure that the server does not pass over the name of the database.
    pub(crate) async fn call<R: Reply>(
        &self,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<R, Failure> {
        // These are about no store's database, and one that is not there yet may be made.
        let about_databases = ["CreateDatabase", "DropDatabase", "ListDatabases"].contains(&method);
        if about_databases || !self.names_database() {
            return self.connection.call(method, request, safety).await;
        }
        // Both within one time.
        let calling = async {
            self.engine().await?;
            self.connection.call(method, request, safety).await
        };
        Deadline::current_or(self.connection.config.timeout).scope(calling).await
    }

    /// Waits for others no longer than the operation may take, and leaves them to what they do.
    pub(crate) async fn in_time<T>(
        &self,
        what: &'static str,
        waiting: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let deadline = Deadline::current_or(self.connection.config.timeout);
        tokio::time::timeout_at(deadline.instant().into(), waiting).await.map_err(|_elapsed| {
            Error::new(ErrorKind::Timeout, "the deadline of the operation passed")
                .with_context("while", what)
                .with_context("address", self.connection.config.address())
                .into()
        })
    }

    /// Keeps this store from reading a row that is being replaced, where the server would show the gap.
    pub(crate) async fn reading(&self) -> Result<Option<RwLockReadGuard<'_, ()>>, Failure> {
        match self.engine().await?.torn_upsert {
            true => Ok(Some(self.in_time("rows are being replaced", self.replacing.read()).await?)),
            false => Ok(None),
        }
    }

    /// Keeps this store's readers out.
    pub(crate) async fn replacing(&self) -> Result<OwnedRwLockWriteGuard<()>, Failure> {
        self.in_time("rows are being read or replaced", Arc::clone(&self.replacing).write_owned()).await
    }

    pub(crate) fn opening(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // Those nobody waits for are not kept.
        opening.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(opening.entry(name.to_owned()).or_default())
    }

    /// Runs an operation on a collection. One that was dropped is forgotten; one that was released is loaded again; one
    /// that was made anew by somebody else is looked at again.
    pub(crate) async fn on<T, F, Running>(&self, name: &str, operation: F) -> Result<T, Failure>
    where
        F: Fn(Arc<Known>) -> Running,
        Running: Future<Output = Result<T, Failure>>,
    {
        let (known, fresh) = match self.remembered(name) {
            Some(known) => (known, false),
            None => (self.look(name).await?, true),
        };
        let failure = match operation(Arc::clone(&known)).await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let again = match failure.cause {
            Cause::NotLoaded => {
                self.load(name).await?;
                known
            }
            Cause::NoCollection => {
                self.forget(name);
                return Err(failure);
            }
            _ if !fresh && failure.error.kind() == ErrorKind::InvalidInput && failure.is_harmless() => {
                let now = self.look(name).await?;
                if now.shape == known.shape {
                    return Err(failure);
                }
                now
            }
            _ => return Err(failure),
        };
        operation(again).await
    }

    pub(crate) fn remembered(&self, name: &str) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn remember(&self, name: &str, shape: Shape, wanted: Option<CollectionSpec>) -> Arc<Known> {
        let written = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(written.entry(shape.identity.clone()).or_default())
        };
        let this = Arc::new(Known { shape, wanted, written });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), Arc::clone(&this));
        this
    }

    /// There is no such collection any more: nothing written to it can be read.
    pub(crate) fn forget_writes(&self, identity: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(identity);
    }

    /// Asks the server for a collection and remembers it.
    pub(crate) async fn look(&self, name: &str) -> Result<Arc<Known>, Failure> {
        match self.seen(name).await? {
            Some((shape, wanted)) => Ok(self.remember(name, shape, wanted)),
            None => Err(no_collection(name)),
        }
    }

    /// A collection as the server has it, by the names of its fields under which it was opened here.
    pub(crate) async fn seen(&self, name: &str) -> Result<Option<(Shape, Option<CollectionSpec>)>, Failure> {
        if let Some(wanted) = self.remembered(name).and_then(|known| known.wanted.clone()) {
            match self.shape(name, Some(&wanted)).await {
                // It has other fields by now.
                Err(failure) if failure.error.kind() == ErrorKind::AlreadyExists => {}
                shape => return Ok(shape?.map(|shape| (shape, Some(wanted)))),
            }
        }
        Ok(self.shape(name, None).await?.map(|shape| (shape, None)))
    }

    /// A collection as the server has it; `None` when there is none.
    pub(crate) async fn shape(
        &self,
        name: &str,
        wanted: Option<&CollectionSpec>,
    ) -> Result<Option<Shape>, Failure> {
        if !is_name(name) {
            return Ok(None);
        }
        let described: DescribeCollectionResponse =
            match self.call("DescribeCollection", &of(name), Safety::Read).await {
                Ok(described) => described,
                Err(failure) if failure.cause == Cause::NoCollection => return Ok(None),
                Err(failure) => return Err(failure),
            };
        let indexes = self.indexes(name).await?;
        let mut shape = Shape::read(&described, &indexes, wanted)?;
        shape.escaped_keys = self.engine().await?.escaped_keys;
        // An alias is opened under its own name.
        shape.spec.name = name.to_owned();
        if shape.spec.embedder.is_none() {
            let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
            shape.spec.embedder = adopted.get(name).cloned();
        }
        Ok(Some(shape))
    }

    pub(crate) async fn indexes(&self, name: &str) -> Result<Vec<IndexDescription>, Failure> {
        let request = IndexRequest { collection_name: name.to_owned(), ..IndexRequest::default() };
        let described: Result<DescribeIndexResponse, _> =
            self.call("DescribeIndex", &request, Safety::Read).await;
        match described {
            Ok(described) => Ok(described.index_descriptions),
            Err(failure) if failure.cause == Cause::NoIndex => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// Loads a collection and waits until it answers.
    pub(crate) async fn load(&self, name: &str) -> Result<(), Failure> {
        let _status: crate::proto::common::Status =
            self.call("LoadCollection", &of(name), Safety::Idempotent).await?;
        let request =
            GetLoadStateRequest { collection_name: name.to_owned(), ..GetLoadStateRequest::default() };
        let deadline = Deadline::current_or(self.connection.config.open_timeout);
        let mut wait = std::time::Duration::from_millis(10);
        loop {
            let reply: GetLoadStateResponse = self.call("GetLoadState", &request, Safety::Read).await?;
            if reply.state == i32::from(LoadState::Loaded) {
                return Ok(());
            }
            deadline.sleep("vectors.load", wait).await?;
            wait = (wait * 2).min(std::time::Duration::from_millis(200));
        }
    }
}

/// The request that names nothing but a collection.
pub(crate) fn of(name: &str) -> CollectionRequest {
    CollectionRequest { collection_name: name.to_owned(), ..CollectionRequest::default() }
}

/// Names no collection can have are not sent.
pub(crate) fn is_name(name: &str) -> bool {
    CollectionSpec::new(name).validate().is_ok()
}

pub(crate) fn no_collection(name: &str) -> Failure {
    Failure {
        error: Error::new(ErrorKind::NotFound, "the collection does not exist")
            .with_context("collection", name.escape_debug()),
        cause: Cause::NoCollection,
    }
}
