//! Just enough of Redis's protocol (RESP2) to ask a server how it is and to form a cluster.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::dial::dial;

/// No reply of the commands used here is longer.
const MOST: usize = 1 << 20;

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Connection<S: Read + Write> {
    stream: BufReader<S>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The user of the server's access lists; none is the default user.
    pub(crate) user: Option<String>,
    /// The password.
    pub(crate) password: String,
}

impl Login {
    /// The default user.
    pub(crate) fn with(password: &str) -> Self {
        Self { user: None, password: password.to_owned() }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple or a bulk string.
    Text(String),
    /// A whole number.
    Number(i64),
    /// No value.
    Nothing,
    /// A list.
    List(Vec<Reply>),
}

impl Reply {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }
}

impl Connection<TcpStream> {
    /// Connects, and logs in when it is said who asks.
    pub(crate) fn open(address: &str, login: Option<&Login>, patience: Duration) -> Result<Self> {
        let mut connection = Self::over(dial(address, patience)?);
        connection.log_in(login)?;
        Ok(connection)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Speaks over a stream that has its own time limits.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Says who asks.
    pub(crate) fn log_in(&mut self, login: Option<&Login>) -> Result<()> {
        match login {
            Some(Login { user: Some(user), password }) => self.call(&["AUTH", user, password]).map(drop),
            Some(Login { user: None, password }) => self.call(&["AUTH", password]).map(drop),
            None => Ok(()),
        }
    }

    /// Sends a command and reads its reply; an error reply is an error.
    pub(crate) fn call(&mut self, words: &[&str]) -> Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let name = words.first().copied().unwrap_or_default();
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).context("sending a command")?;
        self.reply().with_context(|| format!("the reply to {name}"))
    }

    fn reply(&mut self) -> Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).context("an empty line")?;
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => bail!("{rest}"),
            ":" => Ok(Reply::Number(rest.parse().context("a number")?)),
            "$" => match rest.parse::<i64>().context("a length")? {
                -1 => Ok(Reply::Nothing),
                length => self.bulk(length).map(Reply::Text),
            },
            "*" => match rest.parse::<i64>().context("a count")? {
                -1 => Ok(Reply::Nothing),
                count => (0..count).map(|_| self.reply()).collect::<Result<_>>().map(Reply::List),
            },
            _ => bail!("not Redis's protocol: {line:?}"),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(MOST as u64).read_line(&mut line).context("reading")?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.context("the connection ended within a reply")
    }

    fn bulk(&mut self, length: i64) -> Result<String> {
        let length = usize::try_from(length).context("a length")?;
        ensure!(length <= MOST, "a reply of {length} bytes");
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).context("reading")?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};

    use super::*;

    /// Replies from a script; keeps what was sent.
    struct Script {
        replies: Cursor<&'static [u8]>,
        sent: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.replies.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sent.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted(replies: &'static [u8]) -> Connection<Script> {
        Connection::over(Script { replies: Cursor::new(replies), sent: Vec::new() })
    }

    #[test]
    fn commands_and_replies_are_framed() {
        let mut connection = scripted(b"+PONG\r\n*3\r\n$2\r\na\n\r\n:7\r\n$-1\r\n");
        assert_eq!(connection.call(&["PING"]).unwrap().text(), "PONG");
        let list = vec![Reply::Text("a\n".to_owned()), Reply::Number(7), Reply::Nothing];
        assert_eq!(connection.call(&["X", "y"]).unwrap(), Reply::List(list));
        let sent = &connection.stream.get_ref().sent;
        assert_eq!(sent.as_slice(), b"*1\r\n$4\r\nPING\r\n*2\r\n$1\r\nX\r\n$1\r\ny\r\n");
    }

    #[test]
    fn an_error_reply_or_a_cut_one_is_an_error() {
        let error = scripted(b"-NOAUTH log in\r\n").call(&["PING"]).unwrap_err();
        assert!(format!("{error:#}").contains("NOAUTH log in"), "{error:#}");
        assert!(scripted(b"$5\r\nab").call(&["GET", "k"]).is_err());
        assert!(scripted(b"").call(&["PING"]).is_err());
        assert!(scripted(b"HTTP/1.1 200 OK\r\n").call(&["PING"]).is_err());
    }
}
