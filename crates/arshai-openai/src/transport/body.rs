//! Reading replies, never more than allowed and never for ever.

use std::{fmt, sync::Arc, time::Duration};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use bytes::Bytes;
use reqwest::Response;
use serde_json::Value;

use super::{Place, failure, redact::Sent};

/// Bytes to make room for on the word of a `content-length`.
const MOST_TRUSTED: u64 = 4 << 20;

/// The whole body.
pub(super) async fn whole(mut response: Response, most: usize) -> Result<Vec<u8>> {
    let said = response.content_length();
    if said.is_some_and(|said| said > most as u64) {
        return Err(too_long(most));
    }
    let room = usize::try_from(said.unwrap_or(0).min(MOST_TRUSTED)).unwrap_or(0);
    let mut body = Vec::with_capacity(room);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(too_long(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The beginning of a body, for the message of an error. A body that breaks off or stalls is as good as a short one.
pub(super) async fn beginning(mut response: Response, most: usize, patience: Duration) -> Vec<u8> {
    let until = tokio::time::Instant::now() + patience;
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(until, response.chunk()).await {
        body.extend_from_slice(chunk.get(..most.saturating_sub(body.len())).unwrap_or(&chunk));
        if body.len() >= most {
            break;
        }
    }
    body
}

/// A body that is read as it arrives. Dropping it stops the request.
#[doc(hidden)]
pub struct Body {
    response: Option<Response>,
    place: Option<Place>,
    sent: Arc<Sent>,
    operation: &'static str,
    idle: Duration,
    deadline: Deadline,
    most: usize,
    received: usize,
}

impl Body {
    pub(super) fn new(
        response: Response,
        place: Place,
        sent: Arc<Sent>,
        operation: &'static str,
        idle: Duration,
        deadline: Deadline,
        most: usize,
    ) -> Self {
        Self {
            response: Some(response),
            place: Some(place),
            sent,
            operation,
            idle,
            deadline,
            most,
            received: 0,
        }
    }

    /// What kind of body the server says it is.
    pub fn content_type(&self) -> Option<&str> {
        super::headers::text(self.response.as_ref()?.headers(), "content-type")
    }

    /// The next bytes; `None` at the proper end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] when the connection broke, [`ErrorKind::Timeout`] when nothing came for too long,
    /// [`ErrorKind::Protocol`] when the body is longer than allowed. After an error there is nothing more.
    ///
    /// # Cancel safety
    ///
    /// No bytes are lost when the future is dropped.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(response) = &mut self.response else { return Ok(None) };
        let within = self.idle.min(self.deadline.remaining());
        let outcome = match tokio::time::timeout(within, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                self.received = self.received.saturating_add(chunk.len());
                if self.received <= self.most {
                    return Ok(Some(chunk));
                }
                Err(too_long(self.most))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(broken(error)),
            Err(_elapsed) if self.deadline.is_past() => Err(Deadline::error(self.operation, Effect::Unknown)),
            Err(_elapsed) => Err(Error::new(
                ErrorKind::Timeout,
                "the server fell silent in the middle of its reply; ask again, or allow a longer idle_timeout",
            )
            .with_effect(Effect::Unknown)),
        };
        self.end();
        outcome.map_err(|error| error.with_operation(self.operation))
    }

    /// Reads what is left when it is there or about to come, so that the connection can be used again.
    pub(crate) async fn finish(mut self) {
        const PATIENCE: Duration = Duration::from_millis(20);
        let rest = async { while let Ok(Some(_)) = self.chunk().await {} };
        let _ = tokio::time::timeout(PATIENCE, rest).await;
    }

    /// The error that an event of it reports.
    #[doc(hidden)]
    pub fn reported(&self, error: &Value) -> Error {
        failure::reported(error, &self.sent)
    }

    fn end(&mut self) {
        self.response = None;
        self.place = None;
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("received", &self.received).finish_non_exhaustive()
    }
}

fn too_long(most: usize) -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the reply is longer than allowed; ask for less at once, or raise max_reply_bytes",
    )
    .with_effect(Effect::Unknown)
    .with_context("max_reply_bytes", most)
}

fn broken(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Truncated, "the connection broke in the middle of the reply; ask again")
        .with_effect(Effect::Unknown)
        .with_source(failure::cause(error))
}
