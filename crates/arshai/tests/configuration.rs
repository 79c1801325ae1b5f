//! docs/configuration.md lists every variable, as the code reads them. `UPDATE_DOCS=1` writes the list anew.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use arshai::{
    Backends, Config, ErrorKind, Origin,
    config::{Secrecy, Settings},
    memory::{InMemoryMemory, MemoryStore},
    registry::Provider,
};

const BEGIN: &str = "<!-- the list that crates/arshai/tests/configuration.rs keeps -->\n";
const END: &str = "<!-- the end of the list -->\n";

fn list() -> String {
    let mut list = "| variable | meaning | default | unit or values |\n|---|---|---|---|\n".to_owned();
    for variable in Config::variables() {
        let secret = if variable.secrecy == Secrecy::Secret { " (never shown)" } else { "" };
        let default = match variable.default {
            "" => "none".to_owned(),
            text => text.to_owned(),
        };
        let row =
            format!("| `{}` | {}{secret} | {default} | {} |", variable.name, variable.meaning, variable.unit);
        list.push_str(&row.replace("  ", " "));
        list.push('\n');
    }
    list
}

#[test]
fn the_documentation_lists_every_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the list");
    let (_, after) = rest.split_once(END).expect("the list has an end");
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", list());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert_eq!(
            page, fresh,
            "run `UPDATE_DOCS=1 cargo test -p arshai --features full --test configuration`"
        );
    }
}

#[test]
fn no_variable_is_listed_twice() {
    let variables = Config::variables();
    let names: BTreeSet<_> = variables.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), variables.len());
}

#[test]
fn a_variable_that_may_hold_a_password_does_not_show_it() {
    for variable in Config::variables() {
        let name = variable.name;
        // A model and an embedder of another crate may be named by a URL, too.
        let is_url =
            ["_URL", "_ENDPOINT", "_PROXY", "_HOST", "_STORE", "_MEMORY", "ARSHAI_MODEL", "ARSHAI_EMBEDDER"]
                .iter()
                .any(|end| name.ends_with(end));
        let is_secret = ["_KEY", "_TOKEN", "_PASSWORD"].iter().any(|end| name.ends_with(end));
        if is_url || (is_secret && !name.contains("_ALLOW_")) {
            for value in ["https://u:hunter2@host/x", "u:hunter2@proxy:3128"] {
                assert!(!variable.shown(value).contains("hunter2"), "{name}");
            }
        }
    }
}

#[test]
fn conversations_are_where_documents_are_if_that_keeps_them() {
    let config = || Config::from_env().unwrap().with_data("data");
    for (store, memory) in [
        ("sqlite:kb.db", "sqlite:kb.db"),
        ("sqlite://kb.db", "sqlite://kb.db"),
        ("SQLite", "sqlite://data/arshai.db"),
        ("sqlite", "sqlite://data/arshai.db"),
        ("memory://", "memory://"),
        ("milvus://host", "sqlite://data/arshai.db"),
    ] {
        assert_eq!(config().with_store(store).memory_address().unwrap(), memory, "{store}");
    }
    let own = config().with_store("sqlite:kb.db").with_memory("redis://host");
    assert_eq!(own.memory_address().unwrap(), "redis://host");
}

#[tokio::test]
async fn the_settings_of_the_program_reach_the_backends_and_beat_the_environment() {
    let mut settings = Settings::default();
    settings.redis_max_connections = 7_777;
    let seen = Arc::new(Mutex::new(None));
    let mut backends = Backends::built_in();
    let told = Arc::clone(&seen);
    backends.memories.register(
        Provider::new(move |address| {
            *told.lock().unwrap() = address.settings().ok();
            async { Ok(Arc::new(InMemoryMemory::new()) as Arc<dyn MemoryStore>) }
        })
        .with_names(["mine"]),
    );
    let config = Config::from_env().unwrap().with_backends(backends).with_memory("mine");
    let config = config.with_settings(settings.clone());
    config.memory().await.unwrap();
    assert_eq!(seen.lock().unwrap().take(), Some(settings));
    let shown = config.in_force();
    let shown = shown.iter().find(|one| one.variable.name == "REDIS_MAX_CONNECTIONS").unwrap();
    assert_eq!((shown.value.as_str(), shown.origin), ("7777", Origin::Explicit));
}

