//! A reply of a chat that is always the same, and arrives in pieces that take no notice of where an event ends.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep_until};

/// Events with words.
pub(crate) const EVENTS: usize = 32;
/// Pieces it is sent in. They share no divisor with the events, so that most of them end within one.
const PIECES: usize = 31;
/// The time between them: a thousand streams, all begun within it, are under way together.
const PACE: Duration = Duration::from_millis(40);

/// The words of the whole reply.
pub(crate) fn answer() -> String {
    (0..EVENTS).map(words).collect()
}

fn words(number: usize) -> String {
    format!("The words of event {number} – in UTF-8, 日本. ")
}

/// The whole reply as server-sent events.
pub(super) fn events() -> String {
    let mut events = String::new();
    let mut tell = |choices: serde_json::Value, usage: serde_json::Value| {
        let event = json!({
            "id": "canned", "object": "chat.completion.chunk", "created": 0, "model": "fixed",
            "choices": choices, "usage": usage,
        });
        let _ = write!(events, "data: {event}\n\n");
    };
    for number in 0..EVENTS {
        let delta = json!({"role": "assistant", "content": words(number)});
        tell(json!([{"index": 0, "delta": delta, "finish_reason": null}]), json!(null));
    }
    tell(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), json!(null));
    tell(json!([]), json!({"prompt_tokens": 40, "completion_tokens": 320, "total_tokens": 360}));
    events.push_str("data: [DONE]\n\n");
    events
}

/// Its pieces as chunks of HTTP/1.1, and the end of them.
pub(super) fn chunks(events: &str) -> Vec<Vec<u8>> {
    let pieces = events.as_bytes().chunks(events.len().div_ceil(PIECES));
    let mut chunks: Vec<Vec<u8>> =
        pieces.map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).collect();
    chunks.push(b"0\r\n\r\n".to_vec());
    chunks
}

/// Waits until the piece of this number is due.
pub(super) async fn due(started: Instant, number: usize) {
    sleep_until(started + PACE * u32::try_from(number).unwrap_or(u32::MAX)).await;
}
