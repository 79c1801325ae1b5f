//! Addresses. Read here and not by the client, which takes an unknown scheme for one server and `rediss` without TLS
//! compiled in for a plain connection.

use arshai_core::{Error, ErrorKind, Result, config::Secret};
use percent_encoding::percent_decode_str;

use crate::config::{RedisConfig, RedisServer};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
const KNOWN: &str =
    "redis, rediss, redis-cluster, rediss-cluster, redis-sentinel, rediss-sentinel, redis+unix";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Cluster,
    Sentinel,
    Unix,
}

/// What an address consists of, decoded but not yet judged.
#[derive(Debug, Default)]
struct Parts {
    username: Option<String>,
    password: Option<Secret>,
    nodes: Vec<(String, u16)>,
    path: String,
    database: Option<String>,
    service: Option<String>,
    sentinel_username: Option<String>,
    sentinel_password: Option<Secret>,
}

pub(crate) fn parse(url: &str) -> Result<RedisConfig> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| bad("a Redis address begins with a scheme and ://").with_context("schemes", KNOWN))?;
    let (kind, tls) = read_scheme(scheme)?;
    let parts = Parts::read(kind, rest)?;
    let database = match parts.database.as_deref() {
        None | Some("") => 0,
        Some(number) => number.parse().map_err(|_| bad("the database is a number from 0 to 255"))?,
    };
    if kind == Kind::Cluster && database != 0 {
        return Err(bad("a cluster has only database 0: leave the path out"));
    }
    let server = match kind {
        Kind::Unix => {
            if !parts.path.starts_with('/') || parts.path.len() < 2 {
                return Err(bad("a unix socket is written redis+unix:///absolute/path"));
            }
            RedisServer::Unix(parts.path.into())
        }
        Kind::Cluster => RedisServer::Cluster(parts.nodes),
        Kind::Sentinel => RedisServer::Sentinel {
            sentinels: parts.nodes,
            service: parts
                .service
                .filter(|service| !service.is_empty())
                .ok_or_else(|| bad("a sentinel address names the master: ?sentinelServiceName=…"))?,
            username: parts.sentinel_username,
            password: parts.sentinel_password,
        },
        Kind::Single => {
            let mut nodes = parts.nodes.into_iter();
            match (nodes.next(), nodes.next()) {
                (Some((host, port)), None) => RedisServer::Single(host, port),
                _ => return Err(bad("several hosts need redis-cluster:// or redis-sentinel://")),
            }
        }
    };
    Ok(RedisConfig {
        server,
        tls,
        database,
        username: parts.username,
        password: parts.password,
        ..RedisConfig::default()
    })
}

fn read_scheme(scheme: &str) -> Result<(Kind, bool)> {
    let lower = scheme.to_ascii_lowercase();
    let (family, kind) = match lower.split_once(['-', '+']) {
        None => (lower.as_str(), Kind::Single),
        Some((family, "cluster")) => (family, Kind::Cluster),
        Some((family, "sentinel")) => (family, Kind::Sentinel),
        Some((family, "unix")) => (family, Kind::Unix),
        Some(_) => ("", Kind::Single),
    };
    let tls = match family {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(bad("the scheme of the Redis address is not known").with_context("schemes", KNOWN)),
    };
    if tls && kind == Kind::Unix {
        return Err(bad("a unix socket is not encrypted: write redis+unix://"));
    }
    Ok((kind, tls))
}

