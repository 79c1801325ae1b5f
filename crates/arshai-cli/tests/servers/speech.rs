//! `speak` and `transcribe` on servers that speak and hear.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    address,
    program::{Program, Run},
};

const SENTENCE: &str = "Please close the window before you leave the room.";

/// The program with both servers in its environment.
fn command(program: &Program, arguments: &[&str]) -> Command {
    let mut command = program.command(arguments);
    for variable in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "AZURE_SPEECH_KEY"] {
        command.env_remove(variable);
    }
    command
        .env("OPENAI_TRANSCRIPTION_BASE_URL", address("ARSHAI_TEST_SPEECH_TO_TEXT_URL"))
        .env("OPENAI_TRANSCRIPTION_SERVER", "faster-whisper-server")
        .env("OPENAI_TRANSCRIPTION_MODEL", "whisper-1")
        .env("OPENAI_SPEECH_BASE_URL", address("ARSHAI_TEST_TEXT_TO_SPEECH_URL"))
        .env("OPENAI_SPEECH_MODEL", "tts-1");
    command
}

fn run(program: &Program, arguments: &[&str]) -> Run {
    let run = Run::of(&command(program, arguments).output().unwrap());
    assert_eq!(run.status, Some(0), "{arguments:?}: {run:?}");
    run
}

/// At most one word in ten is another.
fn assert_heard(text: &str) {
    let words = |text: &str| -> Vec<String> {
        let plain = text.replace(|c: char| !c.is_alphanumeric(), " ").to_lowercase();
        plain.split_whitespace().map(str::to_owned).collect()
    };
    let (said, heard) = (words(SENTENCE), words(text));
    let missed = said.iter().filter(|word| !heard.contains(word)).count();
    assert!(missed <= 1 && heard.len().abs_diff(said.len()) <= 1, "{text}");
}

#[test]
fn what_the_program_speaks_it_hears_again_in_every_form() {
    let program = Program::new();
    let spoken = run(&program, &["speak", SENTENCE, "-o", "said.wav"]);
    let sound = fs::read(program.path().join("said.wav")).unwrap();
    assert!(spoken.stdout.contains(&format!("said.wav: {} bytes of wav", sound.len())), "{spoken:?}");
    assert!(sound.starts_with(b"RIFF") && sound.len() > 44);
    // Both sizes of its header are those it has.
    for (at, rest) in [(4, 8), (40, 44)] {
        let said = u32::from_le_bytes(sound.get(at..at + 4).unwrap().try_into().unwrap());
        assert_eq!(said as usize, sound.len() - rest, "the size at {at}");
    }
    assert_eq!(fs::read_dir(program.path()).unwrap().filter(is_part).count(), 0);

    let transcribe = |format: &str| run(&program, &["transcribe", "said.wav", "--format", format]).stdout;
    assert_heard(&transcribe("text"));
    let json: Value = serde_json::from_str(&transcribe("json")).unwrap();
    assert_heard(json["text"].as_str().unwrap());
    assert!(json["duration_seconds"].as_f64().unwrap() > 1.0, "{json}");
    let segments = json["segments"].as_array().unwrap();
    assert!(!segments.is_empty() && segments.iter().all(|one| one["start"].as_f64() < one["end"].as_f64()));
    let srt = transcribe("srt");
    assert!(srt.starts_with("1\n00:00:0") && srt.contains(" --> 00:00:0"), "{srt}");
    assert_heard(&captions(&srt, 2));
    let vtt = transcribe("vtt");
    assert!(vtt.starts_with("WEBVTT\n\n00:00:0"), "{vtt}");
    assert_heard(&captions(vtt.trim_start_matches("WEBVTT\n\n"), 1));
    let value = run(&program, &["transcribe", "said.wav", "--format", "srt", "--json"]).json();
    assert_eq!(
        (value["format"].as_str(), value["subtitles"].as_str().map(str::trim)),
        (Some("srt"), Some(srt.trim()))
    );
}

/// The text of captions, each behind so many lines.
fn captions(text: &str, lines: usize) -> String {
    let captions =
        text.trim().split("\n\n").map(|caption| caption.lines().skip(lines).collect::<Vec<_>>().join(" "));
    captions.collect::<Vec<_>>().join(" ")
}

fn is_part(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part")
}

#[test]
fn speech_goes_into_what_is_no_file_and_a_text_comes_from_a_pipe() {
    use std::os::unix::fs::FileTypeExt as _;
    let program = Program::new();
    run(&program, &["speak", "Hello.", "-o", "/dev/null"]);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let mut speaking = command(&program, &["speak", "-", "-o", "said.pcm", "--json"]);
    speaking.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = speaking.stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), SENTENCE.as_bytes()).unwrap();
    let spoken = Run::of(&child.wait_with_output().unwrap());
    assert_eq!(spoken.status, Some(0), "{spoken:?}");
    let length = fs::metadata(program.path().join("said.pcm")).unwrap().len();
    assert_eq!(
        (spoken.json()["bytes"].as_u64(), spoken.json()["format"].as_str()),
        (Some(length), Some("pcm"))
    );
}

#[test]
fn what_cannot_be_heard_or_spoken_is_told_and_leaves_nothing() {
    let program = Program::new();
    let fails = |arguments: &[&str], words: &str| {
        let run = Run::of(&command(&program, arguments).output().unwrap());
        run.assert_fails(1, words);
    };
    fails(&["transcribe", "gone.wav"], "gone.wav");
    program.write("empty.wav", "");
    fails(&["transcribe", "empty.wav"], "empty");
    program.write("noise.mp3", vec![7; 5_000]);
    fails(&["transcribe", "noise.mp3"], "500");
    fails(&["speak", "Hello.", "-o", "no/such/folder/x.wav"], "x.wav");
    assert!(!program.path().join("no").exists());
}
