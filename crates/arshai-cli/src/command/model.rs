//! `arshai model`

use arshai_local::Weights;
use serde_json::json;

use crate::{
    args,
    backends::{as_usage, wrong_setting_or},
    failure::{Failure, Outcome},
    local,
    output::Printer,
};

pub(crate) async fn model(args: &args::Model, printer: Printer) -> Outcome {
    match args {
        args::Model::Pull { url } => pull(url.as_deref(), printer).await,
        args::Model::Path => path(printer).await,
    }
}

async fn pull(url: Option<&str>, printer: Printer) -> Outcome {
    if let Some(url) = url {
        local::folder(Some(url)).map_err(as_usage("--url"))?;
    }
    let folder = local::folder(url).map_err(wrong_setting_or)?;
    // Any model in a folder that the user names is good; the one in the cache folder is checked.
    let (weights, bytes) = match Weights::in_folder(&folder) {
        Some(weights) if url.is_some() || names_a_folder() => (weights, 0),
        _ => local::fetch(printer, url.map(str::to_owned), true).await?,
    };
    let id = local::id(weights).await?;
    let shown = folder.display();
    let hint = match url {
        // Otherwise the next command would look elsewhere.
        Some(url) if !local::folder(None).is_ok_and(|usual| usual == folder) => {
            format!("\nUse it with ARSHAI_MODEL_URL={url}")
        }
        _ => String::new(),
    };
    printer.result(
        &json!({ "folder": folder.to_string_lossy(), "id": id, "downloaded_bytes": bytes }),
        || match bytes {
            0 => format!("The model {id} is in {shown} already.{hint}"),
            _ => format!("The model {id} is in {shown}.{hint}"),
        },
    )
}

async fn path(printer: Printer) -> Outcome {
    let folder = local::folder(None).map_err(wrong_setting_or)?;
    let weights = Weights::in_folder(&folder);
    let present = weights.is_some();
    let id = match weights {
        Some(weights) => Some(local::id(weights).await?),
        None => None,
    };
    printer.result(&json!({ "folder": folder.to_string_lossy(), "present": present, "id": id }), || {
        folder.display().to_string()
    })?;
    if present {
        return Ok(());
    }
    printer.remark("the model is not there; `arshai model pull` fetches it");
    Err(Failure::Reported)
}

fn names_a_folder() -> bool {
    std::env::var_os("ARSHAI_MODEL_DIR").is_some_and(|folder| !folder.is_empty())
}
