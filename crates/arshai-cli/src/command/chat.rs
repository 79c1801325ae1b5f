//! `arshai chat`

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use arshai_agent::AgentInput;
use arshai_core::{Error, memory::MemoryKey};
use tokio::sync::mpsc;

use super::ask::{agent, reply_json, reply_text};
use crate::{
    args,
    backends::{Backends, as_usage},
    embedder::Need,
    failure::Outcome,
    output::{Printer, print_prompt},
};

const MAX_LINE: u64 = 8 << 20;

pub(crate) async fn chat(args: &args::Chat, backends: &Backends, printer: Printer) -> Outcome {
    MemoryKey::new(&args.conversation).map_err(as_usage("--conversation"))?;
    let model = backends.model().await?;
    let agent =
        agent(backends, model, backends.knowledge(Need::Search(None)).await?.base, None, printer).await?;
    let interactive = io::stdin().is_terminal() && !printer.json;
    if interactive {
        printer.remark("Type a message and press Enter; an empty line or Ctrl-D ends the chat.");
    }
    let mut lines = lines();
    loop {
        if interactive {
            print_prompt("> ")?;
        }
        let Some(line) = lines.recv().await else { return Ok(()) };
        let line = line.map_err(|error| {
            Error::invalid("standard input is not lines of UTF-8 text of at most 8 MiB").with_source(error)
        })?;
        if line.trim().is_empty() {
            if interactive {
                return Ok(());
            }
            continue;
        }
        match agent.process(AgentInput::new(line).conversation(&args.conversation)).await {
            Ok(reply) => {
                if let Some(error) = &reply.memory_error {
                    printer.remark(&format!("the conversation was not kept: {error}"));
                }
                printer.result(&reply_json(&reply), || reply_text(&reply))?;
            }
            // One failed turn does not end a conversation between people and program.
            Err(error) if interactive => printer.remark(&format!("error: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lines of standard input, read on a thread of their own because a terminal cannot be polled.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            let read = input.by_ref().take(MAX_LINE).read_line(&mut line);
            let item = match read {
                Ok(0) => return,
                Ok(read) if read as u64 == MAX_LINE && !line.ends_with('\n') => {
                    Err(io::Error::other("a line is longer than 8 MiB"))
                }
                Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(error),
            };
            let failed = item.is_err();
            if sender.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
