//! One batch: sent whole, and halved until the text that the server refuses stands alone.

use std::{error::Error as _, sync::Arc};

use arshai_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::{EMBED, Parts, reply};
use crate::transport::{Call, Refusal};

/// A text that every model can embed, to tell a request that is wrong from a text that is.
const HARMLESS: &str = "ready";

/// Pieces to send together, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) inputs: Vec<(usize, Arc<str>)>,
    pub(super) tokens: usize,
}

pub(super) enum Outcome {
    Done(Done),
    /// No batch of this call can succeed.
    Fatal(Error),
}

/// Rows of `dimension` values, and for each piece where its row begins.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) dimension: usize,
    pub(super) values: Vec<f32>,
    pub(super) rows: Vec<(usize, Result<usize, Failed>)>,
    pub(super) tokens: Option<u64>,
}

/// Why a piece has no vector.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// It is too long, and shorter ones may do.
    pub(super) is_too_long: bool,
    /// It is wrong by itself, and its neighbours are not.
    pub(super) is_its_own: bool,
}

/// Embeds a batch.
pub(super) async fn embed(parts: Arc<Parts>, batch: Batch) -> Outcome {
    let mut done = Done { tokens: Some(0), ..Done::default() };
    let mut waiting = vec![batch.inputs];
    let mut is_sound = parts.known_dimension().is_some();
    // The last is taken first, so that the order is kept.
    while let Some(inputs) = waiting.pop() {
        let error = match send(&parts, &inputs, batch.tokens).await {
            Ok(rows) => {
                done.add(&inputs, rows);
                is_sound = true;
                continue;
            }
            Err(error) => error,
        };
        if is_fatal(&error) {
            return Outcome::Fatal(error);
        }
        let refusal = refusal(&error);
        let is_too_long = refusal.is_some_and(Refusal::is_too_long);
        if error.kind() != ErrorKind::InvalidInput {
            done.fail(inputs, &error, false, false);
        } else if inputs.len() > 1 {
            if !is_sound && !is_too_long {
                if let Err(error) = Box::pin(send(&parts, &[(0, HARMLESS.into())], 1)).await {
                    return Outcome::Fatal(error);
                }
                is_sound = true;
            }
            let mut first = inputs;
            let second = first.split_off(first.len() / 2);
            waiting.extend([second, first]);
        } else {
            done.fail(inputs, &error, is_too_long, true);
        }
    }
    Outcome::Done(done)
}

impl Done {
    fn add(&mut self, inputs: &[(usize, Arc<str>)], rows: reply::Rows) {
        let base = self.values.len();
        self.dimension = rows.dimension;
        if self.values.is_empty() {
            self.values = rows.values;
        } else {
            self.values.extend_from_slice(&rows.values);
        }
        self.tokens = self.tokens.zip(rows.tokens).map(|(sum, more)| sum.saturating_add(more));
        let starts = (0..inputs.len()).map(|row| base + row * rows.dimension);
        self.rows.extend(inputs.iter().zip(starts).map(|((number, _), start)| (*number, Ok(start))));
    }

    fn fail(&mut self, inputs: Vec<(usize, Arc<str>)>, error: &Error, is_too_long: bool, is_its_own: bool) {
        self.rows.extend(
            inputs.into_iter().map(|(number, _)| {
                (number, Err(Failed { error: error.duplicate(), is_too_long, is_its_own }))
            }),
        );
    }
}

/// What is wrong with every batch alike.
fn is_fatal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unauthorized
            | ErrorKind::NotFound
            | ErrorKind::Config
            | ErrorKind::Unsupported
            | ErrorKind::Closed
            | ErrorKind::Internal
    )
}

fn refusal(error: &Error) -> Option<&Refusal> {
    error.source()?.downcast_ref()
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

/// One request. A server that refuses base64 is asked again without, now and from then on.
async fn send(parts: &Parts, inputs: &[(usize, Arc<str>)], tokens: usize) -> Result<reply::Rows> {
    let quirks = parts.transport.quirks();
    let base64 = quirks.takes_base64();
    let outcome = request(parts, inputs, tokens, base64).await;
    let Err(error) = &outcome else { return outcome };
    let said = refusal(error);
    let about = said.is_some_and(|said| said.is_about("encoding_format") || said.is_about("base64"));
    // Before the first success, any refusal may be about base64 without saying so.
    let perhaps = parts.known_dimension().is_none() && !said.is_some_and(Refusal::is_too_long);
    if !base64 || error.kind() != ErrorKind::InvalidInput || said.is_none() || !(about || perhaps) {
        return outcome;
    }
    let again = request(parts, inputs, tokens, false).await;
    if again.is_ok() {
        tracing::info!(
            host = parts.transport.endpoint().host(),
            "the server does not take base64; floats from now on"
        );
        quirks.set_takes_base64(false);
        return again;
    }
    outcome
}

async fn request(
    parts: &Parts,
    inputs: &[(usize, Arc<str>)],
    tokens: usize,
    base64: bool,
) -> Result<reply::Rows> {
    let mut call = Call::new(EMBED, &parts.model);
    call.tokens = tokens as u64;
    let expected = inputs.len();
    let request = Request {
        model: &parts.model,
        input: inputs.iter().map(|(_, text)| text.as_ref()).collect(),
        encoding_format: base64.then_some("base64"),
        dimensions: parts.config.dimensions,
    };
    let decode = move |reply: crate::transport::Reply| reply::decode(&reply.body, expected);
    let make =
        |api: crate::transport::Api| async move { api.embeddings().create_byot::<_, ()>(request).await };
    let rows = Box::pin(parts.transport.call(call, decode, make)).await?;
    parts.agree_on(rows.dimension).map_err(|error| error.with_operation(EMBED))?;
    Ok(rows)
}
