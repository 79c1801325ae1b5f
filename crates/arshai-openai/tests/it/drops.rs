//! Callers who leave at any point.

use arshai_conformance::{Dropped, drop_harness};
use arshai_core::{
    Error, Result,
    chat::{ChatMessage, ChatModel as _, ChatModelExt as _, ChatRequest, UserMessage},
    embed::{Embedder as _, EmbedderExt as _, Input},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use wiremock::ResponseTemplate;

use crate::{
    chat_model, embedder,
    fake::{Embeddings, Raw, event_stream, events, piece, reply},
    quick,
};

fn said(outcome: Dropped<Result<()>>) -> std::result::Result<(), String> {
    match outcome.completed() {
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn an_embedding_dropped_at_any_point_leaves_the_next_one_whole() {
    let (server, _) = Embeddings::start(|number, body| {
        let poisoned = body["input"].as_array().unwrap().iter().any(|text| text == "poison");
        match (number % 5, poisoned) {
            (0, _) => Some(ResponseTemplate::new(429)),
            (_, true) => Some(ResponseTemplate::new(400)),
            _ => None,
        }
    })
    .await;
    let mut config = quick(&server.uri());
    // One place: a call that kept it when it was dropped would stop the next one.
    config.max_concurrency = 1;
    let embedder = embedder(config);
    let polls = drop_harness(
        |_run| async {
            let batch = embedder.embed(&["text 1", "poison", "text 2"], Input::Document).await?;
            assert!(batch.row(1).unwrap().is_err());
            Ok::<(), Error>(())
        },
        |_run, dropped| async {
            said(dropped)?;
            match embedder.embed_query("text 9").await {
                Ok(vector) if vector[0] == 9.0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
    .unwrap();
    assert!(polls > 3, "{polls}");
    embedder.close().await.unwrap();
}

#[tokio::test]
async fn a_chat_and_a_stream_dropped_at_any_point_leave_the_next_one_whole() {
    let server = Raw::start(|_, body, mut socket| async move {
        let streams = serde_json::from_str::<Value>(&body).unwrap()["stream"] == true;
        let pieces = events(&[
            piece(json!({ "content": "hel" }), None),
            piece(json!({ "content": "lo" }), Some("stop")),
        ]);
        let whole = json!({ "choices": [{ "message": { "content": "hello" }, "finish_reason": "stop" }] });
        let bytes = match streams {
            true => event_stream(&(pieces + "data: [DONE]\n\n")),
            false => reply("application/json", &whole.to_string()),
        };
        for part in bytes.chunks(40) {
            socket.write_all(part).await.ok()?;
            tokio::task::yield_now().await;
        }
        Some(socket)
    })
    .await;
    let mut config = quick(&server.url());
    config.max_concurrency = 1;
    let model = chat_model(config);
    let hello = || async {
        let reply = model.ask("", "hi").await.map_err(|error| error.to_string())?;
        if reply.text == "hello" { Ok(()) } else { Err(reply.text) }
    };
    let stream = |_run| async {
        let request = ChatRequest::new(vec![ChatMessage::User(UserMessage::new("hi"))]);
        let mut stream = model.stream(request).await?;
        while let Some(event) = stream.next().await {
            event?;
        }
        Ok::<(), Error>(())
    };
    let after = |_run, dropped| async {
        said(dropped)?;
        hello().await
    };
    drop_harness(stream, after).await.unwrap();
    drop_harness(|_run| async { model.ask("", "hi").await.map(drop) }, after).await.unwrap();
    model.close().await.unwrap();
}
