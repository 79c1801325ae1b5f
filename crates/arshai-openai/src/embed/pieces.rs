//! The texts of a call, what is sent for them, and what came back.

use std::{borrow::Cow, collections::HashMap, mem, sync::Arc};

use arshai_core::{
    Error, ErrorKind, Result,
    embed::{EmbeddingBatch, Input},
};

use super::{
    batch::{Batch, Done, Failed, Outcome, Sending},
    config::{EmbedderConfig, TooLong},
    tokens,
};

/// Of the tokens allowed in a request, so many hundredths are filled: the count is an estimate.
const FILL: usize = 83;
/// A text is refused unsent only when it is too long by this factor: the count is an estimate.
const SURELY: usize = 4;

/// A call.
pub(super) struct Work<'t> {
    texts: Vec<Text<'t>>,
    pieces: Vec<Piece>,
    /// Where a piece of this wording stands.
    known: HashMap<Arc<str>, usize>,
    values: Vec<f32>,
    dimension: usize,
    tokens: Option<u64>,
    first_failure: Option<Error>,
}

/// A text of the caller's, as it is to be embedded.
struct Text<'t> {
    wording: Cow<'t, str>,
    /// Tokens of its longest piece at most.
    limit: usize,
    state: State,
}

enum State {
    /// Its vector is made of these pieces.
    Pieces(Vec<usize>),
    Failed(Error),
}

/// What is sent, once.
struct Piece {
    wording: Arc<str>,
    tokens: usize,
    outcome: Option<Result<usize, Failed>>,
}

