//! Benchmarks. Those of [`FIGURES`] print the product's figures, each beside its target; the exit status says whether
//! all were met. Those of [`CLIENTS`] measure operations under load. Both print what they measured as lines of JSON:
//! see [`measure`] and [`tally`].
//!
//! Started by `cargo xtask bench`, which also starts the servers.

mod agent;
mod cli;
mod conversations;
mod corpus;
mod embeddings_server;
mod figure;
mod hybrid;
mod ingest;
mod local;
mod measure;
mod memory;
mod milvus;
mod milvus_canned;
mod milvus_figures;
mod milvus_replies;
mod openai;
mod redis;
mod retrieval;
mod sqlite;
mod tally;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use embeddings_server::EmbeddingsServer;
use figure::Figures;
use measure::Bench;

const FIGURES: [&str; 7] = ["memory", "ingest", "local", "hybrid", "retrieval", "milvus-client", "cli"];
const CLIENTS: [&str; 5] = ["sqlite", "agent", "redis", "milvus", "openai"];

/// The benchmarks of arshai
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    server: Option<Server>,
    /// The number of this round, by which the sides of a benchmark change their order
    #[arg(long, default_value_t = 0)]
    round: usize,
    /// As many operations at a time, instead of the usual numbers
    #[arg(long, value_delimiter = ',')]
    concurrency: Vec<usize>,
    /// The benchmarks; without any, all that print figures
    names: Vec<String>,
}

/// What a benchmark starts this program once more for.
#[derive(Debug, Subcommand)]
enum Server {
    /// Serve embeddings in OpenAI's protocol with a fixed latency, and say where on the first line
    #[command(hide = true)]
    ServeEmbeddings {
        #[arg(long, default_value_t = 20)]
        latency_ms: u64,
        #[arg(long, default_value_t = 1536)]
        dimension: usize,
    },
    /// Serve canned replies in Milvus' protocol, say where, and how many searches were in flight at once
    #[command(hide = true, name = milvus_canned::SERVE)]
    ServeMilvus {
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
    },
    /// Tell the resident memory before and after a search of this file
    #[command(hide = true, name = hybrid::RESIDENT)]
    ResidentAfterSearch { path: PathBuf },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    match arguments.server {
        Some(Server::ServeEmbeddings { latency_ms, dimension }) => {
            let server = EmbeddingsServer::bind(Duration::from_millis(latency_ms), dimension).await?;
            println!("listening on {}", server.address());
            return server.serve().await;
        }
        Some(Server::ServeMilvus { latency_ms }) => {
            return milvus_canned::serve(Duration::from_millis(latency_ms)).await;
        }
        Some(Server::ResidentAfterSearch { path }) => return hybrid::tell_resident(&path).await,
        None => {}
    }
    let known = || FIGURES.iter().chain(&CLIENTS);
    if let Some(unknown) = arguments.names.iter().find(|name| !known().any(|known| known == name)) {
        let all: Vec<&str> = known().copied().collect();
        bail!("no benchmark is named {unknown}; there are: {}", all.join(", "));
    }
    let is_asked = |name: &str| arguments.names.iter().any(|asked| asked == name);
    for name in CLIENTS.into_iter().filter(|name| is_asked(name)) {
        measure_client(&Bench::new(name, arguments.round, &arguments.concurrency)).await?;
    }
    let mut figures = Figures::default();
    for name in FIGURES.into_iter().filter(|name| arguments.names.is_empty() || is_asked(name)) {
        println!("# {name}");
        match name {
            "memory" => memory::run(&mut figures).await?,
            "ingest" => ingest::run(&mut figures).await?,
            "local" => local::run(&mut figures).await?,
            "hybrid" => hybrid::run(&mut figures).await?,
            "retrieval" => retrieval::run(&mut figures).await?,
            "milvus-client" => milvus_figures::run(&mut figures).await?,
            _ => cli::run(&mut figures).await?,
        }
    }
    match figures.is_empty() {
        true => Ok(()),
        false => figures.conclude(),
    }
}

/// A client joins with its name in [`CLIENTS`], an arm here, and its entry in `xtask/src/bench/catalog.rs`.
async fn measure_client(bench: &Bench) -> Result<()> {
    match bench.name() {
        "sqlite" => sqlite::run(bench).await,
        "agent" => agent::run(bench).await,
        "redis" => redis::run(bench).await,
        "milvus" => milvus::run(bench).await,
        "openai" => openai::run(bench).await,
        other => bail!("{other} has no benchmark yet"),
    }
}
