//! The terminal program `arshai`.

mod args;
mod backends;
mod command;
mod embedder;
mod failure;
mod local;
mod output;
mod progress;

use std::process::ExitCode;

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
    log_to_stderr(cli.global.verbose);
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
            Command::Transcribe(args) => command::transcribe(args, printer).await,
            Command::Speak(args) => command::speak(args, printer).await,
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

fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "error",
        1 => "warn,arshai=info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ARSHAI_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
