use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::embed::EmbedderExt as _;

/// Takes 50 ms a request, writes down what it is asked, and can be told what to refuse.
#[derive(Debug, Default)]
struct Slow {
    requests: Mutex<Vec<(Input, Vec<String>)>>,
    running: AtomicUsize,
    refuses_whole_batches: bool,
    refuses_everything: bool,
    latency: Option<Duration>,
}

const LATENCY: Duration = Duration::from_millis(50);

#[async_trait]
impl Embedder for Slow {
    fn id(&self) -> &str {
        "slow"
    }

    fn dimension(&self) -> Option<usize> {
        Some(1)
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        self.requests.lock().unwrap().push((input, texts.iter().map(|text| (*text).to_owned()).collect()));
        self.running.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.latency.unwrap_or(LATENCY)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        if texts.contains(&"panic") {
            panic!("as asked");
        }
        if texts.contains(&"down") {
            return Err(Error::new(ErrorKind::Unavailable, "down"));
        }
        if self.refuses_everything {
            return Err(Error::invalid("no such dimension"));
        }
        if self.refuses_whole_batches && texts.contains(&"bad") {
            return Err(Error::invalid("bad"));
        }
        let failures = texts.iter().map(|text| (*text == "bad").then(|| Error::invalid("bad"))).collect();
        let values = texts.iter().map(|text| text.len() as f32).collect();
        let mut batch = EmbeddingBatch::partial(1, values, failures)?;
        batch.tokens = Some(texts.len() as u64);
        Ok(batch)
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn coalesce(gather: Gather) -> (Arc<Slow>, Arc<Coalesce<Arc<Slow>>>) {
    let slow = Arc::new(Slow::default());
    (Arc::clone(&slow), Arc::new(Coalesce::with(slow, gather)))
}

fn sizes(slow: &Slow) -> Vec<usize> {
    slow.requests.lock().unwrap().iter().map(|(_, texts)| texts.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_idle_coalescer_sends_at_once() {
    let (slow, shared) = coalesce(Gather::default());
    let before = Instant::now();
    assert_eq!(shared.embed_query("abc").await.unwrap(), [3.0]);
    assert_eq!(before.elapsed(), LATENCY);
    assert_eq!(sizes(&slow), [1]);
}

/// The requests that were made, and how long it took, when `pause` lies between one caller and the next.
async fn arriving(pause: Duration) -> (Vec<usize>, Duration) {
    let (slow, shared) = coalesce(Gather::default());
    let texts: Vec<String> = (0..40).map(|n| "x".repeat(n + 1)).collect();
    let before = Instant::now();
    let callers = texts.iter().zip(0..).map(|(text, number)| {
        let shared = &shared;
        async move {
            tokio::time::sleep_until(before + pause * number).await;
            shared.embed_query(text).await
        }
    });
    for (text, vector) in texts.iter().zip(join_all(callers).await) {
        assert_eq!(vector.unwrap(), [text.len() as f32], "everyone has their own");
    }
    (sizes(&slow), before.elapsed())
}

#[tokio::test(start_paused = true)]
async fn callers_who_come_while_a_request_is_in_flight_share_the_next_which_leaves_when_nobody_joins() {
    let (sizes, took) = arriving(Duration::ZERO).await;
    assert_eq!(sizes, [1, 39]);
    assert!(
        took >= LATENCY + Duration::from_millis(1) && took <= LATENCY + Duration::from_millis(2),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn callers_who_keep_joining_hold_nobody_longer_than_three_milliseconds() {
    let (sizes, _) = arriving(Duration::from_micros(500)).await;
    assert!(sizes.iter().all(|size| *size <= 8), "half a millisecond apart for three: {sizes:?}");
    assert!(sizes.len() <= 10, "they gather: {sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_who_ask_again_are_sent_as_soon_as_all_are_back() {
    let (slow, shared) =
        coalesce(Gather::default().quiet(Duration::from_secs(9)).max_wait(Duration::from_secs(9)));
    let long = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.embed_query("alone").await }
    });
    tokio::task::yield_now().await;
    let before = Instant::now();
    join_all((0..100).map(|_| async {
        for _ in 0..4 {
            shared.embed_query("x").await.unwrap();
        }
    }))
    .await;
    long.await.unwrap().unwrap();
    assert!(sizes(&slow).len() <= 9, "{:?}", sizes(&slow));
    assert_eq!(before.elapsed(), LATENCY * 5);
}

#[tokio::test(start_paused = true)]
async fn waves_of_callers_nearly_fill_the_latency() {
    let (slow, shared) = coalesce(Gather::default());
    let before = Instant::now();
    let callers = (0..256).map(|_| async {
        for _ in 0..10 {
            shared.embed_query("x").await.unwrap();
        }
    });
    join_all(callers).await;
    let possible = LATENCY * 10;
    assert!(before.elapsed() <= possible.mul_f64(1.25), "{:?}", before.elapsed());
    assert!(sizes(&slow).len() <= 30, "{:?}", sizes(&slow));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let (slow, shared) = coalesce(Gather::default().max_batch(10).max_wait(Duration::from_secs(9)));
    let before = Instant::now();
    join_all((0..21).map(|_| shared.embed_query("x"))).await;
    assert_eq!(sizes(&slow), [1, 10, 10]);
    assert_eq!(before.elapsed(), LATENCY);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_is_left_out_and_the_others_are_answered() {
    let (slow, shared) = coalesce(Gather::default());
    let first = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.embed_query("first").await }
    });
    tokio::task::yield_now().await;
    {
        let leaving = shared.embed_query("leaving");
        tokio::pin!(leaving);
        assert!(futures_util::poll!(&mut leaving).is_pending());
    }
    assert_eq!(shared.embed_query("stays").await.unwrap(), [5.0]);
    assert_eq!(first.await.unwrap().unwrap(), [5.0]);
    let sent: Vec<String> =
        slow.requests.lock().unwrap().iter().flat_map(|(_, texts)| texts.clone()).collect();
    assert_eq!(sent, ["first", "stays"]);
}

#[tokio::test(start_paused = true)]
async fn the_caller_who_began_a_batch_may_leave_it() {
    let (_slow, shared) = coalesce(Gather::default());
    let beginner = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.embed_query("beginner").await }
    });
    tokio::task::yield_now().await;
    let follower = shared.embed_query("follower");
    tokio::pin!(follower);
    assert!(futures_util::poll!(&mut follower).is_pending());
    beginner.abort();
    assert_eq!(follower.await.unwrap(), [8.0]);
}

