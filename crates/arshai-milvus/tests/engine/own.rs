//! A server of a test's own, of the kind that is tested, which it may kill and start again.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arshai_core::{Deadline, vector::VectorStore as _};
use arshai_milvus::{MilvusConfig, MilvusStore};
use tempfile::TempDir;

use crate::{engine, packages};

/// How long a full Milvus may take to answer.
const PATIENCE: Duration = Duration::from_secs(240);
const STANDALONE: &str =
    "milvus==2.3.5 --hash=sha256:69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04\n";
const LITE: &str =
    "milvus-lite==2.5.1 --hash=sha256:25ce13f4b8d46876dd2b7ac8563d7d8306da7ff3999bb0d14b116b30f71d706c\n";
const LITE_IN_PYTHON: &str = include_str!("../../../../services/python/milvus-lite.txt");
const STANDALONE_SCRIPT: &str = include_str!("../../../../services/milvus/standalone.py");

/// A server with a folder of its own. It ends with this value.
pub(crate) struct OwnServer {
    folder: TempDir,
    /// The first is where it listens.
    ports: Vec<u16>,
    child: Child,
}

impl OwnServer {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(12);
        let child = child(folder.path(), &ports);
        let this = Self { folder, ports, child };
        this.answers().await;
        this
    }

    pub(crate) fn store(&self) -> MilvusStore {
        let mut config = MilvusConfig::from_url(&format!("milvus://127.0.0.1:{}", self.ports[0])).unwrap();
        config.attempt_timeout = Duration::from_secs(5);
        MilvusStore::new(config).unwrap()
    }

    /// As a crash: nothing is flushed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`OwnServer::kill`], with the same folder and ports.
    pub(crate) fn launch_again(&mut self) {
        self.child = child(self.folder.path(), &self.ports);
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&self) {
        let (store, began) = (self.store(), Instant::now());
        while Deadline::after(Duration::from_secs(2)).scope(store.health()).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "{} does not answer after {PATIENCE:?}", engine().0);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn child(folder: &Path, ports: &[u16]) -> Child {
    let port = ports[0].to_string();
    let mut command = match engine().0.as_str() {
        "milvus" => {
            let library = packages::python("milvus-2.3.5", STANDALONE);
            let script = folder.join("standalone.py");
            fs::write(&script, STANDALONE_SCRIPT).unwrap();
            let program = server(&library, &script);
            let data = folder.join("data");
            fs::create_dir_all(&data).unwrap();
            let mut command = Command::new("python3");
            command.args(["-s", "-B"]).arg(script).arg("run").args([program, data]);
            command.args(ports.iter().map(u16::to_string)).env("PYTHONPATH", library);
            command
        }
        "milvus-lite" => {
            let library = packages::python("milvus-lite-2.5.1", LITE).join("milvus_lite/lib");
            let program = library.join("milvus");
            executable(&program);
            let mut command = Command::new(program);
            command.args(["lite.db", &format!("127.0.0.1:{port}"), "ERROR"]).env("LD_LIBRARY_PATH", library);
            command
        }
        _ => {
            let known = format!("milvus-lite-python{}", packages::version());
            let script = "import sys; from milvus_lite.cmdline import main; sys.exit(main())";
            let mut command = Command::new("python3");
            command.args(["-s", "-B", "-c", script, "server", "--data-dir", "data", "--host", "127.0.0.1"]);
            command.args(["--port", &port]).env("PYTHONPATH", packages::python(&known, LITE_IN_PYTHON));
            command
        }
    };
    let log = || fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command.current_dir(folder).stdin(Stdio::null()).stdout(log()).stderr(log());
    command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

/// The full server's files, which its package holds compressed.
fn server(library: &Path, script: &Path) -> PathBuf {
    packages::once("milvus-2.3.5-server", STANDALONE_SCRIPT, |folder| {
        let mut unpack = Command::new("python3");
        packages::run(unpack.env("PYTHONPATH", library).arg(script).arg("unpack").arg(folder));
    })
}

fn executable(program: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Below the ports that clients are given, so that nobody else takes them before the server does.
fn free_ports(count: usize) -> Vec<u16> {
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    while held.len() < count {
        let port = fastrand::u16(11_000..32_000);
        held.extend(TcpListener::bind(("0.0.0.0", port)).ok().map(|listener| (port, listener)));
    }
    held.into_iter().map(|(port, _)| port).collect()
}
