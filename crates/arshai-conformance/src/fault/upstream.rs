//! Where the proxy carries connections to.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server behind the proxy: `"host:port"`, a [`SocketAddr`], or a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream(Address);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp(String),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

impl Upstream {
    /// A server that listens on a unix socket.
    #[cfg(unix)]
    pub fn unix(path: impl Into<std::path::PathBuf>) -> Self {
        Self(Address::Unix(path.into()))
    }

    pub(super) async fn connect(&self) -> io::Result<Connected> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await?
    }

    async fn open(&self) -> io::Result<Connected> {
        match &self.0 {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Connected::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Connected::Unix(tokio::net::UnixStream::connect(path).await?)),
        }
    }
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self(Address::Tcp(address.to_string()))
    }
}

impl From<&str> for Upstream {
    fn from(address: &str) -> Self {
        Self(Address::Tcp(address.to_owned()))
    }
}

impl From<String> for Upstream {
    fn from(address: String) -> Self {
        Self(Address::Tcp(address))
    }
}

/// A connection to the server.
pub(super) enum Connected {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

pub(super) type Reader<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;
pub(super) type Writer<'a> = Box<dyn AsyncWrite + Send + Unpin + 'a>;

impl Connected {
    pub(super) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
        }
    }

    /// Ends the connection with a reset where the transport has one.
    pub(super) fn reset(self) {
        match self {
            Self::Tcp(stream) => reset(stream),
            #[cfg(unix)]
            Self::Unix(stream) => drop(stream),
        }
    }
}

/// Drops the socket so that the other side meets a reset instead of the end of the stream.
pub(super) fn reset(stream: TcpStream) {
    #[expect(
        deprecated,
        reason = "its successor set_zero_linger is newer than the tokio the workspace asks for"
    )]
    let lingering = stream.set_linger(Some(Duration::ZERO));
    // A socket that cannot be told so is dead already.
    drop((lingering, stream));
}
