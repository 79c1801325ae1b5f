//! One batch: sent whole, and halved until the text that the server fails on stands alone.

use std::sync::Arc;

use arshai_core::{Error, ErrorKind, Result};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{EMBED, Parts, reply};
use crate::transport::{Call, Refusal};

/// A text that every model can embed, to tell a request that is wrong from a text that is.
const HARMLESS: &str = "ready";
/// So often may the server fail on a half: on the whole it has failed often enough. What is about the server or the way
/// to it (429, 503, a reset) is tried as often as ever.
const FAILURES: u32 = 2;
/// So often may the halves of a batch fail with what is not about its texts for certain.
const MOST_FAILURES: u32 = 40;

/// Pieces to send together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) inputs: Vec<Sending>,
}

/// A piece with its number.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) number: usize,
    pub(super) wording: Arc<str>,
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

/// Embeds a batch, with no more requests in flight than `lane` has places.
pub(super) async fn embed(parts: Arc<Parts>, batch: Batch, lane: Option<Arc<Semaphore>>) -> Outcome {
    let way = Way { parts, lane };
    let mut done = Done { tokens: Some(0), ..Done::default() };
    let is_single = batch.inputs.len() == 1;
    let mut waiting = vec![batch.inputs];
    // Whether a text of this batch, or a harmless one in its place, was embedded.
    let mut is_sound = false;
    let (mut allowed, mut failures) = (None, 0);
    // The last is taken first, so that the order is kept.
    while let Some(inputs) = waiting.pop() {
        let error = match way.send(&inputs, allowed).await {
            Ok(rows) => {
                done.add(&inputs, rows);
                is_sound = true;
                continue;
            }
            Err(error) => error,
        };
        let blame = Blame::of(&error);
        if blame == Blame::Everything {
            return Outcome::Fatal(error);
        }
        failures += 1;
        let is_refused = error.kind() == ErrorKind::InvalidInput;
        let is_hopeless = failures > MOST_FAILURES && !is_refused;
        if matches!(blame, Blame::Server) || is_hopeless {
            done.fail(inputs, &error, false);
            continue;
        }
        if is_single && error.kind() != ErrorKind::Unauthorized {
            // Nobody stands beside it to be told from.
            done.fail(inputs, &error, is_refused);
            continue;
        }
        if !is_sound {
            // Asked anew for each batch: what the server took before says nothing of a key, a quota or a deployment that
            // has changed since.
            match way.probe().await {
                Ok(()) => is_sound = true,
                // The harmless text fares no better: it is the request, the key or the server.
                Err(probe) if probe.is_retryable() => {
                    done.fail(inputs, &probe, false);
                    continue;
                }
                // Nothing was ever embedded: no batch of this call can be.
                Err(_) if is_refused && !way.parts.has_answered() => return Outcome::Fatal(error),
                Err(_) if error.kind() == ErrorKind::Unauthorized => return Outcome::Fatal(error),
                Err(_) => {
                    done.fail(inputs, &error, false);
                    continue;
                }
            }
        }
        if inputs.len() > 1 {
            allowed = Some(FAILURES);
            let mut first = inputs;
            let second = first.split_off(first.len() / 2);
            waiting.extend([second, first]);
        } else {
            done.fail(inputs, &error, true);
        }
    }
    Outcome::Done(done)
}

/// What an error is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// Every batch alike.
    Everything,
    /// The server or the way to it, as long as it lasts.
    Server,
    /// The texts together or one of them: too long.
    Length,
    /// One of the texts, it may be.
    Text,
}

impl Blame {
    fn of(error: &Error) -> Self {
        let refusal = Refusal::of(error);
        let status = refusal.map(|refusal| refusal.status);
        match error.kind() {
            ErrorKind::InvalidInput if refusal.is_some_and(Refusal::is_too_long) => Self::Length,
            // Filters answer 403 to a single text, servers fail on one, models give numbers for it that are none.
            ErrorKind::InvalidInput => Self::Text,
            ErrorKind::Protocol if is_about_content(error) => Self::Text,
            ErrorKind::Unauthorized if status == Some(403) => Self::Text,
            ErrorKind::Unavailable if status == Some(500) => Self::Text,
            ErrorKind::Unauthorized
            | ErrorKind::NotFound
            | ErrorKind::Config
            | ErrorKind::Unsupported
            | ErrorKind::Closed
            | ErrorKind::Internal => Self::Everything,
            _ => Self::Server,
        }
    }
}

