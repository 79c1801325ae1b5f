//! Messages as bytes: requests are encoded once for all attempts, and replies are decoded without copying.

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
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawCodec {
    /// How long the request is, so that its buffer is made once.
    pub(crate) request: usize,
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
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
