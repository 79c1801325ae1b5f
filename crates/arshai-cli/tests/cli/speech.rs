//! What `transcribe` and `speak` tell by the way. Every command here fails before a connection opens.

use std::process::Command;

use serde_json::Value;

use crate::program::{Program, Run};

const RETIRES: &str = "OpenAI switches this speech model off";
const WHISPER: (&str, &str) = ("OPENAI_TRANSCRIPTION_MODEL", "whisper-1");
const TRANSCRIBE: &[&str] = &["transcribe", "gone.wav"];
const SPEAK: &[&str] = &["speak", "Hello.", "-o", "no/such/folder/x.wav"];

/// The program with these variables and none of the tester's own.
fn command(program: &Program, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = program.command(arguments);
    for variable in [
        "OPENAI_BASE_URL",
        "OPENAI_SPEECH_BASE_URL",
        "OPENAI_TRANSCRIPTION_BASE_URL",
        "OPENAI_SPEECH_MODEL",
        "OPENAI_TRANSCRIPTION_MODEL",
        "AZURE_OPENAI_ENDPOINT",
        "AZURE_SPEECH_KEY",
    ] {
        command.env_remove(variable);
    }
    command.env("OPENAI_API_KEY", "k").envs(variables.iter().copied());
    command
}

#[test]
fn a_model_that_openai_retires_is_warned_of_unless_the_log_is_told_otherwise() {
    let program = Program::new();
    for (arguments, variables, warnings) in [
        (TRANSCRIBE, &[WHISPER][..], 1),
        (SPEAK, &[("OPENAI_SPEECH_MODEL", "tts-1")], 1),
        // The default of each.
        (TRANSCRIBE, &[], 0),
        (SPEAK, &[], 1),
        (TRANSCRIBE, &[WHISPER, ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")], 0),
        (TRANSCRIBE, &[WHISPER, ("ARSHAI_LOG", "error")], 0),
    ] {
        let run = Run::of(&command(&program, arguments, variables).output().unwrap());
        run.assert_fails(1, ".wav");
        let told = run.stderr.matches(RETIRES).count();
        assert_eq!(told, warnings, "{arguments:?} with {variables:?}: {run:?}");
    }
}

#[test]
fn programs_are_told_of_it_in_json() {
    let program = Program::new();
    let arguments = [TRANSCRIBE, &["--json"]].concat();
    let run = Run::of(&command(&program, &arguments, &[WHISPER]).output().unwrap());
    assert_eq!(run.status, Some(1), "{run:?}");
    let lines: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} in {run:?}")))
        .collect();
    let [warning, error] = lines.as_slice() else { panic!("{run:?}") };
    let note = warning["note"].as_str().unwrap();
    assert!(note.contains(RETIRES) && note.contains("2027-02-26"), "{note}");
    assert_eq!(error["error"]["kind"], "not_found", "{run:?}");
}
