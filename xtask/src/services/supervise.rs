//! `cargo xtask supervise`, started by the other commands: starts the processes of one service and makes sure that
//! they do not outlive the command that asked for them.
//!
//! A job is one line of JSON on standard input; the reply is one line on standard output, and one more for each process
//! that ends. From the first on standard input is the lifeline: when it closes — the command was interrupted, killed, or
//! panicked — every process is stopped. The line `detach` cuts it for `services up`: the processes stay until
//! `services down` stops them by their numbers.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};

use super::{
    finish::finish,
    identity::{ProcessId, raw},
    state::Member,
};
use crate::process;

/// How long a process may take to end by itself before it is killed. What it holds is thrown away in any case.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How long the last command of a job may take.
pub(crate) const CLEANUP: Duration = Duration::from_secs(60);

/// One process to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Its role.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// What it gets beside our own environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Where it writes.
    pub(crate) log: PathBuf,
}

impl Launch {
    /// The command, without a word on its input and output.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            // Cargo's own variables; its library path above all is not for foreign programs.
            let shown = name.to_string_lossy();
            if shown.starts_with("CARGO") || shown == "LD_LIBRARY_PATH" {
                command.env_remove(&name);
            }
        }
        command.args(&self.arguments).envs(&self.environment).current_dir(&self.folder);
        command
    }
}

/// What a supervisor is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What to start.
    pub(crate) launches: Vec<Launch>,
    /// What to run once all of it ended, for what outlives processes: containers.
    pub(crate) cleanup: Option<Launch>,
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Started(Vec<Member>),
    Failed(String),
    Ended(End),
}

/// How a process of a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Its role.
    pub(crate) name: String,
    /// Whether it ended with success, by its own account.
    pub(crate) is_success: bool,
    /// Its exit status or the signal, in words.
    pub(crate) status: String,
}

/// The side of the command that asked: while it lives, the processes live.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    lifeline: Option<ChildStdin>,
    ends: Receiver<End>,
    /// The supervisor itself.
    pub(crate) id: ProcessId,
    /// What it started.
    pub(crate) members: Vec<Member>,
}

impl Supervised {
    /// Starts a supervisor and through it the processes.
    pub(crate) fn start(job: &Job) -> Result<Self> {
        let program = process::own_program()?;
        let mut command = Command::new(program);
        // A group of its own: an interrupt from the terminal is for us, not for the supervisor.
        command.arg("supervise").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().context("starting the supervisor")?;
        // Asked for now: it waits for its job, and once it has done that it may end before we read its answer.
        let id = ProcessId::of(child.id()).context("the supervisor ended at once")?;
        let mut lifeline = child.stdin.take().context("the supervisor has no standard input")?;
        let mut line = serde_json::to_string(job).context("encoding a job")?;
        line.push('\n');
        lifeline.write_all(line.as_bytes()).context("handing over the job")?;
        let stdout = child.stdout.take().context("the supervisor has no standard output")?;
        let mut answers = BufReader::new(stdout);
        let mut line = String::new();
        answers.read_line(&mut line).context("reading the supervisor's answer")?;
        match serde_json::from_str(&line).context("the supervisor gave no answer")? {
            Answer::Started(members) => {
                let ends = ends_in(answers);
                Ok(Self { child, lifeline: Some(lifeline), ends, id, members })
            }
            Answer::Failed(reason) => bail!("{reason}"),
            Answer::Ended(_) => bail!("the supervisor told of an end before a beginning"),
        }
    }

    /// Waits until all processes have ended, and tells how; none when they have not ended in time.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Option<Vec<End>>> {
        let start = Instant::now();
        let mut ends = Vec::new();
        while ends.len() < self.members.len() {
            match self.ends.recv_timeout(patience.saturating_sub(start.elapsed())) {
                Ok(end) => ends.push(end),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("the supervisor ended before its processes did"),
            }
        }
        Ok(Some(ends))
    }

    /// Lets the processes live on without us.
    pub(crate) fn detach(mut self) -> Result<()> {
        match self.lifeline.take() {
            Some(mut lifeline) => lifeline.write_all(b"detach\n").context("detaching the supervisor"),
            None => Ok(()),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // After `detach` the lifeline is gone already, and nobody waits for the supervisor.
        if let Some(lifeline) = self.lifeline.take() {
            drop(lifeline);
            let _ = self.child.wait();
        }
    }
}

