use std::{sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::*;
use crate::{
    blocking::{Blocking, ChatModel, MemoryStore, Runtime, Synthesizer, Tool, Transcriber},
    chat,
    chat::{ChatCapabilities, ChatEvent, ChatReply, ChatRequest},
    memory::{InMemoryMemory, MemoryKey, MemoryStoreExt as _},
    speech,
    speech::{
        Audio, AudioFormat, SpeakOptions, SpeechStream, TranscribeOptions, Transcript, TranscriptEvent,
    },
    tool,
    tool::{ToolDefinition, ToolOutput},
};

/// A tool of somebody who knows no async.
#[derive(Debug)]
struct Slow(ToolDefinition);

impl Tool for Slow {
    fn definition(&self) -> &ToolDefinition {
        &self.0
    }

    fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        assert!(!arguments.is_null(), "a defect");
        thread::sleep(Duration::from_millis(50));
        Ok(ToolOutput::text(thread::current().name().unwrap_or_default()))
    }
}

fn slow() -> Arc<dyn Tool> {
    Arc::new(Slow(ToolDefinition {
        name: "slow".to_owned(),
        description: "Takes its time".to_owned(),
        parameters: serde_json::json!({}),
    }))
}

#[tokio::test]
async fn a_blocking_part_holds_up_no_task_and_its_panic_is_an_error() {
    let tool = Offload::new(slow(), &Settings::default()).unwrap();
    let call = tool::Tool::call(&tool, &Value::Bool(true));
    let mut ticks = 0;
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            ticks += 1;
        }
    };
    tokio::select! {
        output = call => drop(output.unwrap()),
        () = ticking => unreachable!(),
    }
    assert!(ticks > 1, "{ticks}");
    let error = tool::Tool::call(&tool, &Value::Null).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn it_is_refused_by_the_setting() {
    let settings = Settings { async_fallback_to_sync: false, ..Settings::default() };
    let error = Offload::new(slow(), &settings).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("ASYNC_FALLBACK_TO_SYNC"));
}

#[tokio::test]
async fn there_and_back_again_is_the_same_memory() {
    let memory = Arc::new(InMemoryMemory::new());
    let blocking: Arc<dyn MemoryStore> = Arc::new(Blocking::new(memory.clone(), Runtime::new().unwrap()));
    let offloaded = Offload::new(blocking, &Settings::default()).unwrap();
    let key = MemoryKey::new("c").unwrap();
    offloaded.store(&key, "hello", serde_json::Map::new()).await.unwrap();
    assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "hello");
}
/// A tool that says how long it may take.
#[derive(Debug)]
struct Patient(ToolDefinition);

impl Tool for Patient {
    fn definition(&self) -> &ToolDefinition {
        &self.0
    }

    fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        if arguments.is_null() {
            thread::sleep(Duration::from_millis(500));
        }
        Ok(ToolOutput::text(Deadline::current().is_some().to_string()))
    }
}

#[tokio::test]
async fn the_callers_deadline_holds_on_the_blocking_thread_and_ends_the_waiting() {
    let inner: Arc<dyn Tool> = Arc::new(Patient(slow().definition().clone()));
    let tool = Offload::new(inner, &Settings::default()).unwrap();
    let call = tool::Tool::call(&tool, &Value::Bool(true));
    assert_eq!(Deadline::after(Duration::from_secs(60)).scope(call).await.unwrap().text, "true");
    let call = tool::Tool::call(&tool, &Value::Null);
    let error = Deadline::after(Duration::from_millis(20)).scope(call).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
}

/// A model that begins to speak or write and then panics, or does not.
#[derive(Debug)]
struct Model {
    panics: bool,
}

impl Model {
    fn offloaded(panics: bool) -> Offload<Blocking<Self>> {
        let blocking = Blocking::new(Arc::new(Self { panics }), Runtime::new().unwrap());
        Offload::new(Arc::new(blocking), &Settings::default()).unwrap()
    }

