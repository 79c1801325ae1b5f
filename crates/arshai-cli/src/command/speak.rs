//! `arshai speak`

use arshai::speech::{AudioFormat, SpeakOptions, SynthesizerExt as _};
use serde_json::json;

use super::text_or_stdin;
use crate::{
    args,
    backends::{Backends, as_usage, usage, wrong_setting_or},
    failure::Outcome,
    output::{Printer, clean_line},
};

pub(crate) async fn speak(args: &args::Speak, backends: &Backends, printer: Printer) -> Outcome {
    let format = format(args)?;
    let text = text_or_stdin(&args.text)?;
    if text.trim().is_empty() {
        return Err(usage("the text is empty"));
    }
    let synthesizer = backends.config.synthesizer().await.map_err(wrong_setting_or)?;
    let mut options = SpeakOptions::default().with_format(format);
    options.voice.clone_from(&args.voice);
    options.speed = args.speed;
    let written = synthesizer.synthesize_to_file(&text, &options, &args.output).await;
    let closed = synthesizer.close().await;
    let bytes = written?;
    closed?;
    let file = args.output.display().to_string();
    let value = json!({ "file": file, "bytes": bytes, "format": format.name() });
    printer.result(&value, || format!("{}: {bytes} bytes of {format}", clean_line(&file)))
}

/// What was asked for, else what the file's name says. An ending that says nothing is no mistake: a name is a name.
fn format(args: &args::Speak) -> Outcome<AudioFormat> {
    if let Some(format) = &args.format {
        return format.parse().map_err(as_usage("--format"));
    }
    let ending = args.output.extension().and_then(|ending| ending.to_str());
    Ok(ending.and_then(|ending| ending.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_the_format_unless_it_is_named() {
        for (output, named, expected) in [
            ("a.mp3", None, Some("mp3")),
            ("a.FLAC", None, Some("flac")),
            ("a", None, Some("wav")),
            ("a.sound", None, Some("wav")),
            ("a.mp3", Some("pcm"), Some("pcm")),
            ("a.mp3", Some("midi"), None),
        ] {
            let args = args::Speak {
                text: "x".to_owned(),
                output: output.into(),
                format: named.map(str::to_owned),
                voice: None,
                speed: None,
            };
            assert_eq!(format(&args).ok().map(AudioFormat::name), expected, "{output} {named:?}");
        }
    }
}
