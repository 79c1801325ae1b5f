//! Reads and writes of many callers in one command.
//!
//! A command costs the client and the server several times what it carries: a system call on each side, and in the
//! client a way of many steps. So when callers have [`MOST_ALONE`] commands of a kind under way on a connection, further
//! ones go together: they wait for one of [`MOST_TASKS`] tasks, and what waits when a task is free is one command: reads
//! one `MGET`, writes one script that does the same compare-and-set for each of its keys. That lasts until nobody waits;
//! then each is sent at once and as always.
//!
//! A caller may stop polling its future half way, and must hinder nobody by that: whoever waits is served by a task, never by
//! another caller.
//!
//! One caller's trouble is not another's: a key that the server cannot read or write, and everybody when the server
//! refuses the whole, is sent again alone and gets the answer it would have got.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arshai_core::{Error, ErrorKind};
use fred::{
    error::{Error as ClientError, ErrorKind as ClientErrorKind},
    types::Value,
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    connection::{Command, Connection, timed_out},
    reply::{Verdict, is_answer, is_unknown_script, refuses_several_keys},
    script,
};

/// Commands of one kind that callers send for themselves on one connection at any time.
const MOST_ALONE: usize = 20;
/// Commands under way for those who go together.
const MOST_TASKS: usize = 4;
/// Commands that go as one, at most.
const MOST_TOGETHER: usize = 64;
/// What they carry, at most, in bytes, there and, as far as can be foreseen, back; a larger one goes alone.
const MOST_BYTES: usize = 256 * 1024;
/// So many reads never go together: the client takes an array of that length for a message to subscribers when a value in
/// it is the name of one, and then gives each answer to the next caller.
const NEVER_READ_TOGETHER: std::ops::RangeInclusive<usize> = 3..=5;
/// Commands that may wait on one connection.
const MOST_WAITING: usize = 10_000;

/// What can be done for several keys at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

impl Kind {
    fn of(command: &Command) -> Option<Self> {
        match (command.name, command.args.as_slice()) {
            ("GET", [_key]) => Some(Self::Read),
            ("EVALSHA", [digest, _one, _key, _expected, _new, _ttl, _keep])
                if digest.as_bytes() == Some(script::COMPARE_AND_SET_SHA.as_bytes()) =>
            {
                Some(Self::Write)
            }
            _ => None,
        }
    }
}

/// What waits on one connection.
#[derive(Debug, Default)]
pub(crate) struct Together {
    reads: Queue,
    writes: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    line: Mutex<Line>,
    /// The server does not do this for several keys at once.
    alone: AtomicBool,
    /// About how large the largest of the last answers were, in bytes.
    answered: AtomicUsize,
}

#[derive(Debug, Default)]
struct Line {
    /// Commands under way that callers sent for themselves.
    alone: usize,
    /// Tasks that serve who waits: at least one while somebody does.
    tasks: usize,
    /// Whether one of them has yet to look who waits.
    is_starting: bool,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    give_up: Instant,
    answer: oneshot::Sender<Answered>,
    /// Whether it has left the line. Changes under the line's lock.
    taken: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Answered {
    By(Result<Value, ClientError>),
    /// It is to be sent alone.
    Alone(Command),
}

/// When a command is sent.
enum Turn {
    Now(Command, Alone),
    Later(oneshot::Receiver<Answered>, Arc<AtomicBool>),
}

/// A caller who sends for itself, until dropped.
struct Alone {
    connection: Arc<Connection>,
    kind: Kind,
}

/// A task that serves who waits, until nobody does.
struct Server {
    connection: Arc<Connection>,
    kind: Kind,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    Ended,
}

impl Together {
    fn queue(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
        }
    }

    fn line(&self, kind: Kind) -> MutexGuard<'_, Line> {
        self.queue(kind).line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Remembers a large answer for a while.
    fn saw(&self, answer: &Value) {
        let before = self.answered.load(Ordering::Relaxed);
        self.answered.store(size(answer).max(before.saturating_sub(before / 8)), Ordering::Relaxed);
    }
}

