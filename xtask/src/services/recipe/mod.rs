//! How each service is run as processes: what to fetch, what to start, and how to tell that it is ready.

mod containers;
mod milvus;
mod openai;
mod redis;
mod speech;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};

pub(crate) use self::containers::{has_container, has_images};
pub(crate) use self::redis::{ClusterNode, form_cluster, server as redis_server};
use super::{
    catalog::{Provider, Service},
    folders::Folders,
    health::Probe,
    packages::Python,
    supervise::Launch,
};

/// How many ports a service has from `--port-base` on.
const PORTS_EACH: u16 = 20;

/// A service ready to be started.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The processes, in the order they start.
    pub(crate) launches: Vec<Launch>,
    /// When these are content, the processes are up.
    pub(crate) first: Vec<Probe>,
    /// Nodes to join into a cluster then.
    pub(crate) cluster: Vec<ClusterNode>,
    /// When these are content, the service is ready.
    pub(crate) probes: Vec<Probe>,
    /// The values of the service's variables, in their order.
    pub(crate) values: Vec<String>,
    /// What to run when the processes ended.
    pub(crate) cleanup: Option<Launch>,
    /// How long all this may take.
    pub(crate) patience: Duration,
}

impl Recipe {
    /// A service that is ready when its probes are content.
    fn new(launches: Vec<Launch>, probes: Vec<Probe>, values: Vec<String>) -> Self {
        let patience = Duration::from_secs(60);
        let (first, cluster) = (Vec::new(), Vec::new());
        Self { launches, first, cluster, probes, values, cleanup: None, patience }
    }

    /// Variables with their values.
    pub(crate) fn exports(&self, service: Service) -> BTreeMap<String, String> {
        let names = service.variables().iter().map(|name| (*name).to_owned());
        names.zip(self.values.iter().cloned()).collect()
    }
}

/// Fetches what a service needs and says how it is started.
pub(crate) fn prepare(
    service: Service,
    provider: Provider,
    folders: &Folders,
    ports: &mut Ports,
) -> Result<Recipe> {
    let mut kitchen = Kitchen { service, folders, ports, data: folders.fresh_data(service)? };
    match service {
        _ if provider == Provider::Docker => containers::compose(&mut kitchen),
        Service::Redis => redis::single(&mut kitchen, &redis::TODAY),
        Service::Redis6 => redis::single(&mut kitchen, &redis::OLDEST),
        Service::RedisCluster => redis::cluster(&mut kitchen),
        Service::RedisSentinel => redis::sentinel(&mut kitchen),
        Service::RedisTls => redis::tls(&mut kitchen),
        Service::Milvus => milvus::standalone(&mut kitchen),
        Service::MilvusLite => milvus::lite(&mut kitchen),
        Service::MilvusLitePy => milvus::lite_in_python(&mut kitchen),
        Service::Openai => openai::servers(&mut kitchen),
        Service::Speech => speech::servers(&mut kitchen),
    }
}

/// What a recipe works with.
struct Kitchen<'a> {
    service: Service,
    folders: &'a Folders,
    ports: &'a mut Ports,
    /// An empty folder for what the service stores.
    data: PathBuf,
}

impl Kitchen<'_> {
    /// A process of the service that runs in its data folder; `role` is empty when it is the only one.
    fn launch(&self, role: &str, program: PathBuf, arguments: Vec<String>) -> Result<Launch> {
        let name =
            if role.is_empty() { self.service.to_string() } else { format!("{}.{role}", self.service) };
        Ok(Launch {
            log: self.folders.logs()?.join(format!("{name}.log")),
            name,
            program,
            arguments,
            environment: BTreeMap::new(),
            folder: self.data.clone(),
        })
    }

    /// A program in Python, with a library of ours on its path.
    fn python(
        &self,
        role: &str,
        python: &Python,
        library: PathBuf,
        arguments: Vec<String>,
    ) -> Result<Launch> {
        // No packages of the user's own, and output as it comes.
        let all = ["-s", "-u"].into_iter().map(str::to_owned).chain(arguments).collect();
        let mut launch = self.launch(role, python.program.clone(), all)?;
        launch.environment.insert("PYTHONPATH".to_owned(), library.display().to_string());
        // Nothing is looked up in a hub at run time.
        launch.environment.insert("HF_HUB_OFFLINE".to_owned(), "1".to_owned());
        Ok(launch)
    }
}

/// `127.0.0.1:port`.
fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Hands out ports of loopback and holds them until the processes start.
#[derive(Debug)]
pub(crate) struct Ports {
    next: Option<u16>,
    held: Vec<TcpListener>,
}

impl Ports {
    /// Ports that the machine chooses; or from `base` on, each service with a range of its own.
    pub(crate) fn new(base: Option<u16>, service: Service) -> Result<Self> {
        let offset = u16::try_from(service.index()).unwrap_or_default() * PORTS_EACH;
        let next = base.map(|base| base.checked_add(offset).context("--port-base is too high"));
        Ok(Self { next: next.transpose()?, held: Vec::new() })
    }

    /// Whether another try would get other ports.
    pub(crate) fn are_chosen_by_the_machine(&self) -> bool {
        self.next.is_none()
    }

    /// A port that nobody uses.
    pub(crate) fn take(&mut self) -> Result<u16> {
        let port = self.next.unwrap_or_default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
            format!("port {port} of 127.0.0.1 is in use; choose another --port-base, or none")
        })?;
        let port = listener.local_addr().context("asking for a port")?.port();
        self.held.push(listener);
        if self.next.is_some() {
            self.next = Some(port.checked_add(1).context("--port-base is too high")?);
        }
        Ok(port)
    }

    /// Frees them for the processes.
    pub(crate) fn release(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::services::packages::{Machine, Wheel};

    #[test]
    fn every_wheel_is_pinned_with_its_hash() {
        let mut wheels: Vec<Wheel> = vec![redis::TODAY, redis::OLDEST].into_iter().map(|r| r.wheel).collect();
        wheels.extend([milvus::STANDALONE, milvus::LITE, openai::MINILM, speech::WHISPER, speech::VOICE]);
        wheels.extend(openai::GEMMA);
        let mut hashes = BTreeSet::new();
        for wheel in wheels {
            assert!(!wheel.files.is_empty(), "{wheel:?}");
            for (machine, hash) in wheel.files {
                assert!(matches!(machine, Machine::Any | Machine::LinuxX86_64));
                assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{wheel:?}");
                assert!(hashes.insert(*hash), "two wheels share a hash: {wheel:?}");
            }
        }
        assert_eq!(hashes.len(), 11);
    }

    #[test]
    fn ports_differ_and_a_base_gives_each_service_its_own_range() {
        let mut ports = Ports::new(None, Service::Redis).unwrap();
        let taken: BTreeSet<u16> = (0..12).map(|_| ports.take().unwrap()).collect();
        assert_eq!(taken.len(), 12);
        let ranges: BTreeSet<Option<u16>> =
            Service::ALL.iter().map(|s| Ports::new(Some(20_000), *s).unwrap().next).collect();
        assert_eq!(ranges.len(), Service::ALL.len());
        assert!(Ports::new(Some(65_500), Service::Speech).is_err());
    }

    #[test]
    fn a_port_in_use_is_not_handed_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = taken.local_addr().unwrap().port();
        let error = Ports { next: Some(base), held: Vec::new() }.take().unwrap_err();
        assert!(error.to_string().contains(&format!("port {base} of 127.0.0.1 is in use")), "{error:#}");
    }
}
