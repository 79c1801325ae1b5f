//! Settings that change where requests go.

use arshai_core::{ErrorKind, chat::ChatModelExt as _, embed::EmbedderExt as _, registry::Registry};
use arshai_openai::{OpenAiConfig, OpenAiEmbedder, Transport};
use wiremock::{
    Mock, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::{
    embedder,
    fake::{Embeddings, fresh},
    quick,
};

#[tokio::test]
async fn key_organisation_project_and_own_headers_are_sent() {
    let server = fresh().await;
    let body = serde_json::json!({ "data": [{ "index": 0, "embedding": [1.0] }] });
    Mock::given(method("POST"))
        .and(header("authorization", "Bearer sk-very-hidden"))
        .and(header("openai-organization", "org-1"))
        .and(header("openai-project", "proj-1"))
        .and(header("x-route", "blue"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let mut config = quick(&server.uri()).with_header("x-route", "blue");
    (config.organization, config.project) = (Some("org-1".into()), Some("proj-1".into()));
    assert!(embedder(config).embed_query("x").await.is_ok());
}

#[tokio::test]
async fn a_proxy_carries_what_is_for_another_machine_only() {
    let (proxy, seen) = Embeddings::start(|_, _| None).await;
    let config = OpenAiConfig::new("http://models.invalid/v1").with_proxy(proxy.uri());
    assert!(embedder(config).embed_query("text 4").await.is_ok());
    assert_eq!(seen.lock().unwrap().len(), 1);
    let (server, direct) = Embeddings::start(|_, _| None).await;
    embedder(quick(&server.uri()).with_proxy(proxy.uri())).embed_query("x").await.unwrap();
    assert_eq!((seen.lock().unwrap().len(), direct.lock().unwrap().len()), (1, 1));
}

/// Tells the process in which an embedder is opened by name from the one that looks at what it asks.
const INSIDE: &str = "ARSHAI_TEST_INSIDE";

#[tokio::test]
async fn an_embedder_by_name_asks_the_deployment_that_embeds() {
    if std::env::var_os(INSIDE).is_some() {
        let mut embedders = Registry::new("embedder");
        embedders.register(arshai_openai::embedder_provider());
        embedders.open("openai").await.unwrap().embed_query("text 7").await.unwrap();
        let mut models = Registry::new("chat model");
        models.register(arshai_openai::model_provider());
        models.open("openai:gpt").await.unwrap().ask("", "hello").await.unwrap();
        return;
    }
    let server = fresh().await;
    let vector = serde_json::json!({ "data": [{ "index": 0, "embedding": [1.0] }] });
    let answer = serde_json::json!({ "choices": [{ "message": { "content": "hi" } }] });
    for (at, body) in [("embeds/embeddings", vector), ("chats/chat/completions", answer)] {
        Mock::given(path(format!("/openai/deployments/{at}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .expect(1)
            .mount(&server)
            .await;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["OPENAI_BASE_URL", "OPENAI_PROXY", "OPENAI_CA_FILE"] {
        again.env_remove(name);
    }
    again
        .args(["config::an_embedder_by_name_asks_the_deployment_that_embeds", "--exact"])
        .env(INSIDE, "1")
        .env("AZURE_OPENAI_ENDPOINT", server.uri())
        .env("AZURE_OPENAI_API_KEY", "k-1")
        .env("AZURE_OPENAI_DEPLOYMENT", "chats")
        .env("AZURE_OPENAI_EMBEDDING_DEPLOYMENT", "embeds")
        .env("OPENAI_API_VERSION", "2024-10-21");
    let output = tokio::task::spawn_blocking(move || again.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a_key_with_a_line_break_is_a_configuration_error() {
    let error = Transport::new(OpenAiConfig::default().with_api_key("sk-very\nhidden")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    let (server, _) = Embeddings::start(|_, _| None).await;
    // The line break that files end with is no part of a key.
    assert!(embedder(quick(&server.uri()).with_api_key("sk-1\r\n")).embed_query("x").await.is_ok());
}

#[tokio::test]
async fn a_model_without_a_name_is_refused() {
    let transport = Transport::new(OpenAiConfig::default()).unwrap();
    assert_eq!(OpenAiEmbedder::new(transport, " ").unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_setting_with_which_nothing_could_succeed_is_refused_by_name() {
    let mut config = OpenAiConfig::default();
    config.request_timeout = std::time::Duration::ZERO;
    let error = Transport::new(config).unwrap_err();
    assert!(error.to_string().contains("request_timeout"), "{error}");
    let error = Transport::new(OpenAiConfig::default().with_max_attempts(0)).unwrap_err();
    assert!(error.to_string().contains("max_attempts"), "{error}");
}