impl<'t> Work<'t> {
    pub(super) fn new(texts: &[&'t str], input: Input, config: &EmbedderConfig) -> Self {
        let prefix = match input {
            Input::Document => &config.document_prefix,
            Input::Query => &config.query_prefix,
        };
        let mut work = Self {
            texts: Vec::with_capacity(texts.len()),
            pieces: Vec::with_capacity(texts.len()),
            known: HashMap::with_capacity(texts.len()),
            values: Vec::new(),
            dimension: 0,
            tokens: Some(0),
            first_failure: None,
        };
        for text in texts {
            let wording =
                if prefix.is_empty() { Cow::Borrowed(*text) } else { Cow::Owned(format!("{prefix}{text}")) };
            let limit = config.limits.tokens_per_input;
            let state = work.state(text, &wording, limit, config);
            work.texts.push(Text { wording, limit, state });
        }
        work
    }

    fn state(&mut self, text: &str, wording: &str, limit: usize, config: &EmbedderConfig) -> State {
        if text.is_empty() {
            return State::Failed(Error::invalid("the text is empty; leave it out"));
        }
        let count = |text: &str| config.tokens.count(text);
        let tokens = count(wording);
        let pieces = match config.too_long {
            TooLong::Error if tokens > limit.saturating_mul(SURELY) => {
                return State::Failed(
                    Error::invalid(
                        "the text is too long for the model; shorten it, or let it be cut (too_long)",
                    )
                    .with_context("tokens_about", tokens)
                    .with_context("limit", limit),
                );
            }
            _ if tokens <= limit || config.too_long == TooLong::Error => vec![self.piece(wording, tokens)],
            TooLong::Truncate => {
                let head = tokens::beginning_of_long(wording, limit, count);
                vec![self.piece(head, count(head))]
            }
            _ => self.split(wording, limit, count),
        };
        State::Pieces(pieces)
    }

    fn split(&mut self, wording: &str, limit: usize, count: impl Fn(&str) -> usize) -> Vec<usize> {
        let mut pieces = Vec::new();
        let mut rest = wording;
        while !rest.is_empty() {
            // Looking at no more than could fit keeps the work linear.
            let head = tokens::beginning_of_long(rest, limit, &count);
            rest = rest.get(head.len()..).unwrap_or_default();
            if !head.trim().is_empty() || pieces.is_empty() {
                pieces.push(self.piece(head, count(head)));
            }
        }
        pieces
    }

    fn piece(&mut self, wording: &str, tokens: usize) -> usize {
        if let Some(known) = self.known.get(wording) {
            return *known;
        }
        let number = self.pieces.len();
        let wording: Arc<str> = wording.into();
        self.known.insert(Arc::clone(&wording), number);
        self.pieces.push(Piece { wording, tokens, outcome: None });
        number
    }

    /// The pieces without an outcome, in batches bounded by count and tokens.
    pub(super) fn batches(&self, config: &EmbedderConfig) -> Vec<Batch> {
        let most = config.batch_size.min(config.limits.inputs_per_request);
        let room = (config.limits.tokens_per_request.saturating_mul(FILL) / 100).max(1);
        let mut batches = Vec::new();
        let (mut batch, mut tokens) = (Batch::default(), 0_usize);
        for (number, piece) in self.pieces.iter().enumerate().filter(|(_, piece)| piece.outcome.is_none()) {
            let is_full = batch.inputs.len() >= most || tokens.saturating_add(piece.tokens) > room;
            if is_full && !batch.inputs.is_empty() {
                batches.push(mem::take(&mut batch));
                tokens = 0;
            }
            tokens = tokens.saturating_add(piece.tokens);
            let wording = Arc::clone(&piece.wording);
            batch.inputs.push(Sending { number, wording, tokens: piece.tokens });
        }
        if !batch.inputs.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// Keeps what a batch brought, or hands on why no batch of this call can succeed.
    pub(super) fn take(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Done(done) => self.keep(done),
            Outcome::Fatal(error) => return Err(error),
        }
        Ok(())
    }

    fn keep(&mut self, done: Done) {
        self.tokens = match (self.tokens, done.tokens) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            _ => None,
        };
        if done.dimension > 0 {
            self.dimension = done.dimension;
        }
        let dimension = self.dimension;
        let whole = self.pieces.len().saturating_mul(dimension);
        let is_everything = self.values.is_empty()
            && done.values.len() == whole
            && done.rows.iter().all(|(number, row)| matches!(row, Ok(start) if *start == number * dimension));
        if is_everything {
            // One batch is the usual case, and its buffer is the result.
            self.values = done.values;
            self.settle(done.rows);
            return;
        }
        if self.values.is_empty() {
            // Zeroes by the system, page by page as they are written, and not all at once.
            self.values = vec![0.0; whole];
        }
        self.values.resize(whole, 0.0);
        for (number, row) in &done.rows {
            let Ok(start) = row else { continue };
            let from = done.values.get(*start..start + dimension);
            let to = self.values.get_mut(number * dimension..(number + 1) * dimension);
            if let (Some(from), Some(to)) = (from, to) {
                to.copy_from_slice(from);
            }
        }
        self.settle(done.rows);
    }

    /// Every piece has its row at its number, whichever batch came first.
    fn settle(&mut self, rows: Vec<(usize, Result<usize, Failed>)>) {
        for (number, outcome) in rows {
            if let Some(piece) = self.pieces.get_mut(number) {
                piece.outcome = Some(outcome.map(|_| number * self.dimension));
            }
        }
    }

    /// Gives texts that turned out too long shorter pieces, when they may be cut.
    pub(super) fn cut_again(&mut self, config: &EmbedderConfig) {
        if config.too_long == TooLong::Error {
            return;
        }
        let mut texts = mem::take(&mut self.texts);
        for text in &mut texts {
            let State::Pieces(pieces) = &text.state else { continue };
            let refused = pieces
                .iter()
                .filter_map(|number| self.pieces.get(*number))
                .any(|piece| matches!(&piece.outcome, Some(Err(failed)) if failed.is_too_long));
            if !refused {
                continue;
            }
            let counted = config.tokens.count(&text.wording);
            let limit = (text.limit.min(counted) * 2 / 3).max(1);
            if limit < text.limit {
                text.limit = limit;
                text.state = self.state(&text.wording, &text.wording, limit, config);
            }
        }
        self.texts = texts;
    }