    fn items<T: Send + 'static>(&self, item: T) -> Pin<Box<dyn Stream<Item = Result<T>> + Send>> {
        let panics = self.panics;
        let rest = stream::poll_fn(move |_| {
            assert!(!panics, "a defect");
            std::task::Poll::Ready(None)
        });
        stream::iter([Ok(item)]).chain(rest).boxed()
    }
}

#[async_trait]
impl chat::ChatModel for Model {
    fn id(&self) -> &str {
        "model"
    }

    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities::default()
    }

    async fn chat(&self, _request: ChatRequest) -> Result<ChatReply> {
        Err(Error::unsupported("it only streams"))
    }

    async fn stream(&self, _request: ChatRequest) -> Result<chat::ChatStream> {
        Ok(self.items(ChatEvent::Text("words".into())))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl speech::Transcriber for Model {
    fn id(&self) -> &str {
        "hears"
    }

    async fn transcribe(&self, _audio: Audio, options: &TranscribeOptions) -> Result<Transcript> {
        Ok(Transcript::new(options.language.clone().unwrap_or_default()))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl speech::Synthesizer for Model {
    fn id(&self) -> &str {
        "speaks"
    }

    async fn stream(&self, text: &str, options: &SpeakOptions) -> Result<SpeechStream> {
        Ok(SpeechStream::new(options.format, self.items(Bytes::from(text.to_owned()))))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_within_a_stream_is_told_and_taken_for_no_end() {
    fn model<T: ChatModel + 'static>(model: Offload<T>) -> impl chat::ChatModel {
        model
    }
    let request = || ChatRequest::new(Vec::new());
    let whole = chat::ChatModel::stream(&model(Model::offloaded(false)), request()).await.unwrap();
    assert_eq!(whole.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    let broken = chat::ChatModel::stream(&model(Model::offloaded(true)), request()).await.unwrap();
    let items: Vec<_> = broken.collect().await;
    assert_eq!(items.len(), 2);
    assert!(matches!(&items[1], Err(error) if error.kind() == ErrorKind::Internal), "{items:?}");
}

#[tokio::test]
async fn a_stream_that_stands_still_ends_at_the_callers_deadline() {
    let still =
        std::iter::repeat_with(|| thread::sleep(Duration::from_millis(300))).map(|()| Ok(1_u8)).take(1);
    let runtime = Runtime::new().unwrap();
    let items = Deadline::after(Duration::from_millis(20))
        .scope(async { iterated(BlockingStream::new(stream::iter(still).boxed(), runtime)) })
        .await;
    let items: Vec<_> = items.collect().await;
    assert!(matches!(&items[..], [Err(error)] if error.kind() == ErrorKind::Timeout), "{items:?}");
}

#[tokio::test]
async fn speech_goes_both_ways() {
    fn part<T: Transcriber + Synthesizer + 'static>(
        part: Offload<T>,
    ) -> impl speech::Transcriber + speech::Synthesizer {
        part
    }
    let part = part(Model::offloaded(false));
    let options = TranscribeOptions::default().with_language("en");
    let audio = || Audio::bytes("a.wav", vec![0]);
    let heard = speech::Transcriber::transcribe(&part, audio(), &options).await.unwrap();
    assert_eq!(heard.text, "en");
    let events = speech::Transcriber::stream(&part, audio(), &options).await.unwrap();
    let events: Vec<_> = events.try_collect().await.unwrap();
    assert!(matches!(events.last(), Some(TranscriptEvent::Done(_))), "{events:?}");
    let options = SpeakOptions::default().with_format(AudioFormat::Opus);
    let said = speech::Synthesizer::synthesize(&part, "hello", &options).await.unwrap();
    assert_eq!((said.format, &said.audio[..]), (AudioFormat::Opus, b"hello".as_slice()));
    let stream = speech::Synthesizer::stream(&part, "hello", &options).await.unwrap();
    let blocks: Vec<Bytes> = stream.audio.try_collect().await.unwrap();
    assert_eq!((stream.format, blocks.concat()), (AudioFormat::Opus, b"hello".to_vec()));
}
