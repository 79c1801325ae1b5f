//! Servers that send what they should not, or nothing.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use tempfile::TempDir;

use super::*;
use crate::weights::fetch::{Fetch, tests::names};

/// Answers each request with what `respond` makes of its first line, until the program ends. Returns the address.
fn serve(respond: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/model", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut block = [0_u8; 1024];
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                match stream.read(&mut block) {
                    Ok(count @ 1..) => request.extend_from_slice(&block[..count]),
                    _ => break,
                }
            }
            let first = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            let _gone = stream.write_all(&respond(&first));
        }
    });
    address
}

fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn fetch(url: &Url) -> (TempDir, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Fetch { folder: folder.path(), from: url }.run(&mut |_| {});
    (folder, outcome)
}

/// Fetches and expects a failure that leaves nothing behind.
fn failure(url: &Url) -> Error {
    let (folder, outcome) = fetch(url);
    let error = outcome.unwrap_err();
    assert_eq!(names(folder.path()), [".fetch.lock"], "{error}");
    assert!(error.to_string().contains("ARSHAI_MODEL_DIR"), "it does not say what to do: {error}");
    error
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[test]
fn addresses_that_cannot_be_shown_or_fetched_are_refused() {
    for (text, part) in [
        ("ftp://host/x", "https://"),
        ("models/minilm", "https://"),
        ("https://user:hunter2@host/x", "password"),
        ("https://host/x?token=hunter2", "folder"),
        ("https:///x", "host"),
        ("https://host/a b", "percent"),
    ] {
        let error = Url::new(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn each_address_has_a_folder_of_its_own() {
    let name = |text: &str| Url::new(text).unwrap().name();
    assert_eq!(name("https://host/model"), name("https://host/model/"));
    assert_ne!(name("https://host/model"), name("https://host/other"));
}

#[test]
fn a_server_that_never_answers_ends_the_fetch() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut url = Url::new(&format!("http://{}/model", silent.local_addr().unwrap())).unwrap();
    url.silence = Duration::from_millis(300);
    let error = failure(&url);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("timed out"), "{error}");
}

#[test]
fn a_server_that_goes_silent_in_the_middle_ends_the_fetch() {
    let (sender, kept) = std::sync::mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut url = Url::new(&format!("http://{}/model", listener.local_addr().unwrap())).unwrap();
    url.silence = Duration::from_millis(300);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _read = stream.read(&mut [0_u8; 4096]);
            let _gone = stream.write_all(&answer("200 OK", 1000, b"{"));
            // Open as long as the test runs.
            sender.send(stream).unwrap();
        }
    });
    let error = failure(&url);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    drop(kept);
}

#[test]
fn a_server_that_is_not_there_or_has_no_such_file_is_told() {
    let nowhere = Url::new("http://127.0.0.1:9/model").unwrap();
    assert_eq!(failure(&nowhere).kind(), ErrorKind::Unavailable);
    let empty = Url::new(&serve(|_| answer("404 Not Found", 0, b""))).unwrap();
    let error = failure(&empty);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("404"), "{}", cause(&error));
    let folder = tempfile::tempdir().unwrap();
    let none = Url::new(&format!("file://{}", folder.path().display())).unwrap();
    assert_eq!(failure(&none).kind(), ErrorKind::Unavailable);
}

#[test]
fn a_download_that_breaks_off_is_never_used() {
    let url = Url::new(&serve(|request| {
        let tokenizer = br#"{"model": {"vocab": {}}}"#;
        match request.contains("tokenizer") {
            true => answer("200 OK", tokenizer.len(), tokenizer),
            false => answer("200 OK", 1_000_000, b"\x08half of a model"),
        }
    }))
    .unwrap();
    let error = failure(&url);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(cause(&error).contains("of 1000000 bytes"), "{}", cause(&error));
}

#[test]
fn a_page_instead_of_a_model_is_never_used() {
    let page = b"<html>Please log in to this network</html>";
    let url = Url::new(&serve(|_| answer("200 OK", page.len(), page))).unwrap();
    assert_eq!(failure(&url).kind(), ErrorKind::Corrupt);
    let tokenizer = br#"{"model": {"vocab": {}}}"#;
    let url = Url::new(&serve(|_| answer("200 OK", tokenizer.len(), tokenizer))).unwrap();
    let error = failure(&url);
    assert!(cause(&error).contains("model.onnx"), "{}", cause(&error));
}

#[test]
fn more_than_is_allowed_is_not_taken() {
    // Without a length, so that only counting helps.
    let mut url = Url::new(&serve(|_| {
        let mut answer = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
        answer.resize(200_000, b' ');
        answer
    }))
    .unwrap();
    url.most = 100_000;
    let error = failure(&url);
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn a_redirect_to_plain_http_is_not_followed() {
    let target = serve(|_| answer("200 OK", 2, b"{}"));
    let url = Url::new(&serve(move |_| {
        format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .into_bytes()
    }))
    .unwrap();
    let error = failure(&url);
    assert!(cause(&error).contains("not https"), "{}", cause(&error));
}
