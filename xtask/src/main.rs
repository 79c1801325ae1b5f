//! `cargo xtask`: the commands a person or a CI job runs on this workspace. One file per command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a terminal program of this repository only")]

mod bench;
mod process;
mod readme;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test             everything that must hold before a commit: format, house rules, lints, tests, docs
  tidy             the house rules alone, in a second
  bench [NAME…]    build the benchmarks in release and run them, all or those named
  readme           write the library example into README.md
  readme --check   fail when README.md and the example differ
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::run(),
        ["tidy"] => tidy::run(),
        ["bench", names @ ..] => bench::run(names),
        ["readme"] => readme::write(),
        ["readme", "--check"] => readme::check(),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
