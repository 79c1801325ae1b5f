//! The docker provider: a compose file of `services/compose` per service, held by a compose command that we supervise.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Kitchen, Recipe, local, redis};
use crate::{
    services::{catalog::Service, finish::finish, folders::Folders, health::Probe, supervise::Launch},
    workspace,
};

/// How long an image may take to come.
const PULL: Duration = Duration::from_secs(900);
/// How long an engine may take to answer a question.
const ASK: Duration = Duration::from_secs(20);

/// The images of a service: the variable that names one, and the one that is taken when it does not.
fn images(service: Service) -> Option<(&'static str, &'static str)> {
    match service {
        Service::Redis | Service::RedisCluster => Some(("ARSHAI_REDIS_IMAGE", "redis:8.2")),
        Service::Redis6 => Some(("ARSHAI_REDIS6_IMAGE", "redis:6.2")),
        Service::Milvus => Some(("ARSHAI_MILVUS_IMAGE", "milvusdb/milvus:v2.6.2")),
        // Nobody publishes an image of it; the variable has to name one.
        Service::MilvusLite => Some(("ARSHAI_MILVUS_LITE_IMAGE", "")),
        _ => None,
    }
}

/// The image that a service would run, if it can run as a container.
fn image(service: Service) -> Result<(&'static str, String)> {
    let Some((variable, usual)) = images(service) else {
        bail!("{service} has no compose file; use --provider process");
    };
    let named = env::var(variable).ok().filter(|name| !name.is_empty());
    let image = named.unwrap_or_else(|| usual.to_owned());
    ensure!(!image.is_empty(), "no image of {service} is published; name one in {variable}");
    Ok((variable, image))
}

/// Whether a service can run as a container at all.
pub(crate) fn has_container(service: Service) -> bool {
    images(service).is_some()
}

/// Whether an engine answers and has the image of this service already: then containers are the default.
pub(crate) fn has_images(service: Service, folders: &Folders) -> bool {
    let Ok((_, image)) = image(service) else { return false };
    let program =
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|p| p.join("docker").is_file()));
    program
        && compose_command().is_ok()
        && docker(folders, &["image", "inspect", "--format", "{{.Id}}", &image], ASK).is_ok()
}

/// A service as containers.
pub(super) fn compose(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let service = kitchen.service;
    let (variable, image) = image(service)?;
    docker(kitchen.folders, &["info"], ASK).context(
        "no container engine answers; install one (`apt-get install docker.io docker-compose`) and start `dockerd`, \
         or use --provider process",
    )?;
    if docker(kitchen.folders, &["image", "inspect", "--format", "{{.Id}}", &image], ASK).is_err() {
        crate::services::say(&format!("pulling {image}"));
        docker(kitchen.folders, &["pull", &image], PULL)
            .with_context(|| format!("pulling {image}; name another image in {variable}"))?;
    }
    let mut environment = BTreeMap::from([(variable.to_owned(), image)]);
    let (probes, values) = match service {
        Service::RedisCluster => cluster(kitchen, &mut environment)?,
        Service::Milvus => {
            let (grpc, metrics) = (kitchen.ports.take()?, kitchen.ports.take()?);
            environment.insert("ARSHAI_MILVUS_PORT".to_owned(), grpc.to_string());
            environment.insert("ARSHAI_MILVUS_METRICS_PORT".to_owned(), metrics.to_string());
            let health = Probe::Http { address: local(metrics), path: "/healthz".to_owned() };
            let probes = vec![health, Probe::Grpc { address: local(grpc) }];
            (probes, vec![format!("http://{}", local(grpc))])
        }
        Service::MilvusLite => {
            let port = kitchen.ports.take()?;
            environment.insert("ARSHAI_MILVUS_LITE_PORT".to_owned(), port.to_string());
            (vec![Probe::Grpc { address: local(port) }], vec![format!("http://{}", local(port))])
        }
        _ => {
            let port = kitchen.ports.take()?;
            let number = if service == Service::Redis6 { "6" } else { "" };
            environment.insert(format!("ARSHAI_REDIS{number}_PORT"), port.to_string());
            let probe = Probe::Redis { address: local(port), login: None };
            (vec![probe], vec![format!("redis://{}", local(port))])
        }
    };
    let up = launch(kitchen, &environment, &["up", "--no-color", "--timeout", "2"])?;
    let down = launch(kitchen, &environment, &["down", "--volumes", "--remove-orphans", "--timeout", "2"])?;
    let mut recipe = Recipe::new(vec![up], probes, values);
    recipe.cleanup = Some(down);
    recipe.patience = Duration::from_secs(240);
    Ok(recipe)
}

