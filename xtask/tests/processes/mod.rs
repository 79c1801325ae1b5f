//! Processes seen from outside.

use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Long enough for a slow machine; a test that passes never waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a process runs; one that ended and was not collected does not.
pub(crate) fn runs(pid: u64) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim_start().starts_with('Z')
}

/// They end, sooner or later.
pub(crate) fn assert_all_end(pids: &[u64]) {
    let start = Instant::now();
    for pid in pids {
        while runs(*pid) {
            assert!(start.elapsed() < PATIENCE, "process {pid} outlived its command");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
