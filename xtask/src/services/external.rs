//! The external provider: services that somebody else runs, at the addresses in the environment.

use std::{collections::BTreeMap, env, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{
    catalog::{Provider, Service},
    health::Probe,
    resp::Login,
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
        // The value may hold a password, and where it begins is unclear in one that cannot be read: it is not shown.
        let url = Url::parse(text).with_context(|| {
            format!(
                "{name} is not a URL such as scheme://user:password@host:port/path; a special character in the user or \
                 the password is written as % and two hexadecimal digits"
            )
        })?;
        let ca = exports.iter().find(|(name, _)| name.ends_with("_CA")).map(|(_, path)| PathBuf::from(path));
        let address =
            url.address(service).with_context(|| format!("{name}: nothing is known of its scheme"))?;
        probes.push(match (url.scheme, ca) {
            ("rediss", Some(ca)) => Probe::RedisTls { address, ca, login: url.login },
            // Which of its nodes serve what is not ours to expect.
            ("redis" | "redis-cluster", _) => Probe::Redis { address, login: url.login },
            // Its users and passwords are not those of the servers it watches, which the URL is about.
            ("redis-sentinel", _) => Probe::Redis { address, login: None },
            ("http", _) if speaks_grpc(service) => Probe::Grpc { address },
            // A server of speech need not list its models.
            ("http", _) if service == Service::Speech => Probe::Tcp { address },
            ("http", _) => Probe::Http { address, path: format!("{}/models", url.path) },
            _ => Probe::Tcp { address },
        });
    }
    Ok(probes)
}

fn speaks_grpc(service: Service) -> bool {
    service.variables().iter().any(|name| name.ends_with("_URI"))
}

/// As much of a URL as a health check needs.
struct Url<'a> {
    scheme: &'a str,
    login: Option<Login>,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let (login, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (login(user)?, host),
            None => (None, authority),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (host, None),
        };
        let is_ipv6 = host.strip_prefix('[').is_some_and(|host| host.ends_with(']'));
        let is_host = !host.is_empty() && (is_ipv6 || !host.contains([':', '[', ']', ' ']));
        is_host.then_some(Self { scheme, login, host, port, path })
    }

    /// `host:port`, with the port that is usual for the scheme; none for a scheme that nothing is known of.
    fn address(&self, service: Service) -> Option<String> {
        let usual = match self.scheme {
            "http" if speaks_grpc(service) => 19530,
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => 6379,
            "redis-sentinel" | "rediss-sentinel" => 26379,
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some(format!("{}:{}", self.host, self.port.unwrap_or(usual)))
    }
}

/// `user:password`, either of which may be missing; none where an escape in it cannot be read.
fn login(text: &str) -> Option<Option<Login>> {
    let Some((user, password)) = text.split_once(':') else { return decoded(text).map(|_| None) };
    let (user, password) = (decoded(user)?, decoded(password)?);
    let user = (!user.is_empty()).then_some(user);
    Some((!password.is_empty()).then_some(Login { user, password }))
}

/// Text in which some characters stand as `%` and two hexadecimal digits (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
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
        assert!(found(Service::Redis, &[("ARSHAI_TEST_REDIS_URL", "ftp://localhost")]).is_err());
    }

    fn redis(url: &str) -> Result<Vec<Probe>> {
        found(Service::Redis, &[("ARSHAI_TEST_REDIS_URL", url)])
    }

    #[test]
    fn addresses_are_read_from_urls() {
        let url = [("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/")];
        let probe = Probe::Http { address: "127.0.0.1:8080".to_owned(), path: "/v1/models".to_owned() };
        assert_eq!(found(Service::Openai, &url).unwrap(), [probe.clone(), probe]);
        let milvus = |url| found(Service::Milvus, &[("ARSHAI_TEST_MILVUS_URI", url)]).unwrap();
        let grpc = |address: &str| [Probe::Grpc { address: address.to_owned() }];
        assert_eq!(milvus("http://127.0.0.1:19531"), grpc("127.0.0.1:19531"));
        assert_eq!(milvus("http://[::1]:19531"), grpc("[::1]:19531"));
        assert_eq!(milvus("http://milvus.example"), grpc("milvus.example:19530"));
    }

    #[test]
    fn a_user_of_the_access_lists_is_not_dropped_and_escapes_are_undone() {
        let login = |user: Option<&str>, password: &str| {
            Some(Login { user: user.map(str::to_owned), password: password.to_owned() })
        };
        for (url, expected) in [
            ("redis://me:se@cret@db.example/2", login(Some("me"), "se@cret")),
            ("redis://m%40e:p%2Fss%C3%A9@db.example", login(Some("m@e"), "p/ss\u{e9}")),
            ("redis://:only@db.example", login(None, "only")),
            ("redis://me@db.example", None),
            ("redis-cluster://me:pw@db.example", login(Some("me"), "pw")),
        ] {
            let probe = Probe::Redis { address: "db.example:6379".to_owned(), login: expected };
            assert_eq!(redis(url).unwrap(), [probe], "{url}");
        }
    }

    #[test]
    fn each_scheme_has_its_usual_port() {
        for (scheme, port) in [
            ("rediss", 6379),
            ("rediss-cluster", 6379),
            ("redis-sentinel", 26379),
            ("rediss-sentinel", 26379),
            ("https", 443),
        ] {
            let probes = redis(&format!("{scheme}://db.example")).unwrap();
            assert_eq!(probes[0].address(), format!("db.example:{port}"), "{scheme}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_not_shown_as_it_may_hold_a_password() {
        for value in [
            "localhost",
            "me:hunter2@db.example",
            "redis://me:hunter2@",
            "redis://me:hunter2%2@db.example",
            "redis://me:hunter2/x@db.example",
            "me:hunter2://db.example",
            "redis://db.example:hunter2",
        ] {
            let error = format!("{:#}", redis(value).unwrap_err());
            assert!(error.contains("ARSHAI_TEST_REDIS_URL") && !error.contains("hunter2"), "{error}");
        }
    }
}
