//! What a service answers, as sound.

use std::time::Duration;

use arshai_core::{Error, ErrorKind, Result, speech::AudioFormat};
use arshai_openai::{Body, Reply, Transport};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    join::Sound,
    sound::{self, Beginning},
};
use crate::wav::Awaited;

/// A reply that was read whole.
pub(super) fn decoded(reply: Reply, format: AudioFormat, transport: &Transport) -> Result<Bytes> {
    let kind = reply.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    if !sound::is_said(kind) {
        return Err(sound::no_sound(kind, &reply.body, |error| transport.reported(error)));
    }
    if reply.body.is_empty() {
        return Err(silent());
    }
    sound::check(&reply.body, format)?;
    let sound = Bytes::from(reply.body);
    let mut awaited = Awaited::default();
    if format == AudioFormat::Wav {
        awaited.take(&sound);
    }
    awaited.end().map(|()| sound)
}

/// The body, when it is sound by what the server says. Of what is none so much is read, and waited for so long, as may
/// tell why.
pub(super) async fn heard(mut body: Body) -> Result<Body> {
    const MOST: usize = 64 << 10;
    const PATIENCE: Duration = Duration::from_secs(2);
    if sound::is_said(body.content_type()) {
        return Ok(body);
    }
    let kind = body.content_type().map(str::to_owned);
    let mut beginning = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = body.chunk().await {
            beginning.extend_from_slice(&chunk);
            if beginning.len() > MOST {
                break;
            }
        }
    };
    // What was read by then is the beginning, whether or not more would come.
    let _in_time = tokio::time::timeout(PATIENCE, reading).await;
    Err(sound::no_sound(kind.as_deref(), &beginning, |error| body.reported(error)))
}

/// The sound as it arrives.
pub(super) fn arriving(body: Body, format: AudioFormat) -> Sound {
    let arrival = Arrival {
        body,
        format,
        beginning: Beginning::default(),
        awaited: Awaited::default(),
        was_sound: false,
    };
    stream::unfold(Some(arrival), |arrival| async move {
        let mut arrival = arrival?;
        match arrival.next().await {
            Ok(Some(sound)) => Some((Ok(sound), Some(arrival))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Arrival {
    body: Body,
    format: AudioFormat,
    beginning: Beginning,
    awaited: Awaited,
    was_sound: bool,
}

impl Arrival {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(chunk) = self.body.chunk().await? else { return self.end() };
            if let Some(sound) = self.beginning.take(chunk, self.format)?.filter(|sound| !sound.is_empty()) {
                return Ok(Some(self.told(sound)));
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>> {
        match self.beginning.rest(self.format)? {
            Some(rest) => Ok(Some(self.told(rest))),
            None if self.was_sound => self.awaited.end().map(|()| None),
            None => Err(silent()),
        }
    }

    fn told(&mut self, sound: Bytes) -> Bytes {
        self.was_sound = true;
        if self.format == AudioFormat::Wav {
            self.awaited.take(&sound);
        }
        sound
    }
}

fn silent() -> Error {
    Error::new(ErrorKind::Truncated, "the model sent no sound: try again, or with another text")
}
