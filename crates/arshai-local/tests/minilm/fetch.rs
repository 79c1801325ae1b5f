//! Fetching by several at once. Each waits for the one that downloads.

use std::{fs, sync::Mutex, thread};

use arshai_local::{Progress, Weights};

#[test]
fn two_that_fetch_at_once_end_with_one_good_file() {
    let folder = tempfile::tempdir().unwrap();
    let started: Mutex<Vec<Progress>> = Mutex::default();
    thread::scope(|scope| {
        let fetch = || {
            Weights::fetch_into(folder.path(), |progress| {
                if progress.received == 0 {
                    started.lock().unwrap().push(progress);
                }
            })
        };
        let fetches = [scope.spawn(fetch), scope.spawn(fetch)];
        for fetch in fetches {
            let weights = fetch.join().unwrap().unwrap();
            assert_eq!(fs::metadata(weights.model()).unwrap().len(), 22_928_619);
        }
    });
    let started = started.into_inner().unwrap();
    assert_eq!(started.first().unwrap().total, Weights::DOWNLOAD_BYTES);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".fetch.lock", "model.onnx", "tokenizer.json"], "no temporary files are left");
    assert!(Weights::in_folder(folder.path()).is_some());
}
