//! Servers that a cluster or a sentinel names, played by scripts; and what a server hears of a connection given up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arshai_core::{
    Deadline, Effect, ErrorKind,
    config::Secret,
    memory::{KeyPrefix, Memory, MemoryKey, MemoryStore as _, PageRequest, Precondition, Put},
};
use arshai_redis::{RedisConfig, RedisServer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use crate::{
    MINUTE, at,
    harness::{Test, tests},
    key, memory,
    trouble::{GREETINGS, Scripted, WRITTEN, command},
};

/// An address that nobody has (RFC 5737).
const ELSEWHERE: &str = "192.0.2.1";
const NO_ASKING: &str = "-NOPERM this user has no permissions to run the 'asking' command\r\n";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_password_is_not_sent_in_the_clear_to_a_node_that_the_cluster_names,
        a_password_is_not_sent_in_the_clear_to_a_master_that_a_sentinel_names,
        a_node_that_knows_no_slots_is_not_believed,
        a_removal_whose_later_page_is_refused_tells_what_was_removed,
        an_announcement_that_is_refused_does_not_hide_that_the_write_was_made,
        what_was_not_sent_when_a_connection_was_given_up_never_arrives,
    ]
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// An answer to `CLUSTER SLOTS`.
fn slots(rows: &[(u16, u16, &str, u16)]) -> String {
    let rows = rows.iter().map(|(first, last, host, port)| {
        format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n{}:{port}\r\n", bulk(host))
    });
    format!("*{}\r\n{}", rows.len(), rows.collect::<String>())
}

/// A page of a listing.
fn page(cursor: u64, keys: &[&MemoryKey]) -> String {
    let names: String = keys.iter().map(|key| bulk(&key.stored())).collect();
    format!("*3\r\n{}{}*{}\r\n{names}", bulk("f00"), bulk(&cursor.to_string()), keys.len())
}

fn cluster_of(teller: &Scripted) -> RedisConfig {
    let mut config = RedisConfig::default();
    config.server = RedisServer::Cluster(vec![("127.0.0.1".to_owned(), teller.port)]);
    config.connections = 1;
    config.retries = 3;
    config
}

/// It is refused at once, by the name of the host, and works with leave as far as the network goes.
async fn refuses_elsewhere(mut config: RedisConfig) {
    config.password = Some(Secret::new("hunter2"));
    let began = Instant::now();
    let put = memory(config).put(&key("clear"), &Memory::new("x"), Precondition::Absent).await;
    let error = put.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotApplied), "{error}");
    let told = format!("{error} {error:?}");
    assert!(told.contains(ELSEWHERE) && told.contains("allow_plaintext_password"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(1), "it was tried: {:?}", began.elapsed());
}

async fn a_password_is_not_sent_in_the_clear_to_a_node_that_the_cluster_names() {
    let teller = Scripted::start(None, &[&slots(&[(0, 16_383, ELSEWHERE, 6379)])]).await;
    refuses_elsewhere(cluster_of(&teller)).await;
    // Nor where a redirection says.
    let teller = Scripted::start(None, &[]).await;
    teller.then(slots(&[(0, 16_383, "", teller.port)]));
    teller.then(format!("-MOVED 1 {ELSEWHERE}:6379\r\n"));
    refuses_elsewhere(cluster_of(&teller)).await;
    assert_eq!(teller.heard("EVALSHA"), 1);
}

async fn a_password_is_not_sent_in_the_clear_to_a_master_that_a_sentinel_names() {
    let named = format!("*2\r\n{}{}", bulk(ELSEWHERE), bulk("6379"));
    let sentinel = Scripted::start(None, &[&named]).await;
    let mut config = RedisConfig::default();
    config.server = RedisServer::Sentinel {
        sentinels: vec![("127.0.0.1".to_owned(), sentinel.port)],
        service: "m".to_owned(),
        username: None,
        password: None,
    };
    refuses_elsewhere(config).await;
    assert_eq!((sentinel.heard("SENTINEL"), sentinel.heard("AUTH")), (1, 0));
}

async fn a_node_that_knows_no_slots_is_not_believed() {
    let run = key("slots").conversation().to_owned();
    let keys = ["one", "two"].map(|name| MemoryKey::new(format!("{run}-{name}")).unwrap());
    let first = Scripted::start(None, &[&page(0, &[&keys[0]])]).await;
    let second = Scripted::start(None, &[&page(0, &[&keys[1]])]).await;
    let whole = slots(&[(0, 8_000, "127.0.0.1", first.port), (8_001, 16_383, "127.0.0.1", second.port)]);
    let teller = Scripted::start(None, &["*0\r\n", &whole]).await;
    let store = memory(cluster_of(&teller));
    let (set, request) = (KeyPrefix::conversations(&run), PageRequest::default());
    let error = store.list(&set, &request).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
    assert_eq!(teller.heard("EVAL") + first.heard("EVAL") + second.heard("EVAL"), 0);
    let page = store.list(&set, &request).await.unwrap();
    assert_eq!((page.keys.as_slice(), page.next), (keys.as_slice(), None), "of all masters");
}

