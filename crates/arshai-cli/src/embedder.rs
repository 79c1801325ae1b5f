//! Who embeds, and whether a command needs it at all.

use std::sync::Arc;

use arshai::Config;
use arshai_core::{Error, ErrorKind, embed::Embedder, vector::Collection};
use arshai_kb_tool::{KnowledgeBase, Mode};

use crate::{
    backends::{known, label, wrong_setting_or},
    failure::Outcome,
    local,
    output::Printer,
};

/// What a command does with the collection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// Writes documents.
    Write,
    /// Searches, in this mode or the best one.
    Search(Option<Mode>),
}

impl Need {
    /// Whether going on without vectors would not be what was asked for.
    fn insists(self) -> bool {
        matches!(self, Self::Search(Some(Mode::Hybrid | Mode::Dense)))
    }
}

/// Whom the flag, the environment or the default names.
#[derive(Debug)]
pub(crate) enum Choice {
    Nobody,
    /// The local model; `named` when it was asked for by name.
    Local {
        named: bool,
    },
    /// Another one, always by name.
    Other,
}

impl Choice {
    pub(crate) fn of(config: &Config) -> Outcome<Self> {
        let Some(address) = config.embedder_address() else { return Ok(Self::Nobody) };
        let address =
            known(&config.backends().embedders, address, label(config, "--embedder", "ARSHAI_EMBEDDER"))?;
        match address.name().as_str() {
            // What stands behind the name is for the registry to refuse.
            "local" if address.argument().is_none() => Ok(Self::Local { named: config.names_embedder() }),
            _ => Ok(Self::Other),
        }
    }

    /// Gives `base` its embedder, when the command needs it: a model is neither fetched nor read in vain. Also returns
    /// whether it was told that only words are searched.
    pub(crate) async fn give_to(
        self,
        base: KnowledgeBase,
        need: Need,
        config: &Config,
        printer: Printer,
    ) -> Outcome<(KnowledgeBase, bool)> {
        let named = match &self {
            Self::Nobody => return Ok((base, false)),
            Self::Local { named } => *named,
            Self::Other => true,
        };
        if matches!(need, Need::Search(Some(Mode::Lexical))) {
            return Ok((base, false));
        }
        let existing = base.store().describe(base.collection()).await?;
        if matches!(need, Need::Search(_)) {
            match &existing {
                None => return Ok((base, false)),
                Some(existing) if existing.spec.dimension.is_none() => {
                    return no_vectors(base, need, printer);
                }
                Some(_) => {}
            }
        }
        let opened = match self {
            Self::Other => match config.embedder().await {
                Ok(Some(embedder)) => Ok(embedder),
                Ok(None) => return Ok((base, false)),
                Err(error) => Err(error),
            },
            _ => local::open(printer, named || need.insists()).await,
        };
        match opened {
            Ok(embedder) => {
                check(&base, existing.as_ref(), embedder.as_ref())?;
                Ok((base.with_embedder(embedder), false))
            }
            // A wrong setting is no missing model.
            Err(error) if named || need.insists() || error.kind() == ErrorKind::InvalidInput => {
                Err(wrong_setting_or(error))
            }
            Err(error) => {
                printer.remark(&without_model(&error));
                Ok((base, true))
            }
        }
    }
}

fn no_vectors(base: KnowledgeBase, need: Need, printer: Printer) -> Outcome<(KnowledgeBase, bool)> {
    if need.insists() {
        return Err(Error::unsupported(
            "the collection holds no vectors; the next `arshai ingest` of its documents adds them",
        )
        .with_context("collection", base.collection())
        .into());
    }
    printer.remark(
        "searched by words only: the collection holds no vectors; the next `arshai ingest` of its documents adds them",
    );
    Ok((base, true))
}

/// One line: what is missing, why, and how to provide it.
fn without_model(error: &Error) -> String {
    // Why there is no network fills no line; why a file is not good must.
    let why = match error.kind() {
        ErrorKind::Unavailable => error.message().to_owned(),
        _ => error.to_string(),
    };
    format!(
        "going on by words only, for want of the local embedder's model (`arshai model pull` fetches it, or name a \
         folder that holds it in ARSHAI_MODEL_DIR): {why}"
    )
}

/// A collection keeps to the embedder that it was made with.
fn check(base: &KnowledgeBase, existing: Option<&Collection>, embedder: &dyn Embedder) -> Outcome {
    let made_with = existing.filter(|existing| existing.spec.dimension.is_some());
    match made_with.and_then(|existing| existing.spec.embedder.as_deref()) {
        Some(other) if other != embedder.id() => Err(Error::new(
            ErrorKind::AlreadyExists,
            "the collection was made with another embedder; ingest into a new one with --collection NAME, or search \
             this one by words with --embedder none",
        )
        .with_context("collection", base.collection())
        .with_context("embedder", embedder.id())
        .with_context("made with", other)
        .into()),
        _ => Ok(()),
    }
}

/// What opening gives.
pub(crate) type Opened = Result<Arc<dyn Embedder>, Error>;
