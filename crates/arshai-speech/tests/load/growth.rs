//! How much memory a process takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Watches the resident memory of this process.
pub(crate) struct Growth {
    stop: Arc<AtomicBool>,
    watching: thread::JoinHandle<u64>,
}

impl Growth {
    pub(crate) fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let before = resident();
        let watching = thread::spawn(move || {
            let mut most = 0;
            while !seen.load(Ordering::SeqCst) {
                most = most.max(resident().saturating_sub(before));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        Self { stop, watching }
    }

    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.watching.join().unwrap()
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
