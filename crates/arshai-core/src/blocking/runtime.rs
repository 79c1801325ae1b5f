//! The runtime behind the blocking calls.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc},
    task::Poll,
    thread,
    time::Duration,
};

use futures_util::task::noop_waker_ref;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    task::{JoinHandle, coop},
};

use crate::{Deadline, Effect, Error, ErrorKind, Result};

/// How long somebody else's thread may be busy before its runtime counts as not running.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tokio runtime with a thread of its own, or somebody else's.
///
/// The thread keeps timers, keepalives and reconnects running between calls. Clones share the runtime; when the last
/// one is dropped it shuts down in the background, wherever that happens.
#[derive(Debug, Clone)]
pub struct Runtime {
    handle: Handle,
    owner: Owner,
    patience: Duration,
}

#[derive(Debug, Clone)]
enum Owner {
    /// The runtime runs on a thread of its own as long as this is there.
    Us { _thread: Arc<Thread> },
    /// It is somebody else's, who may shut it down at any time.
    Other(Arc<Watch>),
}

#[derive(Debug)]
struct Thread {
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

/// A task that waits for ever: only the end of its runtime ends it.
#[derive(Debug)]
struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runtime {
    /// A runtime with its own thread, named `arshai-blocking`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the system gives no thread.
    pub fn new() -> Result<Self> {
        let refused =
            |error| Error::new(ErrorKind::Io, "the blocking runtime could not be started").with_source(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("arshai-blocking".into())
            .spawn(move || {
                let _dropped = runtime.block_on(stopped);
                runtime.shutdown_background();
            })
            .map_err(refused)?;
        let owner = Owner::Us { _thread: Arc::new(Thread { _stop: stop }) };
        Ok(Self { handle, owner, patience: PATIENCE })
    }

    /// Uses a runtime that the program runs anyway. One of tokio's current-thread runtimes must be running on another
    /// thread while calls are made: a call fails when it does not, after 5 s or at its [`Deadline`]. When the runtime has
    /// been shut down, every call fails.
    pub fn from_handle(handle: Handle) -> Self {
        let watch = Watch(handle.spawn(std::future::pending()));
        Self { handle, owner: Owner::Other(Arc::new(watch)), patience: PATIENCE }
    }

    /// Waits for `future` on this thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BlockingInAsync`] when this thread is running async code; [`ErrorKind::Unavailable`] when nobody
    /// runs the runtime that was given as a handle, and [`ErrorKind::Timeout`] when the [`Deadline`] passed before that
    /// was sure; [`ErrorKind::Closed`] when that runtime has been shut down, or is during the call: what the call had
    /// done until then, nobody knows.
    ///
    /// # Panics
    ///
    /// Inside `tokio::task::unconstrained`, where async code cannot be told from a blocking thread.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        if in_async_context() {
            return Err(Error::new(
                ErrorKind::BlockingInAsync,
                "a blocking call was made from async code; use the async method, or call from spawn_blocking",
            ));
        }
        if self.is_shut_down() {
            return Err(shut_down());
        }
        self.check_running()?;
        // tokio's timers panic when their runtime ends under them.
        match catch_unwind(AssertUnwindSafe(|| self.handle.block_on(future))) {
            Ok(output) => Ok(output),
            Err(_ended) if self.is_shut_down() => Err(shut_down().with_effect(Effect::Unknown)),
            Err(panic) => resume_unwind(panic),
        }
    }

    fn is_shut_down(&self) -> bool {
        matches!(&self.owner, Owner::Other(watch) if watch.0.is_finished())
    }

    /// Timers and sockets of a current-thread runtime stand still while nobody runs it, and so would the caller.
    fn check_running(&self) -> Result<()> {
        let is_own = matches!(self.owner, Owner::Us { .. });
        if is_own || self.handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Ok(());
        }
        let left = Deadline::current().map(Deadline::remaining).filter(|left| *left < self.patience);
        let (answer, answered) = mpsc::sync_channel(1);
        let task = self.handle.spawn(async move { answer.send(()).is_ok() });
        answered.recv_timeout(left.unwrap_or(self.patience)).map_err(|_silent| {
            task.abort();
            if left.is_some() {
                // It is busy, or nobody runs it: which of them, the time was too short to tell.
                return Deadline::error("blocking.runtime", Effect::NotApplied);
            }
            Error::new(
                ErrorKind::Unavailable,
                "the current-thread runtime of the given handle is not running: run it on another thread, or use Runtime::new",
            )
        })
    }
}