    /// The vectors in the order of the texts.
    pub(super) fn into_batch(mut self, known_dimension: Option<usize>) -> Result<EmbeddingBatch> {
        let dimension = if self.dimension > 0 { self.dimension } else { known_dimension.unwrap_or(0) };
        let texts = mem::take(&mut self.texts);
        let mut values = if self.is_in_order(&texts) {
            mem::take(&mut self.values)
        } else {
            Vec::with_capacity(texts.len().saturating_mul(dimension))
        };
        let in_order = !values.is_empty();
        let mut failures = Vec::with_capacity(texts.len());
        let mut any = in_order;
        for text in texts {
            let failure = match text.state {
                _ if in_order => None,
                State::Failed(error) => Some(error),
                State::Pieces(pieces) => self.vector(&pieces, &mut values).err(),
            };
            if failure.is_some() && !in_order {
                values.resize(values.len() + dimension, 0.0);
            }
            any |= failure.is_none();
            failures.push(failure);
        }
        if !any {
            // Nothing succeeded: what is wrong with all of them is wrong with the call, unless each is wrong by itself.
            if let Some(error) = self.first_failure.take() {
                return Err(error);
            }
        }
        let mut batch = EmbeddingBatch::partial(dimension, values, failures)?;
        batch.tokens = self.tokens;
        Ok(batch)
    }

