//! Servers of a test's own, which it may kill, stop and misconfigure.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arshai_redis::{RedisConfig, RedisServer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    at,
    engine::first_address,
    server::{ask, command, tell},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a folder of its own. It ends with this value.
pub(crate) struct OwnServer {
    program: PathBuf,
    folder: TempDir,
    arguments: Vec<String>,
    pub(crate) port: u16,
    child: Child,
}

impl OwnServer {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(options: &[(&str, &str)]) -> Self {
        let this = Self::launch(program().await, free_port(), &[], options);
        this.answers().await;
        this
    }

    /// One that has written to the disk what it acknowledges.
    pub(crate) async fn durable() -> Self {
        Self::start(&[("appendonly", "yes"), ("appendfsync", "always")]).await
    }

    /// A sentinel with this configuration.
    pub(crate) async fn sentinel(port: u16, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        let this = Self::spawn(program().await, folder, arguments, port);
        this.answers().await;
        this
    }

    fn launch(program: PathBuf, port: u16, first: &[&str], options: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port_text = port.to_string();
        let usual = [
            ("port", port_text.as_str()),
            ("bind", "127.0.0.1"),
            ("save", ""),
            ("repl-diskless-sync-delay", "0"),
        ];
        let all = usual.iter().chain(options);
        let arguments = first.iter().map(|first| (*first).to_owned());
        let arguments =
            arguments.chain(all.flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]));
        let arguments = arguments.collect();
        Self::spawn(program, folder, arguments, port)
    }

    fn spawn(program: PathBuf, folder: TempDir, arguments: Vec<String>, port: u16) -> Self {
        let child = child(&program, &folder, &arguments);
        Self { program, folder, arguments, port, child }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        at(RedisConfig::default(), self.port)
    }

    /// As a crash of the machine's process: nothing is flushed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`OwnServer::kill`], with the same folder and port.
    pub(crate) fn launch_again(&mut self, more: &[&str]) {
        let mut arguments = self.arguments.clone();
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        self.child = child(&self.program, &self.folder, &arguments);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn tell(&self, parts: &[&str]) -> String {
        tell(self.port, parts).await
    }

    /// Waits until it answers, be it with an error.
    pub(crate) async fn answers(&self) {
        until("a server answers", async || ask(self.port, &["PING"]).await.is_some_and(|it| !it.is_empty()))
            .await;
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < PATIENCE, "it is not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn free_port() -> u16 {
    // Above the ports that clients are given, so that nobody else takes it before the server does; a node of a cluster
    // needs the port 10,000 above it too.
    loop {
        let port = fastrand::u16(11_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return port;
        }
    }
}

fn child(program: &PathBuf, folder: &TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}

/// What the engine runs when it runs on this machine, else `redis-server` of the path.
async fn program() -> PathBuf {
    let mut config = RedisConfig::default();
    let (host, port) = first_address().await;
    config.server = RedisServer::Single(host, port);
    let info = command(&config, &[b"INFO", b"server"]).await;
    let info = String::from_utf8_lossy(&info);
    let told =
        info.lines().find_map(|line| line.strip_prefix("executable:")).map(|path| PathBuf::from(path.trim()));
    if let Some(program) = told.filter(|program| program.is_file()) {
        return program;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("redis-server"));
    found.find(|program| program.is_file()).expect(
        "these tests start servers of their own: install redis-server, or let the engine run as a process (--provider process)",
    )
}

/// Three masters, the first with a replica.
pub(crate) struct OwnCluster {
    pub(crate) masters: Vec<OwnServer>,
    pub(crate) replica: OwnServer,
}

impl OwnCluster {
    pub(crate) const BORDERS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

    pub(crate) async fn start(options: &[(&str, &str)]) -> Self {
        let mut all =
            vec![("cluster-enabled", "yes"), ("cluster-node-timeout", "1000"), ("appendonly", "no")];
        all.extend(options);
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(OwnServer::start(&all).await);
        }
        for (node, (first, last)) in nodes.iter().zip(Self::BORDERS) {
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for node in &nodes[1..] {
            nodes[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]).await;
        }
        let replica = nodes.pop().unwrap();
        let this = Self { masters: nodes, replica };
        let id = this.id(&this.masters[0]).await;
        until("the replica knows its master", async || {
            ask(this.replica.port, &["CLUSTER", "REPLICATE", &id]).await.is_some_and(|it| it.starts_with('+'))
        })
        .await;
        let nodes = || this.masters.iter().chain([&this.replica]);
        until("the cluster is whole", async || {
            for node in nodes() {
                let info = node.tell(&["CLUSTER", "INFO"]).await;
                if !(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")) {
                    return false;
                }
            }
            this.replica.tell(&["INFO", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        this
    }

    pub(crate) async fn id(&self, node: &OwnServer) -> String {
        let answer = node.tell(&["CLUSTER", "MYID"]).await;
        answer.lines().nth(1).unwrap().trim().to_owned()
    }

    pub(crate) fn config(&self) -> RedisConfig {
        let nodes =
            self.masters.iter().chain([&self.replica]).map(|node| ("127.0.0.1".to_owned(), node.port));
        let mut config = RedisConfig::default();
        config.server = RedisServer::Cluster(nodes.collect());
        config
    }
}
