//! A server in trouble, played by a script: what it answers to the memory's commands, one after the other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use arshai_core::{
    Effect, ErrorKind,
    memory::{Memory, MemoryStore as _, Precondition, Put},
};
use arshai_redis::{RedisConfig, RedisMemory};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    at,
    harness::{Test, tests},
    key, memory,
};

const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";
const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
const BUSY: &str = "-BUSY Redis is busy running a script.\r\n";
const MAX_CLIENTS: &str = "-ERR max number of clients reached\r\n";
pub(crate) const WRITTEN: &str = "*1\r\n:1\r\n";

/// Commands by which a client greets, and the answers.
pub(crate) const GREETINGS: [(&str, &str); 5] = [
    ("AUTH", "+OK\r\n"),
    ("PING", "+PONG\r\n"),
    ("CLIENT", ":7\r\n"),
    ("INFO", "$19\r\nredis_version:8.2.3\r\n"),
    ("SELECT", "+OK\r\n"),
];

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_server_that_loads_or_is_busy_is_waited_for,
        a_refusal_that_stays_ends_with_a_kind_and_nothing_applied,
        a_server_that_takes_no_more_clients_or_no_stranger_is_named_as_such,
        a_thousand_callers_connect_once,
    ]
}

pub(crate) struct Scripted {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    replies: Arc<Mutex<VecDeque<String>>>,
    _serving: JoinSet<()>,
}

impl Scripted {
    /// Answers the commands of the memory by `replies`, then writes everything it is given.
    pub(crate) async fn start(greeting: Option<&'static str>, replies: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let replies: VecDeque<String> = replies.iter().map(|reply| (*reply).to_owned()).collect();
        let replies = Arc::new(Mutex::new(replies));
        let mut serving = JoinSet::new();
        let (told, script) = (Arc::clone(&heard), Arc::clone(&replies));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, greeting, Arc::clone(&told), Arc::clone(&script)));
            }
        });
        Self { port, heard, replies, _serving: serving }
    }

    /// One more reply, after the others.
    pub(crate) fn then(&self, reply: impl Into<String>) {
        self.replies.lock().unwrap().push_back(reply.into());
    }

    fn memory(&self) -> RedisMemory {
        let mut config = at(RedisConfig::default(), self.port);
        config.retries = 3;
        config.timeout = Duration::from_secs(20);
        memory(config)
    }

    /// How many commands of this name came; one that writes several keys counts for each.
    pub(crate) fn heard(&self, name: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| *heard == name).count()
    }
}

async fn serve(
    stream: TcpStream,
    greeting: Option<&'static str>,
    heard: Arc<Mutex<Vec<String>>>,
    replies: Arc<Mutex<VecDeque<String>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some((name, keys)) = command(&mut stream).await {
        heard.lock().unwrap().extend(std::iter::repeat_n(name.clone(), keys));
        let reply = match GREETINGS.iter().find(|(known, _)| *known == name) {
            Some((_, usual)) => greeting.unwrap_or(usual).to_owned(),
            None => replies.lock().unwrap().pop_front().unwrap_or_else(|| written(keys)),
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim().parse().ok()
}

/// Reads one command; its name, and for a script the number of its keys.
pub(crate) async fn command(stream: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut parts = Vec::new();
    for _ in 0..line(stream).await? {
        let mut part = vec![0; line(stream).await? + 2];
        stream.read_exact(&mut part).await.ok()?;
        part.truncate(part.len() - 2);
        parts.push(part);
    }
    let name = String::from_utf8_lossy(parts.first()?).to_uppercase();
    let keys = parts.get(2).filter(|_| name.starts_with("EVAL"));
    let keys = keys.and_then(|keys| std::str::from_utf8(keys).ok()?.parse().ok());
    Some((name, keys.unwrap_or(1)))
}

/// That each of so many keys was written.
fn written(keys: usize) -> String {
    match keys {
        1 => WRITTEN.to_owned(),
        _ => format!("*{}\r\n{}", 2 * keys, ":1\r\n$-1\r\n".repeat(keys)),
    }
}

async fn a_server_that_loads_or_is_busy_is_waited_for() {
    let server = Scripted::start(None, &[LOADING, BUSY, READONLY]).await;
    let put = server.memory().put(&key("loading"), &Memory::new("x"), Precondition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored(_)), "{put:?}");
    assert_eq!(server.heard("EVALSHA"), 4);
}

async fn a_refusal_that_stays_ends_with_a_kind_and_nothing_applied() {
    for (reply, kind, sent) in [
        (LOADING, ErrorKind::Unavailable, 4),
        (READONLY, ErrorKind::Unavailable, 4),
        (OOM, ErrorKind::Exhausted, 1),
        ("-NOPERM this user has no permissions to run the 'evalsha' command\r\n", ErrorKind::Unauthorized, 1),
        ("-MISCONF Errors writing to the AOF file: No space left on device\r\n", ErrorKind::Unavailable, 4),
        ("-ERR something new\r\n", ErrorKind::Protocol, 1),
        ("+odd\r\n", ErrorKind::Protocol, 1),
    ] {
        let server = Scripted::start(None, &[reply; 8]).await;
        let put = server.memory().put(&key("refused"), &Memory::new("x"), Precondition::Absent).await;
        let error = put.unwrap_err();
        assert_eq!((error.kind(), server.heard("EVALSHA")), (kind, sent), "{reply}: {error}");
        if kind != ErrorKind::Protocol {
            assert_eq!(error.effect(), Effect::NotApplied, "{reply}");
        }
    }
}

async fn a_server_that_takes_no_more_clients_or_no_stranger_is_named_as_such() {
    for (greeting, kind) in [
        (MAX_CLIENTS, ErrorKind::Exhausted),
        ("-NOAUTH Authentication required.\r\n", ErrorKind::Unauthorized),
        (LOADING, ErrorKind::Unavailable),
    ] {
        let server = Scripted::start(Some(greeting), &[]).await;
        let error =
            server.memory().put(&key("greeting"), &Memory::new("x"), Precondition::Absent).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{greeting}: {error}");
        assert_eq!(server.heard("EVALSHA"), 0);
    }
}

async fn a_thousand_callers_connect_once() {
    let server = Scripted::start(None, &[]).await;
    let store = server.memory();
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let store = store.clone();
        tasks.spawn(async move {
            store.put(&key("single"), &Memory::new("x"), Precondition::Absent).await.unwrap()
        });
    }
    while let Some(put) = tasks.join_next().await {
        assert!(matches!(put.unwrap(), Put::Stored(_)));
    }
    // The client greets with INFO once for each connection.
    assert_eq!((server.heard("EVALSHA"), server.heard("INFO")), (1_000, 1));
}