impl Connection {
    /// Sends a command once, if need be together with others, and waits for its answer. A verdict instead of that when it
    /// was not sent.
    pub(crate) async fn share(
        self: &Arc<Self>,
        command: Command,
        within: Duration,
    ) -> Result<Result<Value, ClientError>, Verdict> {
        let goes_together = |kind: &Kind| !self.together.queue(*kind).alone.load(Ordering::Relaxed);
        // What the client does for a command is boxed, as most callers only wait.
        let Some(kind) = Kind::of(&command).filter(goes_together) else {
            return Ok(Box::pin(self.send(command, within)).await);
        };
        let give_up = Instant::now() + within;
        let (mut coming, taken) = match self.turn(kind, command, give_up)? {
            Turn::Now(command, _alone) => {
                let answer = Box::pin(self.send(command, within)).await;
                answer.iter().for_each(|answer| self.together.queue(kind).saw(answer));
                return Ok(answer);
            }
            Turn::Later(coming, taken) => (coming, taken),
        };
        match tokio::time::timeout_at(give_up, &mut coming).await {
            Ok(Ok(Answered::By(answer))) => Ok(answer),
            Ok(Ok(Answered::Alone(command))) => {
                let left = give_up.saturating_duration_since(Instant::now());
                Ok(Box::pin(self.send(command, left)).await)
            }
            Ok(Err(_dropped)) if !taken.load(Ordering::Relaxed) => {
                Err(unsent(ErrorKind::Unavailable, "the connection ended before the command was sent"))
            }
            Ok(Err(_dropped)) => {
                Ok(Err(ClientError::new(ClientErrorKind::Canceled, "the connection ended before the answer")))
            }
            Err(_elapsed) => {
                // Nobody takes it from now on, or somebody has.
                let _line = self.together.line(kind);
                coming.close();
                match taken.load(Ordering::Relaxed) {
                    true => Ok(Err(timed_out())),
                    false => {
                        Err(unsent(ErrorKind::Timeout, "the time was over before the command's turn came"))
                    }
                }
            }
        }
    }

    fn turn(self: &Arc<Self>, kind: Kind, command: Command, give_up: Instant) -> Result<Turn, Verdict> {
        let mut line = self.together.line(kind);
        if line.tasks == 0 && line.alone < MOST_ALONE {
            line.alone += 1;
            return Ok(Turn::Now(command, Alone { connection: Arc::clone(self), kind }));
        }
        if line.waiting.len() >= MOST_WAITING {
            return Err(unsent(ErrorKind::Exhausted, "too many commands wait for the server"));
        }
        let (answer, coming) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        line.waiting.push_back(Waiting { command, give_up, answer, taken: Arc::clone(&taken) });
        if line.tasks < MOST_TASKS && !line.is_starting {
            line.tasks += 1;
            line.is_starting = true;
            // Where the runtime has ended the task is dropped at once, and takes the lock for that.
            drop(line);
            let server = Server { connection: Arc::clone(self), kind, state: State::Starting };
            // Where the connection lives, as this caller's runtime may be about to end.
            self.runtime.spawn(server.serve());
        }
        Ok(Turn::Later(coming, taken))
    }

    /// Sends what goes together, and tells everybody the answer.
    async fn send_together(&self, kind: Kind, mut all: Vec<Waiting>) {
        let queue = self.together.queue(kind);
        if all.len() == 1 {
            let Some(one) = all.pop() else { return };
            let within = one.give_up.saturating_duration_since(Instant::now());
            let answer = self.send(one.command, within).await;
            answer.iter().for_each(|answer| queue.saw(answer));
            return told(one.answer, Answered::By(answer));
        }
        let answer = match kind {
            Kind::Read => self.send(reads(&all), longest(&all)).await,
            Kind::Write => match self.send(writes(&all, false), longest(&all)).await {
                Err(error) if is_unknown_script(&error) => {
                    // A write given up meanwhile is not to arrive that late.
                    all.retain(|one| !one.answer.is_closed());
                    if all.is_empty() {
                        return;
                    }
                    self.send(writes(&all, true), longest(&all)).await
                }
                answer => answer,
            },
        };
        let answers = match answer {
            Ok(Value::Array(values)) => match kind {
                Kind::Read if values.len() == all.len() => values,
                Kind::Write if values.len() == all.len().saturating_mul(2) => pairs(values),
                _ => Vec::new(),
            },
            Ok(_) => Vec::new(),
            Err(error) if is_answer(&error) => {
                if refuses_several_keys(&error) {
                    queue.alone.store(true, Ordering::Relaxed);
                }
                Vec::new()
            }
            Err(error) => {
                return all.into_iter().for_each(|one| told(one.answer, Answered::By(Err(error.clone()))));
            }
        };
        // Where there is no answer that can be used, each asks for its own. For a write that changes nothing: what the
        // server refuses as a whole it has not begun, and a write that was made is recognised by its id.
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        for (one, answer) in all.into_iter().zip(answers) {
            let answered = match answer {
                None | Some(Value::Null) => Answered::Alone(one.command),
                Some(value) => {
                    queue.saw(&value);
                    Answered::By(Ok(value))
                }
            };
            told(one.answer, answered);
        }
    }
}

