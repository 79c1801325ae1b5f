//! Redis without a client of ours: what stands in it, and what arrives there.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use arshai::redis::{RedisConfig, RedisServer};

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    /// A connection to the single server.
    pub(crate) fn open() -> Self {
        let config = RedisConfig::from_url(&crate::place::url("redis")).unwrap();
        let RedisServer::Single(host, port) = &config.server else { panic!("{config} is no single server") };
        let stream = TcpStream::connect((host.as_str(), *port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut this = Self { stream: BufReader::new(stream) };
        if let Some(password) = &config.password {
            let user = config.username.as_deref().unwrap_or("default");
            assert_eq!(this.ask(&["AUTH", user, password.expose()]).as_deref(), Some("OK"));
        }
        let database = config.database.to_string();
        assert_eq!(this.ask(&["SELECT", &database]).as_deref(), Some("OK"));
        this
    }

    /// The answer to a command; `None` for nil.
    pub(crate) fn ask(&mut self, command: &[&str]) -> Option<String> {
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        match kind {
            "$" if rest == "-1" => None,
            "$" => {
                let mut value = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut value).unwrap();
                value.truncate(value.len() - 2);
                Some(String::from_utf8(value).unwrap())
            }
            "+" | ":" => Some(rest.to_owned()),
            _ => panic!("{command:?}: {line}"),
        }
    }

    /// A line that the server sends, such as one of `MONITOR`.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
