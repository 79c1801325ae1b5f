//! Slow disks and pipes beside other work.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use arshai_core::speech::{Audio, TranscribeOptions, Transcriber as _};
use arshai_speech::TranscriberConfig;
use futures_util::future::join_all;

use crate::{ALONE, canned::Canned, transcriber};

const READERS: usize = 50;
const PIPES: usize = 50;
const BLOCKS: usize = 8;
const BLOCK: usize = 4_000;
/// What a block takes to be read or written. One of them on an async thread would show, and there are 800.
const SLOW: Duration = Duration::from_millis(120);
const BEAT: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_slow_recordings_hold_up_no_async_thread() {
    let _alone = ALONE.lock().await;
    let server = Canned::start();
    let transcriber = transcriber(&server.url(), TranscriberConfig::default());
    let options = TranscribeOptions::default();
    // Connections, threads and code pages that are needed once.
    transcriber.transcribe(slow_reader(), &options).await.unwrap();
    let before = server.received();

    let idle = largest_gap(tokio::time::sleep(SLOW * BLOCKS as u32 + BEAT)).await;
    let folder = tempfile::tempdir().unwrap();
    let pipes = pipes(folder.path());
    let audio = pipes.iter().map(Audio::file).chain((0..READERS).map(|_| slow_reader()));
    let all = join_all(audio.map(|audio| transcriber.transcribe(audio, &options)));
    let work = async {
        for heard in all.await {
            assert_eq!(heard.unwrap().text, "Heard");
        }
    };
    let busy = largest_gap(work).await;
    let sent = server.received() - before;
    assert!(sent > ((READERS + pipes.len()) * BLOCKS * BLOCK) as u64, "{sent} bytes");
    println!(
        "largest gap of a heartbeat of {BEAT:?}: {idle:?} idle, {busy:?} beside {} slow recordings",
        READERS + pipes.len()
    );
    assert!(busy <= idle * 3, "{busy:?} is more than three times {idle:?}");
}

/// The longest time between two beats while `work` is done.
async fn largest_gap(work: impl Future<Output = ()>) -> Duration {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let heart = tokio::spawn(async move {
        let (mut last, mut largest) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::select! {
                _ = &mut stopped => return largest,
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

fn slow_reader() -> Audio {
    struct Slow(usize);
    impl Read for Slow {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Ok(0);
            }
            self.0 -= 1;
            std::thread::sleep(SLOW);
            let length = BLOCK.min(room.len());
            room.iter_mut().take(length).for_each(|byte| *byte = 7);
            Ok(length)
        }
    }
    Audio::reader("slow.wav", Slow(BLOCKS))
}

/// Named pipes, each with somebody who writes slowly.
#[cfg(unix)]
fn pipes(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths: Vec<_> = (0..PIPES).map(|number| folder.join(format!("{number}.wav"))).collect();
    assert!(std::process::Command::new("mkfifo").args(&paths).status().unwrap().success());
    for path in paths.clone() {
        std::thread::spawn(move || {
            let mut pipe = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            for _ in 0..BLOCKS {
                std::thread::sleep(SLOW);
                io::Write::write_all(&mut pipe, &[7; BLOCK]).unwrap();
            }
        });
    }
    paths
}

#[cfg(not(unix))]
fn pipes(_folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    Vec::new()
}
