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
/// Other programs disturb a round, idle or busy; the middle one of so many tells what the recordings do.
const ROUNDS: usize = 5;
const MOST: u32 = 3;

/// The longest times from one beat to the next, the beat's own among them.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    idle: Duration,
    busy: Duration,
}

impl Gaps {
    /// Whether the largest gap is at most three times that of the idle run.
    fn is_unnoticed(self) -> bool {
        self.busy <= self.idle * MOST
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, busy } = self;
        let times = busy.as_secs_f64() / idle.as_secs_f64();
        write!(f, "largest gap between beats: {idle:?} idle, {busy:?} beside recordings, {times:.1} times")
    }
}

/// Whether the recordings went unnoticed in most rounds; the median of the rounds, said otherwise. It ends when that is
/// decided.
#[expect(clippy::print_stdout, reason = "what was measured is told")]
async fn most_are_unnoticed(recordings: impl Fn(usize) -> Vec<Audio>) -> bool {
    let (mut unnoticed, mut noticed) = (0, 0);
    for round in 0..ROUNDS {
        let gaps = gaps(recordings(round)).await;
        println!("{gaps}");
        if gaps.is_unnoticed() {
            unnoticed += 1
        } else {
            noticed += 1
        }
        if unnoticed.max(noticed) > ROUNDS / 2 {
            break;
        }
    }
    unnoticed > noticed
}

/// One async thread, on which the heart and the recordings are tasks: whatever blocks it is felt by the heart. In the
/// median of five rounds the largest gap between two beats is at most three times that of an idle run just before it in
/// the same process.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hundred_slow_recordings_hold_up_no_async_thread() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let recordings = |round: usize| -> Vec<Audio> {
        let pipes = pipes(&folder.path().join(round.to_string()));
        pipes.into_iter().chain((0..EACH).map(|_| slow_reader())).collect()
    };
    assert!(most_are_unnoticed(recordings).await, "an async thread was held up");
}

/// The same measure of recordings that do block: it must not pass for unnoticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn recordings_that_block_an_async_thread_are_noticed() {
    let _alone = ALONE.lock().await;
    let blocking = |_round: usize| -> Vec<Audio> {
        let one = |_: usize| Audio::stream("slow.wav", stream::iter(slow_blocks()).map(Ok));
        (0..4).map(one).collect()
    };
    assert!(!most_are_unnoticed(blocking).await, "what blocks a thread was not noticed");
}

async fn gaps(recordings: Vec<Audio>) -> Gaps {
    let server = Canned::start();
    let transcriber = transcriber(&server.url(), TranscriberConfig::default());
    // Connections, threads and code pages that are needed once.
    transcriber.transcribe(Audio::bytes("a.wav", "sound"), &TranscribeOptions::default()).await.unwrap();
    let before = server.received();
    let count = recordings.len();
    // As long as the recordings take: the longer a run, the more of others' noise is in it.
    let as_long = SLOW * BLOCKS as u32 + STAGGER * count as u32;
    let idle = largest_gap(tokio::time::sleep(as_long)).await;
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
    let busy = largest_gap(work).await;
    let sent = server.received() - before;
    assert!(sent > (count * BLOCKS * BLOCK) as u64, "{sent} bytes");
    Gaps { idle, busy }
}

/// The longest time from one beat to the next while `work` is done.
async fn largest_gap(work: impl Future<Output = ()>) -> Duration {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let heart = tokio::spawn(async move {
        let (mut last, mut largest) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::select! {
                _ = &mut stopped => return largest.max(last.elapsed()),
                () = tokio::time::sleep(BEAT) => {
                    largest = largest.max(last.elapsed());
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