/// What the supervisor tells from now on.
fn ends_in(answers: impl io::BufRead + Send + 'static) -> Receiver<End> {
    let (tell, ends) = mpsc::channel();
    thread::spawn(move || {
        for line in answers.lines().map_while(Result::ok) {
            if let Ok(Answer::Ended(end)) = serde_json::from_str(&line) {
                if tell.send(end).is_err() {
                    return;
                }
            }
        }
    });
    ends
}

/// The supervisor's own life.
pub(crate) fn run() -> Result<()> {
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).context("reading the job")?;
    let job: Job = serde_json::from_str(&line).context("reading the job")?;
    let (events, happened) = mpsc::channel();
    let mut children = Children::default();
    let answer = match job.launches.iter().try_for_each(|launch| children.start(launch, &events)) {
        Ok(()) => Answer::Started(children.members.clone()),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let failed = matches!(answer, Answer::Failed(_));
    say(&answer)?;
    if failed {
        children.stop(&happened);
        return clean_up(job.cleanup.as_ref());
    }
    thread::spawn(move || {
        let mut line = String::new();
        let detached = input.read_line(&mut line).is_ok() && line.trim() == "detach";
        let _ = events.send(if detached { Event::Detached } else { Event::Abandoned });
    });
    while !children.all_ended() {
        match happened.recv() {
            Ok(Event::Ended(index)) => children.collect(index),
            Ok(Event::Detached) => {}
            Ok(Event::Abandoned) | Err(_) => children.stop(&happened),
        }
    }
    clean_up(job.cleanup.as_ref())
}

fn say(answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_string(answer).context("encoding an answer")?;
    line.push('\n');
    // Nobody reads it when the command was killed meanwhile, or let us live on; the lifeline tells the same.
    let _ = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
    Ok(())
}

/// Runs the last command of a job; its output follows that of the processes it cleans up after.
pub(crate) fn clean_up(launch: Option<&Launch>) -> Result<()> {
    match launch {
        Some(launch) => finish(launch.command(), &launch.log, CLEANUP)
            .with_context(|| format!("cleaning up after {}", launch.name)),
        None => Ok(()),
    }
}

/// What the supervisor waits for.
enum Event {
    /// A child ended and waits to be collected.
    Ended(usize),
    /// The command lets us live on.
    Detached,
    /// The command is gone.
    Abandoned,
}

/// The processes, each with the group it leads.
#[derive(Default)]
struct Children {
    members: Vec<Member>,
    /// None once collected.
    running: Vec<Option<Child>>,
}

impl Children {
    fn start(&mut self, launch: &Launch, events: &Sender<Event>) -> Result<()> {
        let log = File::create(&launch.log).with_context(|| format!("creating {}", launch.log.display()))?;
        let errors = log.try_clone().context("sharing a log")?;
        let mut command = launch.command();
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {}", launch.program.display()))?;
        let (index, pid) = (self.running.len(), child.id());
        self.running.push(Some(child));
        let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: "ended at once".to_owned() });
        self.members.push(Member { name: launch.name.clone(), id, log: launch.log.clone() });
        let events = events.clone();
        thread::spawn(move || {
            // It is not collected here: until then its number, and that of its group, belong to it.
            if let Some(pid) = raw(pid) {
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            }
            let _ = events.send(Event::Ended(index));
        });
        Ok(())
    }

    fn all_ended(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// Kills what a process that ended left in its group, collects it, and tells how it ended.
    fn collect(&mut self, index: usize) {
        if let Some(mut child) = self.running.get_mut(index).and_then(Option::take) {
            signal_group(&child, Signal::KILL);
            let name = self.members.get(index).map(|member| member.name.clone()).unwrap_or_default();
            let end = match child.wait() {
                Ok(status) => End { name, is_success: status.success(), status: status.to_string() },
                Err(error) => End { name, is_success: false, status: error.to_string() },
            };
            let _ = say(&Answer::Ended(end));
        }
    }

    /// Stops all: first asked to end, then killed.
    fn stop(&mut self, happened: &Receiver<Event>) {
        for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, GRACE)] {
            self.running.iter().flatten().for_each(|child| signal_group(child, signal));
            let start = Instant::now();
            while !self.all_ended() {
                match happened.recv_timeout(patience.saturating_sub(start.elapsed())) {
                    Ok(Event::Ended(index)) => self.collect(index),
                    Ok(Event::Detached | Event::Abandoned) => {}
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
        }
        self.running.clear();
    }
}

fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = raw(child.id()) {
        let _ = kill_process_group(pid, signal);
    }
}
