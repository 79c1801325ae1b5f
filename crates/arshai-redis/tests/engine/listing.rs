//! Listings and removals that are interrupted.

use std::collections::BTreeSet;

use arshai_core::{
    Effect, ErrorKind,
    config::Secret,
    memory::{KeyPrefix, MemoryKey, MemoryStore as _, MemoryStoreExt as _, PageRequest},
};
use arshai_redis::RedisMemory;

use crate::{
    harness::{Test, tests},
    key, memory,
    own::OwnServer,
    server::command,
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_server_that_restarts_between_two_pages_leaves_no_key_out,
        a_user_who_may_not_ask_for_the_process_lists_every_key,
        a_removal_that_breaks_half_way_tells_what_was_removed,
    ]
}

async fn filled(store: &RedisMemory, run: &str, conversations: usize) -> BTreeSet<MemoryKey> {
    let mut keys = BTreeSet::new();
    for number in 0..conversations {
        let key = MemoryKey::new(format!("{run}-{number:04}")).unwrap();
        store.update(&key, "x").await.unwrap();
        keys.insert(key);
    }
    keys
}

/// Lists page after page, with something done after each; how many pages there were.
async fn list(
    store: &RedisMemory,
    set: &KeyPrefix,
    mut after: impl AsyncFnMut(usize),
) -> (BTreeSet<MemoryKey>, usize) {
    let (mut request, mut found, mut pages) = (PageRequest { limit: 50, cursor: None }, BTreeSet::new(), 0);
    loop {
        let page = store.list(set, &request).await.unwrap();
        found.extend(page.keys);
        pages += 1;
        assert!(pages < 100, "it does not end");
        let Some(next) = page.next else { return (found, pages) };
        request.cursor = Some(next);
        after(pages).await;
    }
}

async fn a_server_that_restarts_between_two_pages_leaves_no_key_out() {
    let mut server = OwnServer::durable().await;
    let store = memory(server.config());
    let run = key("restart").conversation().to_owned();
    let keys = filled(&store, &run, 400).await;
    // A server orders its keys by a seed it draws when it starts.
    let restart = async |pages: usize| {
        if pages == 3 || pages == 6 {
            server.kill();
            server.launch_again(&[]);
            server.answers().await;
        }
    };
    let (found, pages) = list(&store, &KeyPrefix::conversations(&run), restart).await;
    println!("{} of {} in {pages} pages", found.len(), keys.len());
    assert!(pages > 7, "it was not restarted twice");
    assert_eq!(found, keys);
}

async fn a_user_who_may_not_ask_for_the_process_lists_every_key() {
    let mut config = settings();
    let user = format!("it-{:016x}", fastrand::u64(..));
    let rights: [&[u8]; 8] =
        [b"ACL", b"SETUSER", user.as_bytes(), b"on", b">pw", b"~memory:*", b"+@all", b"-info"];
    assert!(command(&config, &rights).await.starts_with(b"+OK"));
    config.username = Some(user.clone());
    config.password = Some(Secret::new("pw"));
    let store = memory(config);
    let run = key("no-info").conversation().to_owned();
    let keys = filled(&store, &run, 200).await;
    let (found, pages) = list(&store, &KeyPrefix::conversations(&run), async |_| ()).await;
    assert!(pages > 1 && found == keys, "{} in {pages} pages", found.len());
    assert_eq!(store.delete_all(&KeyPrefix::conversations(&run)).await.unwrap(), 200);
    assert!(command(&settings(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}

async fn a_removal_that_breaks_half_way_tells_what_was_removed() {
    let mut config = settings();
    let all = memory(config.clone());
    let run = key("half").conversation().to_owned();
    let set = KeyPrefix::conversations(&run);
    let keys = filled(&all, &run, 100).await;
    // Of these conversations the user may remove the first half.
    let user = format!("it-{:016x}", fastrand::u64(..));
    let pattern = format!("~*{run}-00[0-4]?");
    let rights: [&[u8]; 7] =
        [b"ACL", b"SETUSER", user.as_bytes(), b"on", b">pw", pattern.as_bytes(), b"+@all"];
    assert!(command(&config, &rights).await.starts_with(b"+OK"));
    config.username = Some(user.clone());
    config.password = Some(Secret::new("pw"));
    let store = memory(config);
    let error = store.delete_all(&set).await.unwrap_err();
    let (left, _) = list(&all, &set, async |_| ()).await;
    let removed = (keys.len() - left.len()).to_string();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unauthorized, Effect::Unknown), "{error}");
    assert!(left.len() < keys.len() && left.len() >= 50, "{}", left.len());
    assert!(error.context().any(|told| told == ("removed", removed.as_str())), "{removed}: {error:?}");
    // Until there is nothing left that it may remove.
    let last = loop {
        let error = store.delete_all(&set).await.unwrap_err();
        if error.effect() == Effect::NotApplied {
            break error;
        }
    };
    assert!(last.context().all(|(name, _)| name != "removed"), "{last:?}");
    assert_eq!(all.delete_all(&set).await.unwrap(), 50);
    assert!(command(&settings(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}
