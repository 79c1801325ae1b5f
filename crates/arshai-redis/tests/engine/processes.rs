//! Writers in processes of their own.

use std::{
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use arshai_core::memory::{Memory, MemoryKey, MemoryStoreExt as _};

use crate::{
    harness::{self, Test, alone, tests},
    key, memory, settings,
};

const PROCESSES: usize = 8;
const APPENDS: usize = 1_000;
/// Tells this program that it is such a process: its number and the conversation.
const CHILD: &str = "ARSHAI_TEST_CHILD";

/// Alone: it takes all of the machine.
pub(crate) fn tests() -> Vec<Test> {
    alone(tests![appends_of_eight_processes_to_one_conversation_are_all_kept])
}

/// What a process of ours does, when this is one.
pub(crate) fn child() -> Option<ExitCode> {
    let told = std::env::var(CHILD).ok()?;
    let (name, conversation) = told.split_once(' ').unwrap();
    let key = MemoryKey::new(conversation).unwrap();
    harness::block_on_one(async {
        let store = memory(settings());
        let mut acknowledged = 0;
        for number in 0..APPENDS {
            let append = |old: Option<&Memory>| {
                let text = old.map_or("", |memory| memory.text.as_str());
                Ok(Memory::new(format!("{text} {name}{number:x}")))
            };
            match store.update_with(&key, append).await {
                Ok(_) => acknowledged += 1,
                Err(error) => eprintln!("{name}{number:x}: {error}"),
            }
        }
        println!("{acknowledged}");
    });
    Some(ExitCode::SUCCESS)
}

async fn appends_of_eight_processes_to_one_conversation_are_all_kept() {
    let key = key("processes");
    let began = Instant::now();
    let mut children = Vec::new();
    for name in ('s'..).take(PROCESSES) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CHILD, format!("{name} {}", key.conversation())).stdout(Stdio::piped());
        children.push(command.spawn().unwrap());
    }
    let mut acknowledged = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        acknowledged += String::from_utf8(output.stdout).unwrap().trim().parse::<usize>().unwrap();
    }
    let text = memory(settings()).retrieve(&key).await.unwrap().unwrap().text;
    let mut present: Vec<&str> = text.split_whitespace().collect();
    let stored = present.len();
    present.sort_unstable();
    present.dedup();
    println!(
        "{PROCESSES} processes × {APPENDS} appends: {acknowledged} acknowledged, {stored} present, {} distinct, {:.1} s",
        present.len(),
        began.elapsed().as_secs_f64()
    );
    let all = PROCESSES * APPENDS;
    assert_eq!((acknowledged, stored, present.len()), (all, all, all));
}
