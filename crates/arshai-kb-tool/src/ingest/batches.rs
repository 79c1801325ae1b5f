//! Chunks of many documents, gathered into batches of one size.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};

use super::{Item, prepare::Prepared};

/// One chunk to write.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) document: Arc<Prepared>,
    pub(super) number: usize,
}

/// What the run does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these.
    Batch(Vec<Piece>),
    /// Take note: nothing to write.
    Note(Item),
}

struct Gather<'a> {
    items: Pin<Box<dyn Stream<Item = Item> + Send + 'a>>,
    pieces: VecDeque<Piece>,
    ended: bool,
}

/// Batches of `size` chunks (the last may be smaller), and the items that need no writing as they come.
pub(super) fn batches<'a>(
    items: impl Stream<Item = Item> + Send + 'a,
    size: usize,
) -> impl Stream<Item = Work> + Send + 'a {
    let gather = Gather { items: Box::pin(items), pieces: VecDeque::new(), ended: false };
    stream::unfold(gather, move |mut gather| async move {
        loop {
            if gather.pieces.len() >= size || (gather.ended && !gather.pieces.is_empty()) {
                let full = gather.pieces.len().min(size);
                return Some((Work::Batch(gather.pieces.drain(..full).collect()), gather));
            }
            if gather.ended {
                return None;
            }
            match gather.items.next().await {
                None => gather.ended = true,
                Some(Item::Document(document)) if !document.missing.is_empty() => {
                    let pieces = document
                        .missing
                        .iter()
                        .map(|number| Piece { document: Arc::clone(&document), number: *number });
                    gather.pieces.extend(pieces);
                }
                Some(item) => return Some((Work::Note(item), gather)),
            }
        }
    })
}