async fn a_removal_whose_later_page_is_refused_tells_what_was_removed() {
    /// A page, after which the removals of this page come.
    const PAGE: usize = 500;
    let run = key("pages").conversation().to_owned();
    let keys: Vec<_> = (0..PAGE).map(|n| MemoryKey::new(format!("{run}-{n}")).unwrap()).collect();
    let refusal = "-ERR something new\r\n";
    let first = page(17, &keys.iter().collect::<Vec<_>>());
    let mut half_way = vec![first.as_str()];
    half_way.extend([":1\r\n"; PAGE]);
    half_way.push(refusal);
    for (replies, effect, removed) in
        [(vec![refusal], Effect::NotApplied, None), (half_way, Effect::Unknown, Some("500"))]
    {
        let server = Scripted::start(None, &replies).await;
        let mut config = at(RedisConfig::default(), server.port);
        config.retries = 0;
        let error = memory(config).delete_all(&KeyPrefix::conversations(&run)).await.unwrap_err();
        let told =
            error.context().find(|(name, _)| *name == "removed").map(|(_, removed)| removed.to_owned());
        assert_eq!((error.effect(), told.as_deref()), (effect, removed), "{error:?}");
        assert_eq!(server.heard("UNLINK"), if removed.is_some() { PAGE } else { 0 });
    }
}

async fn an_announcement_that_is_refused_does_not_hide_that_the_write_was_made() {
    for (answer, refused) in [(WRITTEN, false), ("-MOVED 1 127.0.0.1:1\r\n", true)] {
        let (from, to) =
            (Scripted::start(None, &[]).await, Scripted::start(None, &[NO_ASKING, answer]).await);
        from.then(slots(&[(0, 16_383, "", from.port)]));
        from.then(format!("-ASK 1 127.0.0.1:{}\r\n", to.port));
        let store = memory(cluster_of(&from));
        let put = store.put(&key("asking"), &Memory::new("x"), Precondition::Absent).await;
        assert_eq!((to.heard("ASKING"), to.heard("EVALSHA")), (1, 1));
        match put {
            Ok(put) => assert!(!refused && matches!(put, Put::Stored(_)), "{put:?}"),
            Err(error) => {
                assert!(refused && error.to_string().contains("ASKING"), "{error}");
                let told = (error.kind(), error.effect());
                assert_eq!(told, (ErrorKind::Unauthorized, Effect::NotApplied), "{error}");
            }
        }
    }
}

/// Greets, and from `hold` on reads nothing until `release`; then everything there is.
async fn slow(stream: TcpStream, hold: Arc<Notify>, held: Arc<Notify>, release: Arc<Notify>) -> Vec<u8> {
    let mut stream = BufReader::new(stream);
    loop {
        let name = tokio::select! {
            heard = command(&mut stream) => heard.unwrap().0,
            () = hold.notified() => break,
        };
        let (_, reply) = GREETINGS.iter().find(|(known, _)| *known == name).unwrap();
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
    held.notify_one();
    release.notified().await;
    let mut heard = Vec::new();
    // However it ends.
    let _ = stream.read_to_end(&mut heard).await;
    heard
}

async fn what_was_not_sent_when_a_connection_was_given_up_never_arrives() {
    let socket = TcpSocket::new_v4().unwrap();
    // Soon full, so that the rest stays with the sender.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let port = listener.local_addr().unwrap().port();
    let [hold, held, release] = [(); 3].map(|()| Arc::new(Notify::new()));
    let mut serving = JoinSet::new();
    let signals = (Arc::clone(&hold), Arc::clone(&held), Arc::clone(&release));
    serving.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        slow(stream, signals.0, signals.1, signals.2).await
    });
    let store = memory(at(RedisConfig::default(), port));
    store.health().await.unwrap();
    hold.notify_one();
    held.notified().await;
    let (large, key) = (Memory::new("x".repeat(1024 * 1024)), key("late"));
    let deadline = Duration::from_millis(600);
    let put = Deadline::after(deadline).scope(store.put(&key, &large, Precondition::Absent));
    let delete = async {
        // Behind it on the same connection.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Deadline::after(deadline).scope(store.delete(&key)).await
    };
    let (put, deleted) = tokio::join!(put, delete);
    assert_eq!(put.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // The connection ends a moment after it was given up.
    tokio::time::sleep(Duration::from_millis(300)).await;
    release.notify_one();
    let heard = tokio::time::timeout(MINUTE, serving.join_next()).await.unwrap().unwrap().unwrap();
    let late = heard.windows(6).any(|window| window == b"UNLINK");
    println!("{} bytes arrived of those sent before", heard.len());
    assert!(!late, "the delete arrived after it was given up, with {} bytes", heard.len());
}
