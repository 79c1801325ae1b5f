//! Which process a number stands for: a pid alone may belong to another process by the time it is used.

use std::{
    fs,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// A process and when it started. Two processes never agree in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The number.
    pub(crate) pid: u32,
    /// When it started, in the machine's own words, the boot included.
    pub(crate) start: String,
}

impl ProcessId {
    /// The living process with this number.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        start_of(pid).map(|start| Self { pid, start })
    }

    /// Whether this very process still runs. One that ended and was not yet collected does not.
    pub(crate) fn is_alive(&self) -> bool {
        start_of(self.pid).is_some_and(|start| start == self.start)
    }

    /// Sends a signal to the group that this process leads; nothing when the process is gone.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), raw(self.pid)) {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Sends a signal to this process; nothing when it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), raw(self.pid)) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// A pid as the system calls take it.
pub(crate) fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn start_of(pid: u32) -> Option<String> {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(boot) => {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some(format!("{}/{}", boot.trim(), start_in_stat(&stat)?))
        }
        Err(_) => start_by_ps(pid),
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)); none for a process that ended (state Z or X).
fn start_in_stat(stat: &str) -> Option<&str> {
    // The second field is the program's name in parentheses and may hold anything, even `)`.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18) }
}

/// Where there is no `/proc`.
fn start_by_ps(pid: u32) -> Option<String> {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = ps.output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, start) = line.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_pid_is_another_process_and_is_not_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let real = ProcessId::of(child.id()).unwrap();
        let earlier = ProcessId { start: format!("{}0", real.start), ..real.clone() };
        assert!(real.is_alive() && !earlier.is_alive());
        earlier.signal(Signal::KILL);
        assert!(real.is_alive(), "the signal for an earlier process reached the one with its number");
        real.signal(Signal::KILL);
        child.wait().unwrap();
        assert!(!real.is_alive());
    }

    #[test]
    fn a_process_that_ended_is_not_alive_before_it_is_collected() {
        let mut child = Command::new("true").spawn().unwrap();
        let waited = rustix::process::waitid(
            rustix::process::WaitId::Pid(raw(child.id()).unwrap()),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        );
        assert!(waited.unwrap().is_some());
        assert_eq!(ProcessId::of(child.id()), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_program_name_with_a_parenthesis_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_in_stat(&format!("7 (a) b) {rest}")), Some("4711"));
        assert_eq!(start_in_stat(&format!("7 (a) {}", rest.replace('S', "Z"))), None);
    }
}