/// A reply that cannot be read (some write NaN into it) or is too large; one in a wrong order is the server's fault.
fn is_about_content(error: &Error) -> bool {
    error.context().any(|(name, _)| matches!(name, "what" | "max_reply_bytes"))
}

impl Done {
    fn add(&mut self, inputs: &[Sending], rows: reply::Rows) {
        let base = self.values.len();
        self.dimension = rows.dimension;
        if self.values.is_empty() {
            self.values = rows.values;
        } else {
            self.values.extend_from_slice(&rows.values);
        }
        self.tokens = self.tokens.zip(rows.tokens).map(|(sum, more)| sum.saturating_add(more));
        for (row, input) in inputs.iter().enumerate() {
            let outcome = match rows.unusable.binary_search(&row) {
                Ok(_) => Err(Failed { error: not_finite(), is_too_long: false, is_its_own: true }),
                Err(_) => Ok(base + row * rows.dimension),
            };
            self.rows.push((input.number, outcome));
        }
    }

    fn fail(&mut self, inputs: Vec<Sending>, error: &Error, is_its_own: bool) {
        let is_too_long = is_its_own && Blame::of(error) == Blame::Length;
        self.rows.extend(
            inputs.into_iter().map(|input| {
                (input.number, Err(Failed { error: error.duplicate(), is_too_long, is_its_own }))
            }),
        );
    }
}

fn not_finite() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the server returned a vector with a value that is not finite; leave the text out, or look at the model",
    )
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

/// How the requests of a batch are sent.
struct Way {
    parts: Arc<Parts>,
    lane: Option<Arc<Semaphore>>,
}

impl Way {
    /// Whether the server embeds anything at all.
    async fn probe(&self) -> Result<()> {
        let harmless = Sending { number: 0, wording: HARMLESS.into(), tokens: 1 };
        Box::pin(self.send(&[harmless], Some(FAILURES))).await.map(drop)
    }

    /// One request. A server that refuses base64 is asked again without, now and from then on.
    async fn send(&self, inputs: &[Sending], failures: Option<u32>) -> Result<reply::Rows> {
        let parts = &self.parts;
        let quirks = parts.transport.quirks();
        let base64 = quirks.takes_base64();
        let outcome = self.request(inputs, failures, base64).await;
        let Err(error) = &outcome else { return outcome };
        let said = Refusal::of(error);
        let about = said.is_some_and(|said| said.is_about("encoding_format") || said.is_about("base64"));
        // Before the first success, any refusal may be about base64 without saying so.
        let perhaps = !parts.has_answered() && !said.is_some_and(Refusal::is_too_long);
        let is_refused = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported);
        if !base64 || !is_refused || said.is_none() || !(about || perhaps) {
            return outcome;
        }
        let again = self.request(inputs, failures, false).await;
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

    async fn request(&self, inputs: &[Sending], failures: Option<u32>, base64: bool) -> Result<reply::Rows> {
        let parts = &self.parts;
        let mut call = Call::new(EMBED, &parts.model);
        call.tokens = inputs.iter().map(|input| input.tokens as u64).sum();
        call.failures = failures;
        call.lane = self.lane.clone();
        let expected = inputs.len();
        let request = Request {
            model: &parts.model,
            input: inputs.iter().map(|input| input.wording.as_ref()).collect(),
            encoding_format: base64.then_some("base64"),
            dimensions: parts.config.dimensions,
        };
        let transport = parts.transport.clone();
        let decode = move |reply: crate::transport::Reply| {
            reply::decode(&reply.body, expected, |error| transport.reported(error))
        };
        let make =
            |api: crate::transport::Api| async move { api.embeddings().create_byot::<_, ()>(request).await };
        let rows = Box::pin(parts.transport.call(call, decode, make)).await?;
        parts.agree_on(rows.dimension).map_err(|error| error.with_operation(EMBED))?;
        Ok(rows)
    }
}
