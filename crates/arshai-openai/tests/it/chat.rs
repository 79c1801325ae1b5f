//! Whole replies.

use arshai_core::{
    ErrorKind,
    chat::{
        ChatMessage, ChatModel as _, ChatModelExt as _, ChatRequest, Finish, ToolCall, ToolChoice, Usage,
        UserMessage,
    },
    tool::ToolDefinition,
};
use arshai_openai::{ChatConfig, Image, OpenAiChat, OpenAiConfig, TokenLimitField, Transport};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use crate::{chat_model, fake::fresh, quick};

fn question(text: &str) -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::User(UserMessage::new(text))])
}

async fn serving(reply: Value) -> MockServer {
    let server = fresh().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(ResponseTemplate::new(200).set_body_json(reply))
        .mount(&server)
        .await;
    server
}

fn reply(message: Value, finish: &str) -> Value {
    json!({ "id": "r1", "model": "m-2024", "choices": [{ "index": 0, "message": message, "finish_reason": finish }] })
}

async fn sent(server: &MockServer) -> Value {
    server.received_requests().await.unwrap().last().unwrap().body_json().unwrap()
}

#[tokio::test]
async fn a_reply_is_words_usage_and_why_it_ended() {
    let mut whole = reply(json!({ "role": "assistant", "content": "hi" }), "stop");
    whole["usage"] = json!({ "prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5, "other": null });
    let server = serving(whole).await;
    let reply = chat_model(quick(&server.uri())).ask("be brief", "hello").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("hi", Finish::Stop));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 4, completion_tokens: 1 }));
    let body = sent(&server).await;
    assert_eq!((&body["model"], &body["stream"]), (&json!("test-model"), &json!(false)));
}

#[tokio::test]
async fn what_other_servers_leave_out_or_add_is_no_error() {
    for (message, text) in [
        (json!({ "content": "hi" }), "hi"),
        (json!({ "content": null }), ""),
        (json!({}), ""),
        (json!({ "content": [{ "type": "text", "text": "h" }, { "type": "text", "text": "i" }] }), "hi"),
        (json!({ "content": "hi", "tool_calls": null, "audio": {}, "annotations": [1] }), "hi"),
    ] {
        for usage in [json!(null), json!({}), json!({ "prompt_tokens": null })] {
            let mut whole = reply(message.clone(), "eos");
            whole["usage"] = usage;
            let server = serving(whole).await;
            let reply = chat_model(quick(&server.uri())).chat(question("hello")).await.unwrap();
            assert_eq!((reply.text.as_str(), reply.usage, reply.finish), (text, None, Finish::Stop));
        }
    }
}

#[tokio::test]
async fn tools_are_offered_called_and_forbidden() {
    let calls = json!([
        { "id": "a", "type": "function", "function": { "name": "search", "arguments": "{\"q\":1}" } },
        { "function": { "name": "search", "arguments": { "q": 2 } } },
        { "id": "c", "function": { "name": "search", "arguments": "oops {" } },
    ]);
    let server = serving(reply(json!({ "content": null, "tool_calls": calls }), "stop")).await;
    let model = chat_model(quick(&server.uri()));
    let search = ToolDefinition {
        name: "search".into(),
        description: "d".into(),
        parameters: json!({ "type": "object" }),
    };
    let request = question("hello").with_tools(vec![search]).with_tool_choice(ToolChoice::Required);
    let answer = model.chat(request.clone()).await.unwrap();
    let call = |id: &str, arguments| ToolCall { id: id.into(), name: "search".into(), arguments };
    let expected =
        [call("a", json!({ "q": 1 })), call("call_1", json!({ "q": 2 })), call("c", json!("oops {"))];
    assert_eq!((answer.tool_calls.as_slice(), answer.finish), (&expected[..], Finish::ToolCalls));
    assert_eq!(sent(&server).await["tool_choice"], "required");
    let forbidden = model.chat(request.with_tool_choice(ToolChoice::None)).await.unwrap();
    assert!(forbidden.tool_calls.is_empty() && forbidden.finish == Finish::Stop);
}

