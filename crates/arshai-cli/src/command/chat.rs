//! `arshai chat`

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use arshai_agent::{Agent, AgentEvent, AgentInput, AgentReply};
use arshai_core::{Error, memory::MemoryKey};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::ask::{agent, reply_json, reply_text, sources};
use crate::{
    args,
    backends::{Backends, as_usage},
    embedder::Need,
    failure::{Failure, Outcome},
    output::{Cleaner, Printer, clean, print_piece},
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
            print_piece("> ")?;
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
        let input = AgentInput::new(line).conversation(&args.conversation);
        let turn = match printer.json {
            true => whole(&agent, input, printer).await,
            false => as_it_comes(&agent, input, printer).await,
        };
        match turn {
            // One failed turn does not end a conversation between people and program.
            Err(Failure::Work(error)) if interactive => printer.remark(&format!("error: {error}")),
            turn => turn?,
        }
    }
}

async fn whole(agent: &Agent, input: AgentInput, printer: Printer) -> Outcome {
    let reply = agent.process(input).await?;
    tell_memory(&reply, printer);
    printer.result(&reply_json(&reply), || reply_text(&reply))
}

/// Prints the words as the model writes them.
async fn as_it_comes(agent: &Agent, input: AgentInput, printer: Printer) -> Outcome {
    let mut events = agent.stream(input);
    let (mut cleaner, mut printed) = (Cleaner::new(), false);
    while let Some(event) = events.next().await {
        match event {
            Ok(AgentEvent::Text(text)) => {
                cleaner.push(&text);
                let piece = cleaner.take();
                printed |= !piece.is_empty();
                print_piece(&piece)?;
            }
            // What it said so far was no answer.
            Ok(AgentEvent::ToolCall(_)) if printed => {
                print_piece("\n")?;
                printed = false;
            }
            Ok(AgentEvent::Done(reply)) => {
                tell_memory(&reply, printer);
                let rest = if printed { sources(&reply) } else { reply_text(&reply) };
                return print_piece(&format!("{}\n", clean(&rest)));
            }
            Ok(_) => {}
            Err(error) => {
                if printed {
                    print_piece("\n")?;
                }
                return Err(error.into());
            }
        }
    }
    Ok(())
}

fn tell_memory(reply: &AgentReply, printer: Printer) {
    if let Some(error) = &reply.memory_error {
        printer.remark(&format!("the conversation was not kept: {error}"));
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
