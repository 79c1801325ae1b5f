//! Models of an OpenAI-compatible server.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    address,
    program::{Program, Run},
};

#[test]
fn a_model_answers_and_its_words_come_as_it_writes_them() {
    let program = Program::new();
    program.write("docs/moon.md", "The moon orbits the earth in 27 days.");
    program.json(&["ingest", "docs"]);
    let command = |arguments: &[&str]| {
        let mut command = program.command(&[arguments, &["--model", "openai:any"]].concat());
        command
            .env("OPENAI_BASE_URL", address("ARSHAI_TEST_OPENAI_CHAT_URL"))
            .env("OPENAI_API_KEY", "unused");
        command
    };
    let asked = Run::of(
        &command(&["ask", "How long does the moon take?", "--conversation", "asked", "--json"])
            .output()
            .unwrap(),
    );
    let asked = asked.json();
    assert!(!asked["answer"].as_str().unwrap().is_empty(), "{asked}");
    assert!(asked["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{asked}");

    let mut chat = command(&["chat"]);
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Say hello.\n").unwrap();
    let talked = Run::of(&child.wait_with_output().unwrap());
    assert_eq!(talked.status, Some(0), "{talked:?}");
    assert!(!talked.stdout.trim().is_empty(), "{talked:?}");
    let kept = program.json(&["memory", "show", "default"])["working_memory"].as_str().unwrap().to_owned();
    let said = talked.stdout.split("\n\nSources:").next().unwrap().trim().to_owned();
    // A small model may ramble until the conversation is trimmed: how it ended is kept in any case.
    let words: Vec<&str> = said.split_whitespace().collect();
    let words = &words[words.len().saturating_sub(20)..];
    assert!(
        kept.split_whitespace().collect::<Vec<_>>().windows(words.len()).any(|window| window == words),
        "{kept}"
    );
}

#[test]
fn a_server_s_embeddings_find_what_shares_no_word() {
    let program = Program::new();
    program.write("docs/moon.md", "The moon orbits the earth in 27 days.");
    program.write("docs/bread.md", "Sourdough needs a starter of flour and water.");
    let run = |arguments: &[&str]| -> Value {
        let mut command = program.command(&[arguments, &["--embedder", "openai:minilm", "--json"]].concat());
        command.env("OPENAI_BASE_URL", address("ARSHAI_TEST_OPENAI_EMBEDDINGS_URL"));
        let run = Run::of(&command.env("OPENAI_API_KEY", "unused").output().unwrap());
        assert_eq!(run.status, Some(0), "{run:?}");
        run.json()
    };
    assert_eq!(run(&["ingest", "docs"])["embedded"], 2);
    let found = run(&["search", "satellite of our planet"]);
    assert_eq!((&found["mode"], &found["hits"][0]["source"]), (&"hybrid".into(), &"docs/moon.md".into()));
    // Vectors of another model are never compared with these.
    let other =
        program.command(&["search", "x", "--embedder", "openai:other"]).env("OPENAI_API_KEY", "x").output();
    Run::of(&other.unwrap()).assert_fails(1, "openai:minilm");
}

#[test]
fn a_wrong_key_is_told_without_the_key() {
    let program = Program::new();
    let mut command = program.command(&["ask", "x", "--model", "openai:any"]);
    command.env("OPENAI_BASE_URL", "http://db.example/v1").env("OPENAI_API_KEY", "sk-hunter2");
    let run = Run::of(&command.output().unwrap());
    run.assert_fails(2, "plaintext");
    assert!(!run.stderr.contains("hunter2"), "{run:?}");
}

/// Answers every request for a chat with `answer`, in threads of its own, and gives its base URL.
fn answering(answer: impl Fn(&mut TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                answer(reader.get_mut());
            });
        }
    });
    url
}

#[test]
fn words_are_on_the_pipe_before_the_model_has_written_the_rest() {
    let program = Program::new();
    let (read, has_read) = mpsc::channel::<()>();
    let has_read = std::sync::Arc::new(std::sync::Mutex::new(has_read));
    let url = answering(move |stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let mut say = |text: &str| {
            let event = format!("data: {text}\n\n");
            // The program may be gone: then the test fails on its side of the pipe.
            let _ = write!(stream, "{:x}\r\n{event}\r\n", event.len());
        };
        let piece = |text: &str, finish: Value| {
            json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": finish }] })
                .to_string()
        };
        say(&piece("The first words. ", Value::Null));
        // Nothing more until these have been read from the pipe; in vain for ever is too long.
        let _ = has_read.lock().unwrap().recv_timeout(Duration::from_secs(30));
        say(&piece("The last words.", "stop".into()));
        say("[DONE]");
        let _ = write!(stream, "0\r\n\r\n");
    });
    let mut chat = program.command(&["chat", "--model", "openai:any"]);
    chat.env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", "unused");
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Say something.\n").unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut told, mut piece) = (Vec::new(), [0; 256]);
    let has = |told: &[u8], words: &str| String::from_utf8_lossy(told).contains(words);
    while !has(&told, "The first words.") {
        let count = output.read(&mut piece).unwrap();
        assert!(count > 0, "it ended with {:?}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&piece[..count]);
    }
    assert!(!has(&told, "The last words."), "they came together, so they were not streamed");
    read.send(()).unwrap();
    output.read_to_end(&mut told).unwrap();
    let run = Run::of(&child.wait_with_output().unwrap());
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(has(&told, "The last words."), "{:?}", String::from_utf8_lossy(&told));
}

#[test]
fn a_key_that_the_server_refuses_is_told_without_the_key() {
    let program = Program::new();
    let url = answering(|stream| {
        let body = json!({ "error": { "message": "Incorrect API key provided: sk-hunter2", "code": "invalid_api_key" } });
        let body = body.to_string();
        let head = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-type: application/json";
        let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    });
    let mut command = program.command(&["ask", "x", "--model", "openai:any"]);
    let run =
        Run::of(&command.env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", "sk-hunter2").output().unwrap());
    run.assert_fails(1, "does not accept the key");
    assert!(run.stderr.contains("invalid_api_key") && !run.stderr.contains("hunter2"), "{run:?}");
}