    /// Whether the buffer of the pieces is the buffer of the texts.
    fn is_in_order(&self, texts: &[Text<'_>]) -> bool {
        self.dimension > 0
            && self.values.len() == texts.len().saturating_mul(self.dimension)
            && texts.iter().enumerate().all(|(position, text)| {
                match &text.state {
                State::Pieces(pieces) => match pieces.as_slice() {
                    [one] => self.pieces.get(*one).is_some_and(|piece| {
                        matches!(piece.outcome, Some(Ok(start)) if start == position * self.dimension)
                    }),
                    _ => false,
                },
                State::Failed(_) => false,
            }
            })
    }

    /// Appends the vector made of these pieces.
    fn vector(&mut self, pieces: &[usize], values: &mut Vec<f32>) -> Result<()> {
        let mut rows = Vec::with_capacity(pieces.len());
        for number in pieces {
            let Some(piece) = self.pieces.get(*number) else { continue };
            match &piece.outcome {
                Some(Ok(start)) => {
                    let row = start.checked_add(self.dimension).and_then(|end| self.values.get(*start..end));
                    rows.push((piece.tokens.max(1), row.ok_or_else(lost)?));
                }
                Some(Err(failed)) => {
                    if !failed.is_its_own && self.first_failure.is_none() {
                        self.first_failure = Some(failed.error.duplicate());
                    }
                    return Err(failed.error.duplicate());
                }
                None => return Err(lost()),
            }
        }
        match rows.as_slice() {
            [] => Err(lost()),
            [(_, row)] => {
                values.extend_from_slice(row);
                Ok(())
            }
            rows => {
                values.extend(mean(rows, self.dimension));
                Ok(())
            }
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a text has no outcome")
}

/// The mean of vectors, weighted and of length 1.
fn mean(rows: &[(usize, &[f32])], dimension: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; dimension];
    for (weight, row) in rows {
        for (sum, value) in sum.iter_mut().zip(*row) {
            *sum += *weight as f64 * f64::from(*value);
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 1.0 };
    sum.into_iter().map(|value| (value * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::config::{EmbeddingLimits, TokenCounter};

    fn config(limits: EmbeddingLimits, too_long: TooLong) -> EmbedderConfig {
        let mut config = EmbedderConfig::default().with_limits(limits).with_too_long(too_long);
        config.tokens = TokenCounter::new(|text| text.split_whitespace().count());
        config
    }

    fn sizes(work: &Work<'_>, config: &EmbedderConfig) -> Vec<usize> {
        work.batches(config).iter().map(|batch| batch.inputs.len()).collect()
    }

    #[test]
    fn batches_are_bounded_by_count_and_by_tokens() {
        let limits = EmbeddingLimits { tokens_per_input: 100, inputs_per_request: 4, tokens_per_request: 12 };
        let config = config(limits, TooLong::Error);
        let short: Vec<String> = (0..9).map(|n| format!("text{n}")).collect();
        let short: Vec<&str> = short.iter().map(String::as_str).collect();
        assert_eq!(sizes(&Work::new(&short, Input::Document, &config), &config), [4, 4, 1]);
        let long = ["a a a a a", "b b b b b", "c c c c c c c c c c c c c c", "d"];
        assert_eq!(sizes(&Work::new(&long, Input::Document, &config), &config), [1, 1, 1, 1]);
    }

    #[test]
    fn duplicates_are_sent_once_and_empty_texts_not_at_all() {
        let config = EmbedderConfig::default();
        let work = Work::new(&["a", "b", "a", "", "a"], Input::Document, &config);
        assert_eq!(sizes(&work, &config), [2]);
        assert!(Work::new(&["", ""], Input::Document, &config).batches(&config).is_empty());
    }

    #[test]
    fn a_long_text_is_split_without_losing_a_word() {
        let limits = EmbeddingLimits { tokens_per_input: 3, ..EmbeddingLimits::OPENAI };
        let config = config(limits, TooLong::SplitAndMean);
        let work = Work::new(&["one two three four five six seven"], Input::Document, &config);
        let words: Vec<String> = work.pieces.iter().map(|piece| piece.wording.to_string()).collect();
        assert!(words.iter().all(|piece| piece.split_whitespace().count() <= 3), "{words:?}");
        assert_eq!(words.concat(), "one two three four five six seven");
    }

    #[test]
    fn a_very_long_text_is_cut_as_any_other() {
        let wholes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let seen = Arc::clone(&wholes);
        let words = |text: &str| text.split_whitespace().count();
        let limits = EmbeddingLimits { tokens_per_input: 100, ..EmbeddingLimits::OPENAI };
        let mut config = config(limits, TooLong::Truncate);
        config.tokens = TokenCounter::new(move |text| {
            seen.fetch_add(usize::from(text.len() > 10_000), std::sync::atomic::Ordering::Relaxed);
            words(text)
        });
        let text = "one two three ".repeat(200_000);
        let work = Work::new(&[&text], Input::Document, &config);
        let [piece] = work.pieces.as_slice() else { panic!("{} pieces", work.pieces.len()) };
        let expected = tokens::beginning(&text[..10_000], 100, words);
        assert_eq!((piece.wording.as_ref(), piece.tokens), (expected, 100));
        let wholes = wholes.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(wholes, 1, "only whether it is too long is asked of the whole");
    }

    #[test]
    fn texts_that_went_well_are_not_counted_again() {
        let counted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&counted);
        let mut config = EmbedderConfig::default().with_too_long(TooLong::Truncate);
        config.tokens = TokenCounter::new(move |_| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let mut work = Work::new(&["a", "b"], Input::Document, &config);
        let rows = (0..2).map(|number| (number, Ok(number * 3))).collect();
        let done = Done { dimension: 3, values: vec![1.0; 6], rows, tokens: None };
        work.take(Outcome::Done(done)).unwrap();
        let before = counted.load(std::sync::atomic::Ordering::Relaxed);
        work.cut_again(&config);
        assert_eq!(counted.load(std::sync::atomic::Ordering::Relaxed), before);
    }

    #[test]
    fn a_mean_is_weighted_and_normalised() {
        assert_eq!(mean(&[(3, &[1.0, 0.0]), (4, &[0.0, 1.0])], 2), [0.6, 0.8]);
        assert_eq!(mean(&[(1, &[0.0, 0.0])], 2), [0.0, 0.0]);
    }
}
