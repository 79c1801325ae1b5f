//! The rounds of one benchmark: its servers, its sides in turn, what they print.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Against, Options,
    catalog::{Client, Server},
    measurement::{InRound, Measurement},
};
use crate::{
    services::{Folders, Held, Job, Launch, Python, Supervised, library, tail, take_all},
    workspace,
};

/// How long one side may take in one round.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How long a server of ours may take to listen.
const START: Duration = Duration::from_secs(20);

/// Measures all sides of a benchmark, each once in a round. What was started for it is stopped in the end.
pub(super) fn measure(
    client: &Client,
    options: &Options,
    folders: &Folders,
    program: &Path,
) -> Result<Vec<InRound>> {
    let sides = sides(client, options, folders, program)?;
    let mut environment = BTreeMap::new();
    let locks = take_all(folders, client.services.iter().copied())?;
    let mut held = Vec::new();
    for (service, lock) in locks {
        let service = Held::start(folders, service, options.provider, None, lock)?;
        environment.extend(service.exports().clone());
        held.push(service);
    }
    if let Some((name, of_service)) = client.address {
        let address = environment.get(of_service).with_context(|| format!("{of_service} is not told"))?;
        environment.insert(name.to_owned(), address.clone());
    }
    let server = client.server.map(|server| OwnServer::start(&server, folders, program)).transpose()?;
    environment.extend(server.as_ref().map(|server| server.variable.clone()));
    let mut measured = Vec::new();
    for round in 0..options.rounds {
        // Each side is first in turn.
        let (before, from) = sides.split_at(round % sides.len().max(1));
        for side in from.iter().chain(before) {
            eprintln!("bench: {}, round {} of {}, {}", client.name, round + 1, options.rounds, side.name);
            let output = side.run(round, options, &environment, folders)?;
            let all = Measurement::all_in(&output)?;
            ensure!(!all.is_empty(), "{} of {} measured nothing", side.name, client.name);
            measured.extend(all.into_iter().map(|measurement| InRound { round, measurement }));
        }
    }
    Ok(measured)
}

/// A program that measures.
struct Side {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

fn sides(client: &Client, options: &Options, folders: &Folders, program: &Path) -> Result<Vec<Side>> {
    let mut sides = Vec::new();
    if client.is_ours {
        sides.push(Side {
            name: format!("{}-arshai", client.name),
            program: program.to_path_buf(),
            arguments: vec![client.name.to_owned()],
            environment: BTreeMap::new(),
        });
    }
    if let (Some(Against::Python), Some(script)) = (options.against, client.python) {
        let folder = workspace::root().join("benches/python");
        let python = Python::find()?;
        let list = folder.join(format!("{}.txt", client.name));
        let library = library(folders, &python, &format!("bench-{}", client.name), &list)?;
        sides.push(Side {
            name: format!("{}-python", client.name),
            program: python.program,
            // No packages of the user's own, output as it comes, no compiled files beside the scripts.
            arguments: vec!["-s".to_owned(), "-u".to_owned(), "-B".to_owned(), text_of(&folder.join(script))],
            environment: BTreeMap::from([("PYTHONPATH".to_owned(), text_of(&library))]),
        });
    }
    if sides.is_empty() {
        bail!("{} has no side of ours yet; measure the other one with --against python", client.name);
    }
    Ok(sides)
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

impl Side {
    /// What it prints in one round. It ends with this program, however this program ends.
    fn run(
        &self,
        round: usize,
        options: &Options,
        addresses: &BTreeMap<String, String>,
        folders: &Folders,
    ) -> Result<String> {
        let mut arguments = self.arguments.clone();
        arguments.extend(["--round".to_owned(), round.to_string()]);
        if !options.concurrency.is_empty() {
            let numbers: Vec<String> = options.concurrency.iter().map(usize::to_string).collect();
            arguments.extend(["--concurrency".to_owned(), numbers.join(",")]);
        }
        let log = folders.bench()?.join(format!("{}.log", self.name));
        let mut environment = addresses.clone();
        environment.extend(self.environment.clone());
        let launch = Launch {
            name: self.name.clone(),
            program: self.program.clone(),
            arguments,
            environment,
            folder: workspace::root(),
            log: log.clone(),
        };
        let supervised = Supervised::start(&Job { launches: vec![launch], cleanup: None })?;
        let Some(ends) = supervised.wait(PATIENCE)? else {
            bail!("{} did not end in {} s:\n{}", self.name, PATIENCE.as_secs(), tail(&log, 20));
        };
        if let Some(end) = ends.iter().find(|end| !end.is_success) {
            bail!("{} failed ({}):\n{}", self.name, end.status, tail(&log, 20));
        }
        fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))
    }
}

/// A server of the benchmarks' own program. It ends with this value.
struct OwnServer {
    variable: (String, String),
    _supervised: Supervised,
}

impl OwnServer {
    fn start(server: &Server, folders: &Folders, program: &Path) -> Result<Self> {
        let name = server.arguments.first().copied().unwrap_or_default();
        let log = folders.bench()?.join(format!("{name}.log"));
        let launch = Launch {
            name: name.to_owned(),
            program: program.to_path_buf(),
            arguments: server.arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::new(),
            folder: workspace::root(),
            log: log.clone(),
        };
        let supervised = Supervised::start(&Job { launches: vec![launch], cleanup: None })?;
        let start = Instant::now();
        loop {
            let told = fs::read_to_string(&log).unwrap_or_default();
            let line = told
                .split_inclusive('\n')
                .find_map(|line| line.strip_suffix('\n')?.strip_prefix("listening on "));
            if let Some(address) = line {
                let variable = (server.variable.to_owned(), format!("http://{address}{}", server.path));
                return Ok(Self { variable, _supervised: supervised });
            }
            ensure!(
                start.elapsed() < START && supervised.members.iter().all(|member| member.id.is_alive()),
                "{name} does not listen:\n{}",
                tail(&log, 20)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}
