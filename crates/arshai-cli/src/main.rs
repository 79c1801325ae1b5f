//! The terminal program `arshai`.

mod args;
mod backends;
mod command;
mod embedder;
mod failure;
mod local;
mod output;
mod progress;

use std::{io, process::ExitCode};

use arshai::Config;
use clap::Parser as _;

use args::{Cli, Command};
use backends::Backends;
use failure::{Failure, Outcome};
use output::Printer;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage_error(&error),
    };
    let printer = Printer { json: cli.global.json, verbose: cli.global.verbose > 0 };
    if let Err(failure) = log_to_stderr(cli.global.verbose, printer) {
        printer.failure(&failure);
        return ExitCode::from(failure.exit_status());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(&cli, printer));
        // A thread waiting for a line of input must not keep the program alive.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

async fn run(cli: &Cli, printer: Printer) -> Outcome {
    let backends = Backends::new(&cli.global, printer)?;
    let work = async {
        match &cli.command {
            Command::Ingest(args) => command::ingest(args, &backends, printer).await,
            Command::Search(args) => command::search(args, &backends, printer).await,
            Command::Ask(args) => command::ask(args, &backends, printer).await,
            Command::Chat(args) => command::chat(args, &backends, printer).await,
            Command::Memory(args) => command::memory(args, &backends, printer).await,
            Command::Model(args) => command::model(args, printer).await,
            Command::Export(args) => command::export(args, &backends, printer).await,
            Command::Import(args) => command::import(args, &backends, printer).await,
            Command::Transcribe(args) => command::transcribe(args, &backends, printer).await,
            Command::Speak(args) => command::speak(args, &backends, printer).await,
            Command::Config => command::config(&backends, printer),
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        // What was acknowledged is on disk; what was not is whole or absent. Ending here loses nothing.
        _interrupted = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    outcome.and(backends.close().await)
}

/// clap's own words, as JSON when JSON was asked for. Help and version are no errors.
fn usage_error(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let message = error.to_string();
        let printer = Printer { json, verbose: false };
        printer.failure(&Failure::Usage(message.trim_start_matches("error: ").trim_end().to_owned()));
    } else {
        let _ignored = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn log_to_stderr(verbose: u8, printer: Printer) -> Outcome {
    let default = match verbose {
        // A model that its vendor retires soon is worth a line to everybody.
        0 => "error,arshai_speech=warn",
        1 => "warn,arshai=info",
        _ => "debug",
    };
    let variable = Config::LOG;
    let chosen = variable.read().map_err(backends::wrong_setting_or)?;
    let filter =
        tracing_subscriber::EnvFilter::try_new(chosen.as_deref().unwrap_or(default)).map_err(|error| {
            let refused =
                variable.refused(chosen.as_deref().unwrap_or_default(), "such as debug or warn,arshai=debug");
            backends::wrong_setting_or(refused.with_source(error))
        })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).without_time();
    if printer.json {
        log.with_ansi(false).with_writer(move || Notes(printer)).init();
    } else {
        log.with_writer(io::stderr).init();
    }
    Ok(())
}

/// What is logged, for programs: they read standard error line by line as JSON. Each event is written at once.
struct Notes(Printer);

impl io::Write for Notes {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.remark(String::from_utf8_lossy(event).trim());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
