//! Slow disks, readers and pipes beside other work.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

use arshai_core::speech::{Audio, TranscribeOptions, Transcriber as _};
use arshai_speech::TranscriberConfig;
use futures_util::{StreamExt as _, stream};

use crate::{ALONE, canned::Canned, transcriber};

const EACH: usize = 50;
const BLOCKS: usize = 8;
const BLOCK: usize = 4_000;
/// What a block takes to be read or written.
const SLOW: Duration = Duration::from_millis(150);
const BEAT: Duration = Duration::from_millis(5);
/// Recordings begin one after the other, as users do: their first steps are work and no waiting.
const STAGGER: Duration = Duration::from_millis(4);
/// A heart that beats later than this was held up, however steady it beats by itself.
const UNNOTICED: Duration = Duration::from_millis(7);
/// Other programs disturb a round, but not each of them; what blocks a thread does so every time.
const ROUNDS: usize = 4;

/// How late the latest beat was.
#[derive(Debug, Clone, Copy)]
struct Lateness {
    idle: Duration,
    busy: Duration,
}

impl Lateness {
    fn is_unnoticed(self) -> bool {
        self.busy <= self.idle.max(UNNOTICED) * 3
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, busy } = self;
        write!(
            f,
            "largest gap between beats: {BEAT:?} and {idle:?} idle, {BEAT:?} and {busy:?} beside recordings"
        )
    }
}

/// One async thread, on which the heart and the recordings are tasks: whatever blocks it is felt by the heart.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hundred_slow_recordings_hold_up_no_async_thread() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let pipes = pipes(&folder.path().join(round.to_string()));
        let audio = pipes.into_iter().chain((0..EACH).map(|_| slow_reader()));
        rounds.push(lateness(audio.collect()).await);
        println!("{}", rounds.last().unwrap());
        if rounds.last().unwrap().is_unnoticed() {
            return;
        }
    }
    panic!("an async thread was held up in every round: {rounds:?}");
}

/// The same measure of recordings that do block: it must not pass for unnoticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn recordings_that_block_an_async_thread_are_noticed() {
    let _alone = ALONE.lock().await;
    for _ in 0..2 {
        let blocking = (0..4).map(|_| {
            let blocks = slow_blocks();
            Audio::stream("slow.wav", stream::iter(blocks).map(Ok))
        });
        let lateness = lateness(blocking.collect()).await;
        println!("recordings that block: {lateness}");
        assert!(!lateness.is_unnoticed(), "{lateness}");
    }
}

async fn lateness(recordings: Vec<Audio>) -> Lateness {
    let server = Canned::start();
    let transcriber = transcriber(&server.url(), TranscriberConfig::default());
    // Connections, threads and code pages that are needed once.
    transcriber.transcribe(Audio::bytes("a.wav", "sound"), &TranscribeOptions::default()).await.unwrap();
    let before = server.received();
    let count = recordings.len();
    let idle = latest_beat(tokio::time::sleep(SLOW * BLOCKS as u32)).await;
    let work = async {
        let mut tasks = tokio::task::JoinSet::new();
        for audio in recordings {
            let transcriber = transcriber.clone();
            tasks.spawn(async move { transcriber.transcribe(audio, &TranscribeOptions::default()).await });
            tokio::time::sleep(STAGGER).await;
        }
        while let Some(heard) = tasks.join_next().await {
            assert_eq!(heard.unwrap().unwrap().text, "Heard");
        }
    };
    let busy = latest_beat(work).await;
    let sent = server.received() - before;
    assert!(sent > (count * BLOCKS * BLOCK) as u64, "{sent} bytes");
    Lateness { idle, busy }
}

/// How much longer than a beat the longest pause between two beats is while `work` is done.
async fn latest_beat(work: impl Future<Output = ()>) -> Duration {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let heart = tokio::spawn(async move {
        let (mut last, mut largest) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::select! {
                _ = &mut stopped => return largest,
                () = tokio::time::sleep(BEAT) => {
                    largest = largest.max(last.elapsed().saturating_sub(BEAT));
                    last = Instant::now();
                }
            }
        }
    });
    work.await;
    stop.send(()).unwrap();
    heart.await.unwrap()
}

/// Blocks that take their time, on the thread that asks for them.
fn slow_blocks() -> impl Iterator<Item = bytes::Bytes> {
    (0..BLOCKS).map(|_| {
        std::thread::sleep(SLOW);
        vec![7; BLOCK].into()
    })
}

fn slow_reader() -> Audio {
    struct Slow<B>(B);
    impl<B: Iterator<Item = bytes::Bytes>> Read for Slow<B> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(block) = self.0.next() else { return Ok(0) };
            room.get_mut(..block.len()).unwrap().copy_from_slice(&block);
            Ok(block.len())
        }
    }
    Audio::reader("slow.wav", Slow(slow_blocks()))
}

/// Files that are named pipes, each with somebody who writes slowly: to who opens them they are a slow disk.
#[cfg(unix)]
fn pipes(folder: &Path) -> Vec<Audio> {
    std::fs::create_dir(folder).unwrap();
    let paths: Vec<_> = (0..EACH).map(|number| folder.join(format!("{number}.wav"))).collect();
    assert!(std::process::Command::new("mkfifo").args(&paths).status().unwrap().success());
    for path in paths.clone() {
        std::thread::spawn(move || {
            let mut pipe = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            for block in slow_blocks() {
                io::Write::write_all(&mut pipe, &block).unwrap();
            }
        });
    }
    paths.into_iter().map(Audio::file).collect()
}

#[cfg(not(unix))]
fn pipes(_folder: &Path) -> Vec<Audio> {
    Vec::new()
}
