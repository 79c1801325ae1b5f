//! `arshai model`: where the model is, and fetching it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::program::{Program, Run, keys, weights};

const FILES: [&str; 3] = [".fetch.lock", "model.onnx", "tokenizer.json"];

fn file_url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The program with the model in a folder of the test's own.
fn command(program: &Program, arguments: &[&str]) -> Command {
    let mut command = program.command(arguments);
    command.env("ARSHAI_MODEL_DIR", program.path().join("model"));
    command
}

fn run(mut command: Command) -> Run {
    Run::of(&command.output().unwrap())
}

fn success(command: Command) -> Value {
    let run = run(command);
    assert_eq!(run.status, Some(0), "{run:?}");
    run.json()
}

#[test]
fn a_model_is_pulled_once_and_its_path_told() {
    let program = Program::new();
    let folder = program.path().join("model");
    let url = file_url(&weights());

    let absent = run(command(&program, &["model", "path"]));
    absent.assert_fails(1, "arshai model pull");
    assert_eq!(absent.stdout.trim(), folder.to_str().unwrap());
    let absent = run(command(&program, &["model", "path", "--json"]));
    assert_eq!(absent.status, Some(1));
    assert_eq!(absent.json(), json!({ "folder": folder, "present": false, "id": null }));

    let pulled = run(command(&program, &["model", "pull", "--url", &url, "--json"]));
    assert_eq!(pulled.status, Some(0), "{pulled:?}");
    assert_eq!(keys(&pulled.json()), ["downloaded_bytes", "folder", "id"]);
    assert_eq!(pulled.json()["folder"], json!(folder));
    let bytes: u64 = ["model.onnx", "tokenizer.json"]
        .map(|name| fs::metadata(folder.join(name)).unwrap().len())
        .iter()
        .sum();
    assert_eq!(pulled.json()["downloaded_bytes"], bytes);
    // What is fetched, how much and where to was told before.
    let note: Value = serde_json::from_str(&pulled.stderr).unwrap_or_else(|_| panic!("{pulled:?}"));
    for part in [&url, &bytes.to_string(), folder.to_str().unwrap()] {
        assert!(note["note"].as_str().unwrap().contains(part), "{part}: {note}");
    }
    assert_eq!(names(&folder), FILES);

    let again = run(command(&program, &["model", "pull", "--url", &url]));
    assert!(again.stdout.contains("already") && again.stderr.is_empty(), "{again:?}");
    let again = success(command(&program, &["model", "pull", "--json"]));
    assert_eq!(again["downloaded_bytes"], 0, "where a model is, none is fetched");
    let path = success(command(&program, &["model", "path", "--json"]));
    assert_eq!((&path["present"], &path["id"]), (&json!(true), &pulled.json()["id"]));
    assert_eq!(run(command(&program, &["model", "path"])).stdout.trim(), folder.to_str().unwrap());
}

#[test]
fn each_address_has_a_folder_of_its_own_and_another_file_another_id() {
    let program = Program::new();
    program.write("docs/a.md", "A kitten sleeps on the warm windowsill.");
    let changed = program.path().join("changed");
    fs::create_dir(&changed).unwrap();
    fs::copy(weights().join("tokenizer.json"), changed.join("tokenizer.json")).unwrap();
    // A field of a protocol buffer may come twice: this names another producer, and computes the same.
    let mut model = fs::read(weights().join("model.onnx")).unwrap();
    model.extend_from_slice(b"\x12\x05other");
    fs::write(changed.join("model.onnx"), model).unwrap();
    let with_cache = |arguments: &[&str], url: Option<&str>| {
        let mut command = program.command(arguments);
        command
            .env_remove("ARSHAI_EMBEDDER")
            .env("HOME", program.path())
            .env("XDG_CACHE_HOME", program.path().join("cache"));
        if let Some(url) = url {
            command.env("ARSHAI_MODEL_URL", url);
        }
        command
    };
    let (ours, other) = (file_url(&weights()), file_url(&changed));
    let pulled = success(with_cache(&["model", "pull", "--json", "--url", &ours], None));
    let path = |url: Option<&str>| run(with_cache(&["model", "path", "--json"], url)).json();
    // It is used where its address is the one in use.
    assert_eq!(path(None)["present"], false);
    assert_eq!(path(Some(&other))["present"], false);
    let ours_path = path(Some(&ours));
    assert_eq!((&ours_path["present"], &ours_path["folder"]), (&json!(true), &pulled["folder"]));
    // An ingest fetches by itself, and the collection keeps to the model it was made with.
    let report = success(with_cache(&["ingest", "docs", "--json"], Some(&other)));
    assert_eq!(report["embedded"], 1);
    let other_path = path(Some(&other));
    assert_eq!(other_path["present"], true);
    assert_ne!(other_path["id"], pulled["id"]);
    assert_ne!(other_path["folder"], pulled["folder"]);
    let refused = run(with_cache(&["search", "kitten"], Some(&ours)));
    refused.assert_fails(1, other_path["id"].as_str().unwrap());
    refused.assert_fails(1, pulled["id"].as_str().unwrap());
}

