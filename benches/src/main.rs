//! Benchmarks that print the product's figures, each beside its target; the exit status says whether all were met.
//!
//! Usage: `cargo xtask bench [memory] [ingest] [local] [hybrid] [retrieval] [cli]…` (all when none is named).

mod cli;
mod corpus;
mod figure;
mod hybrid;
mod ingest;
mod local;
mod memory;
mod retrieval;

use anyhow::{Result, bail};
use figure::Figures;

const ALL: [&str; 6] = ["memory", "ingest", "local", "hybrid", "retrieval", "cli"];

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Not for users: a benchmark starts this program again.
    match asked.as_slice() {
        [name, path] if name == hybrid::RESIDENT => return runtime.block_on(hybrid::tell_resident(path)),
        _ => {}
    }
    if let Some(unknown) = asked.iter().find(|name| !ALL.contains(&name.as_str())) {
        bail!("no benchmark is named {unknown}; there are: {}", ALL.join(", "));
    }
    let mut figures = Figures::default();
    for name in ALL.iter().filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == *name)) {
        println!("# {name}");
        match *name {
            "memory" => runtime.block_on(memory::run(&mut figures))?,
            "ingest" => runtime.block_on(ingest::run(&mut figures))?,
            "local" => runtime.block_on(local::run(&mut figures))?,
            "hybrid" => runtime.block_on(hybrid::run(&mut figures))?,
            "retrieval" => runtime.block_on(retrieval::run(&mut figures))?,
            _ => runtime.block_on(cli::run(&mut figures))?,
        }
    }
    figures.conclude()
}
