//! Messages as bytes: requests are encoded once for all attempts, and replies are decoded without copying.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{Buf as _, BufMut as _, Bytes};
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

/// Whether a request was handed to a connection: before, no server can have acted on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
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
        self.sent.0.store(true, Ordering::Release);
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