#[test]
fn two_processes_that_pull_at_once_end_with_one_good_file() {
    let program = Program::new();
    let url = file_url(&weights());
    let children: Vec<_> = (0..2)
        .map(|_| {
            let mut command = command(&program, &["model", "pull", "--json", "--url", &url]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let runs: Vec<Run> =
        children.into_iter().map(|child| Run::of(&child.wait_with_output().unwrap())).collect();
    let downloads = runs.iter().filter(|run| run.json()["downloaded_bytes"] != 0).count();
    assert_eq!(downloads, 1, "{runs:?}");
    assert_eq!(names(&program.path().join("model")), FILES);
    assert_eq!(success(command(&program, &["model", "path", "--json"]))["id"], runs[0].json()["id"]);
}

/// A server of the model that sends half of `model.onnx`, says so, and says when the other side is gone.
fn half_server() -> (String, mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = request(&mut stream);
            let name = if request.contains("model.onnx") { "model.onnx" } else { "tokenizer.json" };
            let body = fs::read(weights().join(name)).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            match (request.starts_with("HEAD"), name) {
                (true, _) => {}
                (false, "tokenizer.json") => stream.write_all(&body).unwrap(),
                (false, _) => {
                    stream.write_all(&body[..body.len() / 2]).unwrap();
                    sender.send("half").unwrap();
                    // The rest comes too slowly to end, and never so slowly that the other side gives up.
                    while stream.write_all(b"x").is_ok() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    let _test_over = sender.send("gone");
                }
            }
        }
    });
    (address, receiver)
}

fn request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut block = [0_u8; 1024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut block) {
            Ok(count @ 1..) => request.extend_from_slice(&block[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

#[test]
fn a_pull_killed_in_the_middle_leaves_nothing_that_is_used_and_the_next_is_good() {
    let program = Program::new();
    let folder = program.path().join("model");
    let (url, events) = half_server();
    let mut child = command(&program, &["model", "pull", "--url", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let soon = Duration::from_secs(20);
    assert_eq!(events.recv_timeout(soon).unwrap(), "half");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(events.recv_timeout(soon).unwrap(), "gone", "the download outlives the program");
    assert_eq!(names(&folder), [".fetch.lock"]);
    run(command(&program, &["model", "path"])).assert_fails(1, "arshai model pull");
    success(command(&program, &["model", "pull", "--json", "--url", &file_url(&weights())]));
    assert_eq!(names(&folder), FILES, "nothing of the first is left");
    assert_eq!(success(command(&program, &["model", "path", "--json"]))["present"], true);
}

#[test]
fn an_address_in_the_environment_that_cannot_be_used_is_an_error_and_not_shown() {
    let program = Program::new();
    program.write("docs/a.md", "text");
    for arguments in [&["ingest", "docs"][..], &["model", "pull"], &["model", "path"]] {
        let mut command = program.command(arguments);
        command.env_remove("ARSHAI_EMBEDDER").env("ARSHAI_MODEL_URL", "https://user:hunter2@host/model");
        command.env("XDG_CACHE_HOME", program.path().join("cache"));
        let run = run(command);
        run.assert_fails(2, "ARSHAI_MODEL_URL");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
}
