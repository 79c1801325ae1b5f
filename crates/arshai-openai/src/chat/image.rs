//! Images beside words.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

/// An image for the model to look at.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    source: Source,
    detail: ImageDetail,
}

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Url(String),
    Data { media_type: String, bytes: Bytes },
}

/// How closely the model looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ImageDetail {
    /// As the server likes.
    #[default]
    Auto,
    /// Cheaply.
    Low,
    /// Closely.
    High,
}

impl Image {
    /// An image that the server fetches.
    pub fn url(url: impl Into<String>) -> Self {
        Self { source: Source::Url(url.into()), detail: ImageDetail::default() }
    }

    /// An image that is sent along; `media_type` such as `image/png`.
    pub fn data(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let source = Source::Data { media_type: media_type.into(), bytes: bytes.into() };
        Self { source, detail: ImageDetail::default() }
    }

    /// The same looked at in another way.
    #[must_use]
    pub fn with_detail(mut self, detail: ImageDetail) -> Self {
        self.detail = detail;
        self
    }

    pub(super) fn part(&self) -> Value {
        let url = match &self.source {
            Source::Url(url) => url.clone(),
            Source::Data { media_type, bytes } => {
                format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
            }
        };
        let detail = match self.detail {
            ImageDetail::Auto => return json!({ "type": "image_url", "image_url": { "url": url } }),
            ImageDetail::Low => "low",
            ImageDetail::High => "high",
        };
        json!({ "type": "image_url", "image_url": { "url": url, "detail": detail } })
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut image = f.debug_struct("Image");
        match &self.source {
            // A URL may be signed.
            Source::Url(_) => image.field("source", &"url"),
            Source::Data { media_type, bytes } => {
                image.field("media_type", media_type).field("bytes", &bytes.len())
            }
        };
        image.field("detail", &self.detail).finish()
    }
}