#[tokio::test(start_paused = true)]
async fn one_bad_text_does_not_fail_the_others() {
    for refuses_whole_batches in [false, true] {
        let slow = Arc::new(Slow { refuses_whole_batches, ..Slow::default() });
        let shared = Coalesce::new(slow);
        let texts = ["first", "a", "bb", "bad", "cccc", "ddddd"];
        let outcomes = join_all(texts.iter().map(|text| shared.embed_query(text))).await;
        for (text, outcome) in texts.iter().zip(outcomes) {
            match outcome {
                Err(error) => assert_eq!((*text, error.kind()), ("bad", ErrorKind::InvalidInput)),
                Ok(vector) => assert_eq!(vector, [text.len() as f32]),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_server_reaches_everyone_and_the_next_request_is_sent() {
    let (_slow, shared) = coalesce(Gather::default());
    let outcomes = join_all(["first", "down", "x"].iter().map(|text| shared.embed_query(text))).await;
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Unavailable), Some(ErrorKind::Unavailable)]);
    assert!(shared.embed_query("again").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_embedder_that_panics_does_not_stall_those_who_gathered() {
    let (_slow, shared) = coalesce(Gather::default().max_wait(Duration::from_secs(3600)));
    let outcomes = join_all(["panic", "x"].iter().map(|text| shared.embed_query(text))).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(outcomes[1].as_ref().unwrap(), &[1.0]);
}

#[tokio::test(start_paused = true)]
async fn documents_questions_and_lists_are_not_mixed() {
    let (slow, shared) = coalesce(Gather::default());
    let (document, query) = (shared.embed(&["d"], Input::Document), shared.embed(&["q"], Input::Query));
    let (list, none) = (shared.embed(&["a", "b"], Input::Query), shared.embed(&[], Input::Query));
    let (document, query, list, none) = tokio::join!(document, query, list, none);
    assert_eq!(document.unwrap().tokens, Some(1));
    assert!(query.is_ok() && list.unwrap().len() == 2 && none.unwrap().is_empty());
    let requests = slow.requests.lock().unwrap();
    assert!(requests.contains(&(Input::Document, vec!["d".to_owned()])));
    assert!(requests.contains(&(Input::Query, vec!["a".to_owned(), "b".to_owned()])));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_waiting_for_a_place_ends_with_the_deadline() {
    let (_slow, shared) = coalesce(Gather::default().queue(2));
    let (first, second) = (shared.embed_query("1"), shared.embed_query("2"));
    tokio::pin!(first, second);
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    let third = Deadline::after(Duration::from_millis(10)).scope(shared.embed_query("3")).await;
    assert_eq!(third.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(first.await.is_ok() && second.await.is_ok());
    assert!(shared.embed_query("4").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_those_inside_and_then_lets_nobody_in() {
    let (slow, shared) = coalesce(Gather::default());
    let inside = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.embed_query("inside").await }
    });
    tokio::task::yield_now().await;
    shared.close().await.unwrap();
    assert_eq!(slow.running.load(Ordering::SeqCst), 0);
    assert!(inside.await.unwrap().is_ok());
    shared.close().await.unwrap();
    assert_eq!(shared.embed_query("late").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn closing_again_waits_again_when_the_first_time_was_too_short() {
    let (slow, shared) = coalesce(Gather::default());
    let inside = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.embed_query("inside").await }
    });
    tokio::task::yield_now().await;
    for _ in 0..2 {
        let closed = Deadline::after(Duration::from_millis(1)).scope(shared.close()).await;
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(shared.embed_query("late").await.unwrap_err().kind(), ErrorKind::Closed);
    }
    shared.close().await.unwrap();
    assert_eq!(slow.running.load(Ordering::SeqCst), 0);
    assert!(inside.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_in_itself_is_not_halved_to_pieces() {
    let slow = Arc::new(Slow { refuses_everything: true, ..Slow::default() });
    let shared = Coalesce::new(Arc::clone(&slow));
    let outcomes = join_all((0..200).map(|_| shared.embed_query("x"))).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == ErrorKind::InvalidInput));
    assert!(sizes(&slow).len() <= 6, "{:?}", sizes(&slow));
}

#[tokio::test(start_paused = true)]
async fn a_slow_embedder_is_waited_for_as_long_as_it_takes() {
    let slow = Arc::new(Slow { latency: Some(Duration::from_secs(200)), ..Slow::default() });
    let shared = Coalesce::new(slow);
    assert!(shared.embed_query("x").await.is_ok());
    let short = Deadline::after(Duration::from_secs(1)).scope(shared.embed_query("x")).await.unwrap_err();
    assert_eq!((short.kind(), short.effect()), (ErrorKind::Timeout, Effect::Unknown), "it was sent");
}

/// Two callers are inside when the runtime goes: one under way, one gathering.
#[test]
fn a_runtime_that_is_shut_down_under_way_is_not_held_up() {
    for threads in [1, 2] {
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()
                .unwrap();
            let slow = Arc::new(Slow { latency: Some(Duration::from_secs(3600)), ..Slow::default() });
            let shared = Arc::new(Coalesce::with(
                slow,
                Gather::default().max_wait(Duration::from_secs(3600)).quiet(Duration::from_secs(3600)),
            ));
            let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
            runtime.spawn(async move { first.embed_query("under way").await });
            runtime.block_on(async {
                while shared.backend().running.load(Ordering::SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
                // Polled here and dropped only after the runtime: it keeps waiting in the lane.
                let mut waiting = Box::pin(async move { second.embed_query("gathering").await });
                assert!(futures_util::poll!(&mut waiting).is_pending());
                std::mem::forget(waiting);
            });
            drop(runtime);
            done.send(()).unwrap();
        });
        assert!(ended.recv_timeout(Duration::from_secs(20)).is_ok(), "the shutdown never ended");
    }
}