#[tokio::test]
async fn structured_output_is_asked_for_and_read() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct City {
        name: String,
    }
    let server = serving(reply(json!({ "content": "{\"name\":\"Tehran\"}" }), "stop")).await;
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    let model = chat_model(quick(&server.uri()));
    let city = model.structured::<City>(question("largest?"), schema.clone()).await.unwrap();
    assert_eq!(city.value, City { name: "Tehran".into() });
    let format = &sent(&server).await["response_format"];
    assert_eq!((&format["type"], &format["json_schema"]["schema"]), (&json!("json_schema"), &schema));
    for (content, finish, kind) in [
        ("{\"name\":", "length", ErrorKind::Truncated),
        ("{\"nom\":1}", "stop", ErrorKind::Protocol),
        ("I would rather not", "stop", ErrorKind::Protocol),
        ("", "content_filter", ErrorKind::Protocol),
    ] {
        let server = serving(reply(json!({ "content": content }), finish)).await;
        let outcome =
            chat_model(quick(&server.uri())).structured::<City>(question("?"), schema.clone()).await;
        assert_eq!(outcome.unwrap_err().kind(), kind, "{content}");
    }
}

#[tokio::test]
async fn what_a_model_thinks_and_who_it_is_are_told_apart() {
    let message = json!({ "content": "hi", "reasoning_content": "hm", "refusal": null });
    let server = serving(reply(message, "custom_reason")).await;
    let model = chat_model(quick(&server.uri()));
    let detailed = model.detailed(question("look"), &[Image::url("https://x.example/y.png")]).await.unwrap();
    assert_eq!((detailed.reply.text.as_str(), detailed.reasoning.as_str()), ("hi", "hm"));
    assert_eq!((detailed.finish_reason.as_str(), detailed.reply.finish), ("custom_reason", Finish::Other));
    assert_eq!((detailed.id.as_deref(), detailed.model.as_deref()), (Some("r1"), Some("m-2024")));
    let content = &sent(&server).await["messages"][0]["content"];
    assert_eq!((&content[0]["text"], &content[1]["type"]), (&json!("look"), &json!("image_url")));
}

#[tokio::test]
async fn limits_go_under_the_name_the_server_knows() {
    for (field, name) in [
        (TokenLimitField::Auto, "max_tokens"),
        (TokenLimitField::MaxTokens, "max_tokens"),
        (TokenLimitField::MaxCompletionTokens, "max_completion_tokens"),
    ] {
        let server = serving(reply(json!({ "content": "hi" }), "stop")).await;
        let mut config = ChatConfig::default().with_max_tokens(9).with_extra("seed", 7);
        config.token_limit_field = field;
        let transport = Transport::new(quick(&server.uri())).unwrap();
        let model = OpenAiChat::with_config(transport, "m", config).unwrap();
        model.chat(question("hello")).await.unwrap();
        let body = sent(&server).await;
        assert_eq!((&body[name], &body["seed"]), (&json!(9), &json!(7)), "{field:?}");
    }
}

#[tokio::test]
async fn azure_is_asked_at_its_own_path_with_its_own_header() {
    let server = fresh().await;
    let answer = ResponseTemplate::new(200).set_body_json(reply(json!({ "content": "hi" }), "stop"));
    Mock::given(path("/openai/deployments/my-gpt/chat/completions"))
        .and(query_param("api-version", "2024-10-21"))
        .and(header("api-key", "k-1"))
        .respond_with(answer.clone())
        .mount(&server)
        .await;
    Mock::given(path("/openai/v1/chat/completions"))
        .and(header("api-key", "k-1"))
        .respond_with(answer)
        .mount(&server)
        .await;
    for config in [
        OpenAiConfig::azure_deployment(server.uri(), "my-gpt", "2024-10-21"),
        OpenAiConfig::azure_v1(server.uri()),
    ] {
        let answer = chat_model(config.with_api_key("k-1")).ask("", "hello").await.unwrap();
        assert_eq!(answer.text, "hi");
    }
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.headers.get("authorization").is_none()));
}

#[tokio::test]
async fn azures_newer_interface_is_asked_for_the_version_that_is_set() {
    let server = fresh().await;
    let answer = ResponseTemplate::new(200).set_body_json(reply(json!({ "content": "hi" }), "stop"));
    Mock::given(path("/openai/v1/chat/completions"))
        .and(query_param("api-version", "preview"))
        .and(header("api-key", "k-1"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let variables = |name: &'static str| match name {
        "AZURE_OPENAI_ENDPOINT" => Some(server.uri()),
        "AZURE_OPENAI_API_KEY" => Some("k-1".to_owned()),
        "OPENAI_API_VERSION" => Some("preview".to_owned()),
        _ => None,
    };
    let config = OpenAiConfig::from_variables(variables).unwrap();
    assert_eq!(chat_model(config).ask("", "hello").await.unwrap().text, "hi");
    // Without one, none is sent: the newer interface has no need of it.
    let error = chat_model(OpenAiConfig::azure_v1(server.uri()).with_api_key("k-1")).ask("", "x").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound, "the server here answers the version alone");
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.last().unwrap().url.query(), None);
}