impl Parts {
    fn read(kind: Kind, rest: &str) -> Result<Self> {
        if rest.contains('#') {
            return Err(bad("a Redis address has no fragment: write # as %23"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = Self::default();
        let (user_info, place) = match kind {
            // A path may hold an @, so only one before the first slash ends the credentials.
            Kind::Unix => {
                let slash = place.find('/').unwrap_or(place.len());
                let (before, path) = place.split_at(slash);
                (before.strip_suffix('@').or((!before.is_empty()).then_some(before)), path)
            }
            _ => place.rsplit_once('@').map_or((None, place), |(user, place)| (Some(user), place)),
        };
        if let Some(user_info) = user_info {
            parts.credentials(user_info)?;
        }
        if kind == Kind::Unix {
            parts.path = decode(place)?;
        } else {
            let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
            let port = default_port(kind);
            for host in hosts.split(',') {
                parts.nodes.push(read_host(host, port)?);
            }
            parts.database = Some(path.trim_end_matches('/').to_owned()).filter(|path| !path.is_empty());
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.parameter(kind, name, decode(value)?)?;
        }
        Ok(parts)
    }

    fn credentials(&mut self, user_info: &str) -> Result<()> {
        let Some((user, password)) = user_info.split_once(':') else {
            return Err(bad("before the @ stands user:password or :password; a lone word could be either"));
        };
        self.username = Some(decode(user)?).filter(|user| !user.is_empty());
        self.password = Some(decode(password)?).filter(|password| !password.is_empty()).map(Secret::new);
        if self.username.is_some() && self.password.is_none() {
            return Err(bad("a user needs a password: user:password@"));
        }
        Ok(())
    }

    fn parameter(&mut self, kind: Kind, name: &str, value: String) -> Result<()> {
        match (kind, name) {
            (Kind::Cluster | Kind::Sentinel, "node") => {
                self.nodes.push(read_host(&value, default_port(kind))?);
            }
            (Kind::Sentinel, "sentinelServiceName") => self.service = Some(value),
            (Kind::Sentinel, "sentinelUsername") => self.sentinel_username = Some(value),
            (Kind::Sentinel, "sentinelPassword") => self.sentinel_password = Some(Secret::new(value)),
            (Kind::Single | Kind::Sentinel | Kind::Unix, "db") => {
                if self.database.as_ref().is_some_and(|path| *path != value) {
                    return Err(bad("the path and ?db= name different databases"));
                }
                self.database = Some(value);
            }
            // Never the value: it may be a secret under a misspelt name.
            _ => {
                return Err(bad("the Redis address has a parameter that is not known here")
                    .with_context("parameter", name.escape_debug()));
            }
        }
        Ok(())
    }
}

fn default_port(kind: Kind) -> u16 {
    if kind == Kind::Sentinel { SENTINEL_PORT } else { REDIS_PORT }
}

fn read_host(text: &str, default: u16) -> Result<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) =
                rest.split_once(']').ok_or_else(|| bad("an IPv6 address is written [address]:port"))?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(bad("an IPv6 address is written [address]:port"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = match port {
        Some("") => default,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(bad_port)?,
        None => return Err(bad_port()),
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '%');
    if host.is_empty() || host.contains(odd) {
        return Err(bad("the host of the Redis address is missing or holds a character no host has"));
    }
    Ok((host.to_owned(), port))
}

fn bad_port() -> Error {
    bad("the port of the Redis address is a number from 1 to 65535")
}

fn decode(text: &str) -> Result<String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| bad("a percent-encoded part of the Redis address is not UTF-8"))
}

fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> (String, u16) {
        (host.to_owned(), port)
    }

    #[test]
    fn every_form_is_read() {
        let config = parse("redis://us%40er:p%3Aw%2F@h:7/3").unwrap();
        assert_eq!(config.server, RedisServer::Single("h".into(), 7));
        assert_eq!(config.username.as_deref(), Some("us@er"));
        assert_eq!(config.password.unwrap().expose(), "p:w/");
        assert_eq!((config.database, config.tls), (3, false));
        assert!(parse("valkeys://h").unwrap().tls && parse("REDISS://h").unwrap().tls);
        assert_eq!(parse("redis://[::1]").unwrap().server, RedisServer::Single("::1".into(), 6379));
        for cluster in [
            "redis-cluster://a:1?node=b:2&node=c",
            "redis+cluster://a:1,b:2,c:6379",
            "valkey-cluster://a:1,b:2?node=c",
        ] {
            let nodes = vec![node("a", 1), node("b", 2), node("c", 6379)];
            assert_eq!(parse(cluster).unwrap().server, RedisServer::Cluster(nodes), "{cluster}");
        }
        let sentinel = parse(
            "rediss-sentinel://:pw@a?node=b:2&sentinelServiceName=m%20m&sentinelUsername=u&sentinelPassword=s",
        );
        let sentinel = sentinel.unwrap();
        assert_eq!(
            sentinel.server,
            RedisServer::Sentinel {
                sentinels: vec![node("a", 26_379), node("b", 2)],
                service: "m m".into(),
                username: Some("u".into()),
                password: Some(Secret::new("s")),
            }
        );
        assert!(sentinel.tls);
        let unix = parse("redis+unix://:pw@/run/a@b.sock?db=2").unwrap();
        assert_eq!((unix.server, unix.database), (RedisServer::Unix("/run/a@b.sock".into()), 2));
        assert_eq!(unix.password.unwrap().expose(), "pw");
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_shown() {
        for url in [
            "localhost:6379",
            "http://h",
            "redis+tls://h",
            "redis-clusters://h",
            "redis://",
            "redis://h:0",
            "redis://h:x",
            "redis://h:70000",
            "redis://::1",
            "redis://a,b",
            "redis://h/300",
            "redis://h/abc",
            "redis://h/1?db=2",
            "redis://hunter2@h",
            "redis://user:@h",
            "redis://h?pasword=hunter2",
            "redis://h#hunter2",
            "redis://:%ff@h",
            "redis-cluster://h/1",
            "redis-sentinel://h",
            "rediss+unix:///s",
            "redis+unix://relative",
            "redis+unix://",
        ] {
            let error = parse(url).map(|config| config.to_string()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{url}");
        }
    }
}
