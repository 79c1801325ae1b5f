use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::*;
use crate::{
    blocking::{Blocking, ChatModel, Embedder, MemoryStore, Runtime, Synthesizer, Tool, Transcriber},
    chat,
    chat::{ChatCapabilities, ChatEvent, ChatReply, ChatRequest},
    embed,
    embed::{EmbeddingBatch, Input},
    memory::{InMemoryMemory, MemoryKey, MemoryStoreExt as _},
    speech,
    speech::{
        Audio, AudioFormat, SpeakOptions, SpeechStream, TranscribeOptions, Transcript, TranscriptEvent,
    },
    tool,
    tool::{ToolDefinition, ToolOutput},
};

/// A part of somebody who knows no async. It waits to be let go, or until nobody can any more.
#[derive(Debug)]
struct Slow(ToolDefinition, Mutex<Receiver<()>>);

impl Slow {
    fn wait(&self) {
        let gate = self.1.lock().unwrap();
        assert!(gate.recv_timeout(Duration::from_secs(60)) != Err(RecvTimeoutError::Timeout), "held up");
    }
}

impl Tool for Slow {
    fn definition(&self) -> &ToolDefinition {
        &self.0
    }

    /// Says whether there is a limit to how long it may take.
    fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        assert!(!arguments.is_null(), "a defect");
        self.wait();
        Ok(ToolOutput::text(Deadline::current().is_some().to_string()))
    }
}

impl Embedder for Slow {
    fn id(&self) -> &str {
        "slow"
    }

    fn dimension(&self) -> Option<usize> {
        None
    }

    fn embed(&self, _texts: &[&str], _input: Input) -> Result<EmbeddingBatch> {
        self.wait();
        Err(Error::internal("it was let go"))
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn slow() -> (Sender<()>, Arc<Slow>) {
    let (go, gate) = channel();
    let definition = ToolDefinition {
        name: "slow".to_owned(),
        description: "Takes its time".to_owned(),
        parameters: serde_json::json!({}),
    };
    (go, Arc::new(Slow(definition, Mutex::new(gate))))
}

#[tokio::test]
async fn a_blocking_part_holds_up_no_task_and_its_panic_is_an_error() {
    let (go, slow) = slow();
    let tool = Offload::new(slow, &Settings::default()).unwrap();
    let call = tool::Tool::call(&tool, &Value::Bool(true));
    // Were the task held up, nothing would let the call go.
    let ticking = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        go.send(()).unwrap();
    };
    let (output, ()) = tokio::join!(call, ticking);
    assert_eq!(output.unwrap().text, "false");
    let error = tool::Tool::call(&tool, &Value::Null).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn it_is_refused_by_the_setting() {
    let settings = Settings { async_fallback_to_sync: false, ..Settings::default() };
    let error = Offload::new(slow().1, &settings).unwrap_err();
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

#[tokio::test]
async fn the_callers_deadline_holds_on_the_blocking_thread_and_ends_the_waiting() {
    let (go, slow) = slow();
    let tool = Offload::new(slow, &Settings::default()).unwrap();
    go.send(()).unwrap();
    let call = tool::Tool::call(&tool, &Value::Bool(true));
    assert_eq!(Deadline::after(Duration::from_secs(60)).scope(call).await.unwrap().text, "true");
    let call = tool::Tool::call(&tool, &Value::Bool(true));
    let error = Deadline::after(Duration::from_millis(100)).scope(call).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    drop(go);
}

#[tokio::test]
async fn a_read_that_is_cut_off_changed_nothing_and_what_comes_too_late_is_not_begun() {
    let (go, slow) = slow();
    let part = Offload::new(slow, &Settings::default()).unwrap();
    let deadline = Deadline::after(Duration::from_millis(20));
    let read = deadline.scope(embed::Embedder::embed(&part, &["text"], Input::Query)).await.unwrap_err();
    assert_eq!((read.kind(), read.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    // Begun, it would panic.
    let write = deadline.scope(tool::Tool::call(&part, &Value::Null)).await.unwrap_err();
    assert_eq!((write.kind(), write.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    drop(go);
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
    let (go, gate) = channel::<()>();
    let still = std::iter::once_with(move || gate.recv().map_err(|_gone| Error::internal("let go")));
    let runtime = Runtime::new().unwrap();
    let items = Deadline::after(Duration::from_millis(20))
        .scope(async { iterated(BlockingStream::new(stream::iter(still).boxed(), runtime)) })
        .await;
    let items: Vec<_> = items.collect().await;
    assert!(matches!(&items[..], [Err(error)] if error.kind() == ErrorKind::Timeout), "{items:?}");
    drop(go);
}

#[tokio::test]
async fn items_that_are_always_ready_do_not_carry_a_stream_past_the_deadline() {
    let (deadline, runtime) = (Deadline::after(Duration::from_millis(20)), Runtime::new().unwrap());
    let within =
        async |items| deadline.scope(async { iterated(BlockingStream::new(items, runtime.clone())) }).await;
    let ready = within(stream::iter(std::iter::repeat_with(|| Ok(1_u8))).boxed()).await;
    tokio::time::sleep(deadline.remaining() + Duration::from_millis(1)).await;
    let items: Vec<_> = ready.collect().await;
    assert!(matches!(&items[..], [Err(error)] if error.kind() == ErrorKind::Timeout), "{items:?}");
    // An end that is there is told, however late. Its thread has to come to it first.
    let mut has_ended = false;
    for _ in 0..1_000 {
        let empty = within(stream::empty().boxed()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        has_ended = has_ended || empty.collect::<Vec<_>>().await.is_empty();
        if has_ended {
            break;
        }
    }
    assert!(has_ended);
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
