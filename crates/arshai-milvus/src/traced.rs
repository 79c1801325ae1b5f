//! What every operation has: it is refused after closing, runs inside a span, and its error names it.

use std::future::Future;

use arshai_core::{Error, Result};
use tracing::{Instrument as _, Span};

use crate::{config::MilvusConfig, failure::Failure, inner::Inner};

impl Inner {
    /// Runs an operation of the store or the client. `collection` is empty for one that is about none.
    pub(crate) async fn traced<T>(
        &self,
        operation: &'static str,
        collection: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        let pass = self.connection.enter().map_err(|error| error.with_operation(operation))?;
        let span = span(&self.connection.config, operation, collection);
        let done = work.instrument(span.clone()).await;
        drop(pass);
        done.map_err(|failure| {
            span.record("error.type", failure.error.kind().name());
            Error::from(failure).with_operation(operation)
        })
    }
}

/// Named as OpenTelemetry names what is known of a database call.
fn span(config: &MilvusConfig, operation: &'static str, collection: &str) -> Span {
    tracing::debug_span!(
        "milvus",
        otel.kind = "client",
        db.system.name = "milvus",
        db.operation.name = operation,
        db.collection.name = collection,
        db.namespace = %config.database,
        server.address = %config.host,
        server.port = config.port,
        error.type = tracing::field::Empty,
    )
}
