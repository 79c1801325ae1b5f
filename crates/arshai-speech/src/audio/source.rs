//! What one request sends: a recording, or a part of it.

use std::{borrow::Cow, sync::Arc};

use arshai_core::{Error, Result};
use reqwest::{Body, multipart::Part};

use super::{Clip, Once, Stored, Why, mime};

const WAV: &str = "audio/wav";

/// What is sent, whole or in part.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Stored(Arc<Stored>, Clip),
    Once(Arc<Once>),
}

impl Source {
    /// A file or bytes. What arrived is sent once, as [`Audio::Stream`](arshai_core::speech::Audio::Stream) says.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        matches!(self, Self::Stored(stored, _) if !stored.has_arrived())
    }

    /// How long it is, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Stored(_, clip) => Some(clip.size()),
            Self::Once(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Stored(stored, _) => &stored.name,
            Self::Once(once) => &once.name,
        }
    }

    /// The name it is sent by: a part with a header of ours is a WAV file, whatever the whole is called.
    fn sent_name(&self) -> Cow<'_, str> {
        let name = self.name();
        match self {
            Self::Stored(_, clip) if !clip.header.is_empty() && mime(name) != WAV => {
                Cow::Owned(format!("{}.wav", name.rsplit_once('.').map_or(name, |(stem, _)| stem)))
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// How it is called in errors.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Stored(stored, _) => stored.title(),
            Self::Once(once) => once.name.escape_debug().to_string(),
        }
    }

    /// As a body; what arrives is cut at `limit`.
    pub(crate) fn body(&self, limit: u64, why: Why) -> Result<Body> {
        match self {
            Self::Stored(stored, clip) => Ok(stored.body(clip, why)),
            Self::Once(once) => {
                once.body(limit, why).ok_or_else(|| Error::internal("the recording was sent before"))
            }
        }
    }

    /// As a part of a form, with name, type and, where it is known, length.
    pub(crate) fn part(&self, limit: u64, why: Why) -> Result<Part> {
        let body = self.body(limit, why)?;
        let part = match self.size() {
            Some(size) => Part::stream_with_length(body, size),
            None => Part::stream(body),
        };
        let name = self.sent_name();
        let kind = mime(&name);
        let part = part.file_name(name.into_owned()).mime_str(kind);
        part.map_err(|error| Error::internal("a MIME type is none").with_source(error.without_url()))
    }
}
