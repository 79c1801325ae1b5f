//! Runs the tests of one engine, as libtest would: the same arguments, the same lines printed. Libtest itself cannot
//! tell the tests of one engine from another's without skipping some, nor run one while no other runs.

use std::{
    future::Future,
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// How many tests run at the same time.
const AT_ONCE: usize = 4;

/// One test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    name: &'static str,
    run: fn(),
    alone: bool,
}

impl Test {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, run, alone: false }
    }
}

/// Makes them run while no other test does: they disturb the server, or the machine.
pub(crate) fn alone(mut tests: Vec<Test>) -> Vec<Test> {
    tests.iter_mut().for_each(|test| test.alone = true);
    tests
}

/// The tests of these names: async functions of the module it is called in.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$(crate::harness::Test::new(
            concat!(module_path!(), "::", stringify!($name)),
            || crate::harness::block_on($name()),
        )),*]
    };
}
pub(crate) use tests;

/// Runs a test's future on two threads.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Runs a test's future on one thread.
pub(crate) fn block_on_one(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// What the arguments ask for.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) list: bool,
    ignored: bool,
    exact: bool,
    names: Vec<String>,
}

impl Arguments {
    pub(crate) fn of_process() -> Self {
        let mut this = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => this.list = true,
                "--ignored" => this.ignored = true,
                "--exact" => this.exact = true,
                "--format" | "--test-threads" | "--color" => drop(arguments.next()),
                other if other.starts_with('-') => {}
                name => this.names.push(name.to_owned()),
            }
        }
        this
    }

    fn asks_for(&self, name: &str) -> bool {
        let same = |asked: &String| if self.exact { name == asked } else { name.contains(asked) };
        // No test is ignored.
        !self.ignored && (self.names.is_empty() || self.names.iter().any(same))
    }
}

/// Runs the tests that are asked for and prints what came out.
pub(crate) fn run(tests: &[Test], arguments: &Arguments) -> ExitCode {
    let chosen: Vec<Test> = tests.iter().filter(|test| arguments.asks_for(test.name)).copied().collect();
    if arguments.list {
        chosen.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let began = Instant::now();
    let (alone, together): (Vec<Test>, Vec<Test>) = chosen.iter().partition(|test| test.alone);
    let mut failed = run_some(&together, AT_ONCE);
    failed.extend(run_some(&alone, 1));
    println!("\nfailures: {failed:?}");
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failed.len(),
        failed.len(),
        tests.len() - chosen.len(),
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The names of those that failed.
fn run_some(tests: &[Test], at_once: usize) -> Vec<&'static str> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    // The panic's own message is printed when it happens.
                    let passed = catch_unwind(test.run).is_ok();
                    let verdict = if passed { "ok" } else { "FAILED" };
                    println!("test {} ... {verdict} ({:.1} s)", test.name, began.elapsed().as_secs_f64());
                    if !passed {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(test.name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
