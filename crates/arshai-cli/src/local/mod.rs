//! The local embedder, where the program was built with it.

#[cfg(feature = "minilm")]
mod built_in;
#[cfg(feature = "minilm")]
mod download;

#[cfg(feature = "minilm")]
pub(crate) use built_in::*;

#[cfg(not(feature = "minilm"))]
pub(crate) async fn open(_printer: crate::output::Printer, _at_once: bool) -> crate::embedder::Opened {
    Err(arshai_core::Error::internal("the program was built without the local embedder"))
}
