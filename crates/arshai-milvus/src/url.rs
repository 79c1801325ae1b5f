//! Addresses of servers.

use arshai_core::{Error, ErrorKind, Result, config::Secret};
use percent_encoding::percent_decode_str;

use crate::config::{Credentials, DEFAULT_PORT, MilvusConfig, Tls};

const SCHEMES: &str = "milvus, milvuss (TLS), http, https";

pub(crate) fn parse(url: &str) -> Result<MilvusConfig> {
    let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| {
        bad("a Milvus address begins with a scheme and ://").with_context("schemes", SCHEMES)
    })?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "milvus" | "http" => None,
        "milvuss" | "https" => Some(Tls::default()),
        _ => {
            return Err(bad("the scheme of the Milvus address is not known").with_context("schemes", SCHEMES));
        }
    };
    if rest.contains(['?', '#']) {
        return Err(bad("a Milvus address has neither query nor fragment: write ? as %3F and # as %23"));
    }
    let (user_info, place) =
        rest.rsplit_once('@').map_or((None, rest), |(user_info, place)| (Some(user_info), place));
    let credentials = match user_info {
        None | Some("") => Credentials::None,
        Some(user_info) => match user_info.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Credentials::Password { user: decode(user)?, password: Secret::new(decode(password)?) }
            }
            Some(_) => return Err(bad("before the @ stands user:password, or a token")),
            None => Credentials::Token(Secret::new(decode(user_info)?)),
        },
    };
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = read_host(host)?;
    let database = decode(path.trim_end_matches('/'))?;
    if database.contains('/') {
        return Err(bad("the path of a Milvus address is the name of one database"));
    }
    Ok(MilvusConfig { host, port, database, credentials, tls, ..MilvusConfig::default() })
}

fn read_host(host: &str) -> Result<(String, u16)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or_else(|| bad("the [ of the host is not closed"))?;
            (name, after.strip_prefix(':'))
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if name.is_empty() {
        return Err(bad("the Milvus address names no host"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| bad("the port is a number from 1 to 65535"))?,
    };
    Ok((name.to_owned(), port))
}

fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_not_utf8) => Err(bad("a part of the Milvus address is not UTF-8 when percent-decoded")),
    }
}

fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let config = parse("milvus://us%40er:p%3Aw@db.example:7/library/").unwrap();
        assert_eq!(
            (config.host.as_str(), config.port, config.database.as_str()),
            ("db.example", 7, "library")
        );
        let password = Secret::new("p:w");
        assert_eq!(config.credentials, Credentials::Password { user: "us@er".into(), password });
        let config = parse("https://token@[::1]").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("::1", DEFAULT_PORT));
        assert_eq!(config.credentials, Credentials::Token(Secret::new("token")));
        assert!(config.tls.is_some() && parse("http://h").unwrap().tls.is_none());
    }

    #[test]
    fn nothing_is_guessed_and_nothing_secret_is_shown() {
        for url in [
            "db.example:19530",
            "redis://u:hunter2@h",
            "milvus://u:hunter2@",
            "milvus://:hunter2@h",
            "milvus://u:hunter2@h:port",
            "milvus://u:hunter2@h/a/b",
            "milvus://u:hunter2@h?x=1",
            "milvus://u:hunter2@[::1",
            "milvus://u:%ff@h",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }
}