#[test]
fn what_is_in_force_is_shown_and_not_what_is_said_of_it() {
    let config =
        Config::from_env().unwrap().with_data("data").with_store("sqlite").with_memory("redis://u:hunter2@h");
    let shown = config.with_settings(Settings::default()).in_force();
    let value = |name: &str| {
        let one = shown.iter().find(|one| one.variable.name == name);
        one.unwrap_or_else(|| panic!("{name} is not shown")).value.as_str()
    };
    for (name, expected) in [
        ("ARSHAI_STORE", "sqlite://data/arshai.db"),
        ("ARSHAI_MEMORY", "redis://***@h"),
        ("REDIS_CONNECTION_TIMEOUT", "10"),
    ] {
        assert_eq!(value(name), expected);
    }
    // A description is no value.
    for one in &shown {
        assert!(one.variable.literal || one.value != one.variable.default, "{}", one.variable.name);
    }
    assert_eq!(value("OPENAI_SPEECH_BASE_URL"), value("OPENAI_BASE_URL"));
    let names: BTreeSet<_> = shown.iter().map(|one| one.variable.name).collect();
    assert_eq!(names, Config::variables().iter().map(|variable| variable.name).collect());
}

#[test]
fn a_configuration_that_is_printed_for_its_defects_holds_no_password() {
    let (url, config) = ("foo://u:hunter2@host", Config::from_env().unwrap());
    let config = config.with_store(url).with_memory(url).with_embedder(url).with_model(url);
    let config = config.with_transcriber(url).with_synthesizer(url);
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let shown = config.in_force();
    assert!(shown.iter().all(|one| !one.value.contains("hunter2")), "{shown:?}");
}

#[tokio::test]
async fn speech_takes_the_settings_of_the_program_as_they_are_and_blames_no_variable_for_them() {
    let mut settings = Settings::default();
    // More than the variable may say.
    settings.openai_request_timeout = std::time::Duration::from_secs(100_000);
    let config = Config::from_env().unwrap().with_settings(settings);
    config.clone().with_transcriber("openai").transcriber().await.unwrap();
    config.with_synthesizer("openai").synthesizer().await.unwrap();
}

#[tokio::test]
async fn speech_is_opened_by_name_like_everything_else() {
    let config =
        Config::from_env().unwrap().with_transcriber("openai:whisper-1").with_synthesizer("openai:tts-1");
    assert!(config.transcriber().await.unwrap().id().contains("whisper-1"));
    assert!(config.synthesizer().await.unwrap().id().contains("tts-1"));
    let unknown = config.clone().with_transcriber("somebody").transcriber().await.unwrap_err();
    assert!(unknown.kind() == ErrorKind::NotFound && unknown.to_string().contains("azure"), "{unknown}");
    let refused = config.with_synthesizer("azure:voice").synthesizer().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_only_the_embedder_refuses_is_a_problem_as_well() {
    const INSIDE: &str = "ARSHAI_TEST_INSIDE_EMBEDDER";
    // The environment is that of the whole process, so a process of its own has it.
    if std::env::var_os(INSIDE).is_some() {
        let config = Config::from_env().unwrap().with_embedder("openai:embeds");
        let refused = config.embedder().await.unwrap_err();
        let told: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!((refused.kind(), told.len()), (ErrorKind::Config, 1), "{refused}: {told:?}");
        assert!(told[0].contains("OPENAI_API_VERSION"), "{told:?}");
        return;
    }
    for both in [false, true] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["what_only_the_embedder_refuses_is_a_problem_as_well", "--exact"]);
        for variable in Config::variables() {
            again.env_remove(variable.name);
        }
        again
            .env(INSIDE, "1")
            .env("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com")
            .env("AZURE_OPENAI_API_KEY", "k-1")
            .env("AZURE_OPENAI_EMBEDDING_DEPLOYMENT", "embeds");
        if both {
            // Refused to whoever chats, too: told once.
            again.env("AZURE_OPENAI_DEPLOYMENT", "chats");
        }
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
