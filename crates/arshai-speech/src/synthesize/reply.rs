//! What a service answers, as sound.

use arshai_core::{Error, ErrorKind, Result, speech::AudioFormat};
use arshai_openai::{Body, Reply, Transport};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    join::Sound,
    sound::{self, Beginning},
};

/// A reply that was read whole.
pub(super) fn decoded(reply: Reply, format: AudioFormat, transport: &Transport) -> Result<Bytes> {
    let kind = reply.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    if !sound::is_said(kind) {
        return Err(sound::no_sound(kind, &reply.body, transport));
    }
    sound::check(&reply.body, format)?;
    match reply.body.is_empty() {
        true => Err(silent()),
        false => Ok(reply.body.into()),
    }
}

/// The body, when it is sound by what the server says.
pub(super) async fn heard(mut body: Body, transport: &Transport) -> Result<Body> {
    const MOST: usize = 64 << 10;
    if sound::is_said(body.content_type()) {
        return Ok(body);
    }
    let kind = body.content_type().map(str::to_owned);
    let mut beginning = Vec::new();
    while let Ok(Some(chunk)) = body.chunk().await {
        beginning.extend_from_slice(&chunk);
        if beginning.len() > MOST {
            break;
        }
    }
    Err(sound::no_sound(kind.as_deref(), &beginning, transport))
}

/// The sound as it arrives.
pub(super) fn arriving(body: Body, format: AudioFormat) -> Sound {
    let start = Some((body, Beginning::default(), false));
    stream::unfold(start, move |state| async move {
        let (mut body, mut beginning, mut was_sound) = state?;
        loop {
            let taken = match body.chunk().await {
                Ok(Some(chunk)) => beginning.take(chunk, format),
                Ok(None) => match beginning.rest() {
                    Some(rest) => return Some((Ok(rest), Some((body, beginning, true)))),
                    None if was_sound => return None,
                    None => Err(silent()),
                },
                Err(error) => Err(error),
            };
            match taken {
                Ok(Some(sound)) if sound.is_empty() => {}
                Ok(Some(sound)) => {
                    was_sound = true;
                    return Some((Ok(sound), Some((body, beginning, was_sound))));
                }
                Ok(None) => {}
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

fn silent() -> Error {
    Error::new(ErrorKind::Truncated, "the model sent no sound: try again, or with another text")
}
