//! The files from an address that the user names.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};
use rten::ModelOptions;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{PINNED, Pinned, Progress, VARIABLE, fetch::Source, hex, python::Python};

const SCRIPT: &str = include_str!("url.py");

/// Statuses of the script.
const BROKEN: i32 = 3;
const TOO_LARGE: i32 = 4;
const REFUSED: i32 = 5;

/// The address of a folder that holds `model.onnx` and `tokenizer.json`.
#[derive(Debug)]
pub(super) struct Url {
    address: String,
    /// How long a server may be silent.
    silence: Duration,
    /// Bytes of all files.
    most: u64,
    python: Python,
}

impl Url {
    /// An address that may be shown: it holds no secret.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for anything else.
    pub(super) fn new(text: &str) -> Result<Self> {
        let wrong = |problem: &'static str| Err(Error::invalid(problem));
        let text = text.trim();
        let Some((scheme @ ("http" | "https" | "file"), rest)) = text.split_once("://") else {
            return wrong("the address of a model begins with https://, http:// or file://");
        };
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return wrong("the address of a model cannot hold a user name or password");
        }
        if scheme != "file" && authority.is_empty() {
            return wrong("the address of a model names no host");
        }
        if text.contains(['?', '#', '\\']) || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong("the address of a model is that of a folder, percent-encoded and without ? and #");
        }
        Ok(Self {
            address: text.trim_end_matches('/').to_owned(),
            silence: Duration::from_secs(10),
            most: 2 << 30,
            python: Python::default(),
        })
    }

    /// A short name for the folder of its files.
    pub(super) fn name(&self) -> String {
        let digest = hex(&Sha256::digest(self.address.as_bytes()));
        format!("url-{}", digest.get(..12).unwrap_or(&digest))
    }

    /// Where the script says how many bytes there are, once it knows.
    fn total(work: &Path) -> Option<u64> {
        fs::read_to_string(work.join("total")).ok()?.parse().ok()
    }
}

impl Source for Url {
    /// All or none: the files belong together.
    fn missing(&self, folder: &Path) -> Result<Vec<&'static Pinned>> {
        let complete = PINNED.iter().all(|file| folder.join(file.name).is_file());
        Ok(if complete { Vec::new() } else { PINNED.iter().collect() })
    }

    fn bring(
        &self,
        files: &[&'static Pinned],
        work: &Path,
        until: Instant,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let numbers = [self.silence.as_secs_f64().to_string(), self.most.to_string()];
        let mut arguments = vec![OsStr::new(&self.address)];
        arguments.extend(numbers.iter().map(OsStr::new));
        arguments.extend(files.iter().map(|file| OsStr::new(file.name)));
        let received =
            || files.iter().filter_map(|file| fs::metadata(work.join(file.name)).ok()).map(|m| m.len()).sum();
        let mut total = None;
        let mut watch = || {
            if total.is_none() {
                total = Self::total(work);
                if let Some(total) = total {
                    progress(Progress { received: 0, total });
                }
            }
            if let Some(total) = total {
                progress(Progress { received: received(), total });
            }
        };
        let ended = self.python.run(SCRIPT, &arguments, work, until, &mut watch)?;
        let failed = |kind: ErrorKind, problem: &'static str| {
            Error::new(kind, problem)
                .with_retryable(false)
                .with_context("url", &self.address)
                .with_source(ended.last_line())
        };
        match ended.status.code() {
            Some(0) => {}
            Some(BROKEN) => {
                return Err(failed(
                    ErrorKind::Corrupt,
                    "the download of the model broke off; nothing was kept",
                ));
            }
            Some(TOO_LARGE) => {
                return Err(failed(ErrorKind::Corrupt, "what is at the address is too large for a model"));
            }
            Some(REFUSED) => {
                return Err(failed(
                    ErrorKind::Unavailable,
                    "the address of the model leads elsewhere; name the right one",
                ));
            }
            _ => {
                return Err(failed(
                    ErrorKind::Unavailable,
                    "the model could not be downloaded; is there a network, and are both files at the address?",
                ));
            }
        }
        check(work).map_err(|problem| {
            Error::new(ErrorKind::Corrupt, "what was downloaded is not this model; nothing was kept")
                .with_context("url", &self.address)
                .with_source(problem)
        })
    }

    fn by_hand(&self) -> String {
        format!("put model.onnx and tokenizer.json into one folder and name it in {VARIABLE}")
    }
}

/// Whether the files are what the embedder needs: nothing is known of their content beforehand.
fn check(folder: &Path) -> Result<(), String> {
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let tokenizer: Value = serde_json::from_slice(&read("tokenizer.json")?)
        .map_err(|error| format!("tokenizer.json: {error}"))?;
    if !tokenizer.pointer("/model/vocab").is_some_and(Value::is_object) {
        return Err("tokenizer.json: it holds no vocabulary".to_owned());
    }
    let model = ModelOptions::with_all_ops().load(read("model.onnx")?);
    let model = model.map_err(|error| format!("model.onnx: {error}"))?;
    for input in ["input_ids", "attention_mask", "token_type_ids"] {
        model.node_id(input).map_err(|error| format!("model.onnx: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