/// The nodes share the machine's network, because they tell clients their own addresses.
fn cluster(
    kitchen: &mut Kitchen<'_>,
    environment: &mut BTreeMap<String, String>,
) -> Result<(Vec<Probe>, Vec<String>)> {
    let mut addresses = Vec::new();
    for number in 0..redis::NODES {
        let (port, bus) = (kitchen.ports.take()?, kitchen.ports.take()?);
        environment.insert(format!("ARSHAI_REDIS_CLUSTER_PORT_{number}"), port.to_string());
        environment.insert(format!("ARSHAI_REDIS_CLUSTER_BUS_{number}"), bus.to_string());
        addresses.push(local(port));
    }
    let url = redis::cluster_url(&addresses)?;
    let whole = addresses.into_iter().map(|address| Probe::RedisCluster { address, nodes: redis::NODES });
    Ok((whole.collect(), vec![url]))
}

/// A compose command for the service's file, in a project of this checkout.
fn launch(kitchen: &Kitchen<'_>, environment: &BTreeMap<String, String>, words: &[&str]) -> Result<Launch> {
    let (program, first) = compose_command()?;
    let file = workspace::root().join("services/compose").join(format!("{}.yml", kitchen.service));
    let project = format!("arshai-{:08x}-{}", fingerprint(kitchen.folders), kitchen.service);
    let mut arguments: Vec<String> = first.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["--project-name".to_owned(), project, "--file".to_owned(), file.display().to_string()]);
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
    let mut launch = kitchen.launch("", PathBuf::from(program), arguments)?;
    launch.environment.clone_from(environment);
    Ok(launch)
}

/// `docker compose`, or `docker-compose` where the engine has no plugin.
fn compose_command() -> Result<(&'static str, &'static [&'static str])> {
    let works = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null());
        crate::process::works(command)
    };
    if works("docker", &["compose", "version"]) {
        Ok(("docker", &["compose"]))
    } else if works("docker-compose", &["version"]) {
        Ok(("docker-compose", &[]))
    } else {
        bail!(
            "neither `docker compose` nor `docker-compose` works; install it with `apt-get install docker-compose`"
        )
    }
}

fn docker(folders: &Folders, words: &[&str], patience: Duration) -> Result<()> {
    let mut command = Command::new("docker");
    command.args(words);
    let log = folders.logs()?.join("docker.log");
    // Its end is shown when the command fails: nothing of the commands before.
    File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    finish(command, &log, patience)
}

/// Tells the containers of two checkouts apart: FNV-1a over the path, which never changes its mind.
fn fingerprint(folders: &Folders) -> u32 {
    let bytes = folders.root().as_os_str().as_encoded_bytes();
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_container_service_has_its_compose_file_that_takes_the_image_from_its_variable() {
        for service in Service::ALL {
            let file = workspace::root().join("services/compose").join(format!("{service}.yml"));
            assert_eq!(file.exists(), images(service).is_some(), "{}", file.display());
            if let Some((variable, usual)) = images(service) {
                let text = fs::read_to_string(&file).unwrap();
                let separator = if usual.is_empty() { ":?" } else { ":-" };
                assert!(text.contains(&format!("${{{variable}{separator}{usual}")), "{}", file.display());
                assert!(!text.contains("0.0.0.0:"), "{} listens outside of loopback", file.display());
            }
        }
    }

    #[test]
    fn a_service_without_a_compose_file_is_refused_by_name() {
        let error = image(Service::RedisTls).unwrap_err().to_string();
        assert!(error.starts_with("redis-tls has no compose file"), "{error}");
    }

    #[test]
    fn two_checkouts_have_projects_of_their_own() {
        let of = |path: &str| fingerprint(&Folders::below(Path::new(path)));
        assert_ne!(of("/a/target"), of("/b/target"));
        assert_eq!(of("/a/target"), of("/a/target"));
    }
}
