//! Benchmarks that print the product's figures, each beside its target; the exit status says whether all were met.
//!
//! Usage: `cargo xtask bench [memory] [ingest] [local] [cli]…` (all when none is named).

mod cli;
mod corpus;
mod figure;
mod ingest;
mod local;
mod memory;

use anyhow::{Result, bail};
use figure::Figures;

const ALL: [&str; 4] = ["memory", "ingest", "local", "cli"];

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !ALL.contains(&name.as_str())) {
        bail!("no benchmark is named {unknown}; there are: {}", ALL.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut figures = Figures::default();
    for name in ALL.iter().filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == *name)) {
        println!("# {name}");
        match *name {
            "memory" => runtime.block_on(memory::run(&mut figures))?,
            "ingest" => runtime.block_on(ingest::run(&mut figures))?,
            "local" => runtime.block_on(local::run(&mut figures))?,
            _ => runtime.block_on(cli::run(&mut figures))?,
        }
    }
    figures.conclude()
}
