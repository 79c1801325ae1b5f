//! The external provider: services that somebody else runs, at the addresses in the environment.

use std::{collections::BTreeMap, env, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{
    catalog::{Provider, Service},
    health::Probe,
    state::State,
};

/// What of a service the environment names, without asking it.
pub(crate) fn find(service: Service) -> Result<State> {
    find_in(service, |name| env::var(name).ok().filter(|value| !value.is_empty()))
}

fn find_in(service: Service, variable: impl Fn(&str) -> Option<String>) -> Result<State> {
    let mut exports = BTreeMap::new();
    for name in service.variables() {
        let value = variable(name).or_else(|| fallback(service).and_then(&variable));
        let value = value.with_context(|| {
            let or = fallback(service).map(|other| format!(" (or {other})")).unwrap_or_default();
            format!("{service} is asked for from outside, and {name}{or} is not set")
        })?;
        exports.insert((*name).to_owned(), value);
    }
    let probes = probes(service, &exports)?;
    let provider = Provider::External;
    Ok(State { service, provider, exports, probes, supervisor: None, processes: Vec::new(), cleanup: None })
}

/// A variable that programs of all kinds know.
fn fallback(service: Service) -> Option<&'static str> {
    matches!(service, Service::Openai | Service::Speech).then_some("OPENAI_BASE_URL")
}

fn probes(service: Service, exports: &BTreeMap<String, String>) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for name in service.variables().iter().filter(|name| !name.ends_with("_CA")) {
        let text = exports.get(*name).map(String::as_str).unwrap_or_default();
        let url = Url::parse(text).with_context(|| format!("{name} is not a URL with a host: {text:?}"))?;
        let ca = exports.iter().find(|(name, _)| name.ends_with("_CA")).map(|(_, path)| PathBuf::from(path));
        probes.push(match (url.scheme, ca) {
            ("rediss", Some(ca)) => {
                Probe::RedisTls { address: url.address(6379), ca, password: url.password() }
            }
            // Which of its nodes serve what is not ours to expect.
            ("redis" | "redis-cluster", _) => {
                Probe::Redis { address: url.address(6379), password: url.password() }
            }
            ("redis-sentinel", _) => Probe::Redis { address: url.address(26379), password: None },
            ("http", _) if service.variables().iter().any(|name| name.ends_with("_URI")) => {
                Probe::Grpc { address: url.address(19530) }
            }
            // A server of speech need not list its models.
            ("http", _) if service == Service::Speech => Probe::Tcp { address: url.address(80) },
            ("http", _) => Probe::Http { address: url.address(80), path: format!("{}/models", url.path) },
            ("https" | "rediss" | "rediss-cluster", _) => Probe::Tcp { address: url.address(443) },
            (scheme, _) => bail!("{name}: nothing is known of {scheme}://"),
        });
    }
    Ok(probes)
}

/// As much of a URL as a health check needs.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        (!host.is_empty()).then_some(Self { scheme, user, host, path })
    }

    fn address(&self, port: u16) -> String {
        let has_port = self.host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { self.host.to_owned() } else { format!("{}:{port}", self.host) }
    }

    fn password(&self) -> Option<String> {
        let (_, password) = self.user?.split_once(':')?;
        (!password.is_empty()).then(|| password.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(service: Service, set: &[(&str, &str)]) -> Result<Vec<Probe>> {
        let value = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, v)| (*v).to_owned());
        find_in(service, value).map(|state| state.probes)
    }

    #[test]
    fn a_service_without_an_address_is_named_with_its_variable() {
        let error = found(Service::Milvus, &[]).unwrap_err().to_string();
        assert!(error.contains("ARSHAI_TEST_MILVUS_URI is not set"), "{error}");
        let error = found(Service::Openai, &[]).unwrap_err().to_string();
        assert!(error.contains("(or OPENAI_BASE_URL)"), "{error}");
        assert!(found(Service::Redis, &[("ARSHAI_TEST_REDIS_URL", "localhost")]).is_err());
        assert!(found(Service::Redis, &[("ARSHAI_TEST_REDIS_URL", "ftp://localhost")]).is_err());
    }

    #[test]
    fn addresses_are_read_from_urls() {
        let url = [("ARSHAI_TEST_REDIS_URL", "redis://me:se@cret@db.example/2")];
        let address = "db.example:6379".to_owned();
        let password = Some("se@cret".to_owned());
        assert_eq!(found(Service::Redis, &url).unwrap(), [Probe::Redis { address, password }]);
        let url = [("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/")];
        let probe = Probe::Http { address: "127.0.0.1:8080".to_owned(), path: "/v1/models".to_owned() };
        assert_eq!(found(Service::Openai, &url).unwrap(), [probe.clone(), probe]);
        let url = [("ARSHAI_TEST_MILVUS_URI", "http://127.0.0.1:19531")];
        let probe = Probe::Grpc { address: "127.0.0.1:19531".to_owned() };
        assert_eq!(found(Service::Milvus, &url).unwrap(), [probe]);
    }
}
