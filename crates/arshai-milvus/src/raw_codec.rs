//! Messages as bytes: requests are encoded once for all attempts, and replies are decoded without copying.

use std::sync::{Arc, OnceLock};

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::time::Instant;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// What stands before a message: whether it is compressed, and its length.
const HEAD: usize = 5;
const DECODING: usize = 8 * 1024;
/// A message is given on as soon as it is whole; there is no second one to wait for.
const AT_ONCE: usize = 0;

/// Leaves messages as they are.
#[derive(Debug, Clone)]
pub(crate) struct RawCodec {
    /// How long the request is, so that its buffer is made once.
    pub(crate) request: usize,
    pub(crate) sent: Sent,
}

/// Whether a request was handed to a connection: before, no server can have acted on it. It waits for that, until it is
/// either sent (`Some`, and when) or given up (`None`), never both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<OnceLock<Option<Instant>>>);

impl Sent {
    /// When it was sent.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.0.get().copied().flatten()
    }

    /// Keeps it from being sent from now on; `false` when it was.
    pub(crate) fn give_up(&self) -> bool {
        self.0.get_or_init(|| None).is_none()
    }

    /// Notes that it is being sent; `false` when it was given up.
    fn send(&self) -> bool {
        self.0.get_or_init(|| Some(Instant::now())).is_some()
    }
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    /// Called when a connection that stands asks for the request.
    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        if !self.sent.send() {
            return Err(Status::cancelled("the request was given up before it was sent"));
        }
        into.reserve(message.len());
        into.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(self.request + HEAD, AT_ONCE)
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(DECODING, AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_either_sent_or_given_up_whoever_comes_first() {
        let sent = Sent::default();
        assert!(sent.at().is_none() && sent.send());
        assert!(sent.at().is_some() && !sent.give_up());
        let given_up = Sent::default();
        assert!(given_up.give_up() && given_up.give_up());
        assert!(!given_up.send() && given_up.at().is_none());
    }
}