impl Server {
    /// What goes next, or the end of the task when nothing waits.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let queue = self.connection.together.queue(self.kind);
        let answered = queue.answered.load(Ordering::Relaxed);
        let mut line = self.connection.together.line(self.kind);
        if self.state == State::Starting {
            line.is_starting = false;
            self.state = State::Serving;
        }
        let mut all: Vec<Waiting> = Vec::new();
        let mut bytes = 0_usize;
        while all.len() < MOST_TOGETHER {
            let Some(next) = line.waiting.front() else { break };
            bytes = bytes.saturating_add(next.command.bytes().max(answered));
            if bytes > MOST_BYTES && !all.is_empty() {
                break;
            }
            // Nobody waits for those who gave up.
            all.extend(line.waiting.pop_front().filter(|waiting| !waiting.answer.is_closed()));
        }
        while self.kind == Kind::Read && NEVER_READ_TOGETHER.contains(&all.len()) {
            all.pop().into_iter().for_each(|last| line.waiting.push_front(last));
        }
        all.iter().for_each(|waiting| waiting.taken.store(true, Ordering::Relaxed));
        if all.is_empty() {
            line.tasks = line.tasks.saturating_sub(1);
            self.state = State::Ended;
            return None;
        }
        Some(all)
    }

    async fn serve(mut self) {
        while let Some(all) = self.next() {
            let connection = Arc::clone(&self.connection);
            connection.send_together(self.kind, all).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.state == State::Ended {
            return;
        }
        // The connection's runtime has ended, and nobody would ever serve who waits.
        let mut line = self.connection.together.line(self.kind);
        line.tasks = line.tasks.saturating_sub(1);
        line.is_starting &= self.state != State::Starting;
        line.waiting.clear();
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let mut line = self.connection.together.line(self.kind);
        line.alone = line.alone.saturating_sub(1);
    }
}

/// What was not sent has changed nothing.
fn unsent(kind: ErrorKind, message: &'static str) -> Verdict {
    Verdict::Refused { error: Error::new(kind, message).with_retryable(true), again: true, elsewhere: false }
}

fn longest(all: &[Waiting]) -> Duration {
    let now = Instant::now();
    all.iter().map(|waiting| waiting.give_up.saturating_duration_since(now)).max().unwrap_or_default()
}

/// How much it carries, in bytes.
fn size(answer: &Value) -> usize {
    match answer {
        Value::Array(parts) => parts.iter().map(size).sum(),
        _ => answer.as_bytes().map_or(0, <[u8]>::len),
    }
}

/// An answer that nobody waits for any more is dropped.
fn told(answer: oneshot::Sender<Answered>, answered: Answered) {
    let _ = answer.send(answered);
}

fn reads(all: &[Waiting]) -> Command {
    let keys = all.iter().filter_map(|waiting| waiting.command.args.first().cloned());
    Command::anywhere("MGET", keys.collect())
}

/// The writes as one script, by its digest or `in_full`.
fn writes(all: &[Waiting], in_full: bool) -> Command {
    let argument = |at: usize| all.iter().filter_map(move |waiting| waiting.command.args.get(at).cloned());
    let (name, script) = match in_full {
        true => ("EVAL", script::COMPARE_AND_SET_ALL),
        false => ("EVALSHA", script::COMPARE_AND_SET_ALL_SHA.as_str()),
    };
    let mut args = Vec::with_capacity(all.len().saturating_mul(3).saturating_add(4));
    args.extend([Value::from_static_str(script), Value::from(i64::try_from(all.len()).unwrap_or(i64::MAX))]);
    args.extend(argument(2));
    // How long values live is a setting of the store, the same for all.
    args.extend(argument(5).next().into_iter().chain(argument(6).next()));
    args.extend(argument(3).zip(argument(4)).flat_map(|(expected, new)| [expected, new]));
    Command::anywhere(name, args)
}

/// The answers of [`writes`] as each write alone would have got it, nothing for one that failed.
fn pairs(values: Vec<Value>) -> Vec<Value> {
    let mut values = values.into_iter();
    let mut answers = Vec::new();
    while let (Some(state), Some(current)) = (values.next(), values.next()) {
        answers.push(match state {
            Value::Integer(1) => Value::Array(vec![state]),
            Value::Integer(0) => Value::Array(vec![state, current]),
            _ => Value::Null,
        });
    }
    answers
}