fn shut_down() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the runtime of the given handle has been shut down: keep it while calls are made, or use Runtime::new",
    )
}

/// Whether this thread is polling a task, where blocking would stall the runtime.
///
/// tokio tells a thread that it belongs to a runtime, but not whether it is a thread for blocking work. What differs
/// is the cooperative budget: a task has a finite one, a blocking thread none. A few hundred steps spend any budget;
/// spending it costs a task nothing but an early turn for others, and its call is about to fail anyway.
fn in_async_context() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = std::task::Context::from_waker(noop_waker_ref());
    (0..1024).any(|_| match coop::poll_proceed(&mut context) {
        Poll::Ready(step) => {
            step.made_progress();
            false
        }
        Poll::Pending => true,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_run_between_calls() {
        let runtime = Runtime::new().unwrap();
        let task = runtime.handle.spawn(async { tokio::time::sleep(Duration::from_millis(1)).await });
        // Nothing is blocked on the runtime now; its own thread must finish the task.
        let finished = (0..5_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            task.is_finished()
        });
        assert!(finished);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn async_context_is_refused_and_blocking_threads_are_not() {
        let runtime = Runtime::new().unwrap();
        assert_eq!(runtime.block_on(async {}).unwrap_err().kind(), ErrorKind::BlockingInAsync);
        let inside = runtime.clone();
        let spawned = tokio::spawn(async move { inside.block_on(async {}).is_err() });
        assert!(spawned.await.unwrap());
        let pool = runtime.clone();
        let sum = tokio::task::spawn_blocking(move || pool.block_on(async { 1 + 1 })).await.unwrap();
        assert_eq!(sum.unwrap(), 2);
        // Dropped inside async code: no panic.
        drop(runtime);
    }

    #[test]
    fn a_given_handle_is_used() {
        let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let runtime = Runtime::from_handle(own.handle().clone());
        let sleep = async { tokio::time::sleep(Duration::from_millis(1)).await };
        runtime.block_on(sleep).unwrap();
    }

    #[test]
    fn a_given_runtime_that_was_shut_down_is_an_error_and_no_panic() {
        let sleep = || async { tokio::time::sleep(Duration::from_millis(1)).await };
        let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let handle = own.handle().clone();
        let runtime = Runtime::from_handle(handle.clone());
        drop(own);
        let call = || runtime.block_on(sleep());
        let error = Deadline::after(Duration::from_secs(5)).scope_blocking(call).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Closed, false));
        // A handle of one that is gone already, and one whose runtime has one thread.
        assert_eq!(Runtime::from_handle(handle).block_on(sleep()).unwrap_err().kind(), ErrorKind::Closed);
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let runtime = Runtime::from_handle(own.handle().clone());
        drop(own);
        assert_eq!(runtime.block_on(sleep()).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_given_runtime_that_is_shut_down_during_a_call_is_an_error_and_a_panic_of_the_call_s_own_goes_on() {
        let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let runtime = Runtime::from_handle(own.handle().clone());
        let panicking = runtime.clone();
        let panicked = thread::spawn(move || panicking.block_on(async { panic!("its own") })).join();
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"its own"));
        let (begun, waits) = mpsc::channel();
        let call = thread::spawn(move || {
            runtime.block_on(async {
                begun.send(()).unwrap();
                tokio::time::sleep(Duration::from_secs(600)).await;
            })
        });
        waits.recv().unwrap();
        drop(own);
        let error = call.join().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Closed, Effect::Unknown));
    }

    #[test]
    fn a_current_thread_runtime_that_nobody_runs_is_an_error_and_no_hang() {
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut runtime = Runtime::from_handle(own.handle().clone());
        let sleep = || async { tokio::time::sleep(Duration::from_millis(1)).await };
        runtime.patience = Duration::from_millis(50);
        assert_eq!(runtime.block_on(sleep()).unwrap_err().kind(), ErrorKind::Unavailable);
        // A caller with less time than that is not kept longer.
        runtime.patience = Duration::from_secs(600);
        let call = || runtime.block_on(sleep());
        let error = Deadline::after(Duration::from_millis(50)).scope_blocking(call).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
        // Once somebody runs it, it is used.
        runtime.patience = PATIENCE;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = thread::spawn(move || own.block_on(stopped));
        runtime.block_on(sleep()).unwrap();
        stop.send(()).unwrap();
        running.join().unwrap().unwrap();
    }
}
