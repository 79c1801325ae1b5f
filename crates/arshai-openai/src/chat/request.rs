//! What is sent.

use arshai_core::{
    Error, Result,
    chat::{ChatMessage, ChatRequest, ToolCall, ToolChoice},
};
use serde_json::{Map, Value, json};

use super::{ChatConfig, Image};

/// The request without `stream`. Refuses what the model cannot do.
pub(super) fn body(
    request: &ChatRequest,
    images: &[Image],
    config: &ChatConfig,
    model: &str,
    new_field: bool,
) -> Result<Map<String, Value>> {
    check(request, images, config)?;
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), messages(request, images));
    if let Some(temperature) = request.temperature.or(config.temperature) {
        // Through its shortest decimal: 0.7 is not to arrive as 0.699999988079071.
        let number = temperature.to_string().parse::<f64>().unwrap_or(f64::from(temperature));
        body.insert("temperature".to_owned(), number.into());
    }
    if let Some(most) = request.max_tokens.or(config.max_tokens) {
        let name = if new_field { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.to_owned(), most.into());
    }
    if !request.tools.is_empty() {
        body.insert("tools".to_owned(), request.tools.iter().map(tool).collect());
        match request.tool_choice {
            ToolChoice::None => drop(body.insert("tool_choice".to_owned(), "none".into())),
            ToolChoice::Required => drop(body.insert("tool_choice".to_owned(), "required".into())),
            _ => {}
        }
        if let Some(parallel) = config.parallel_tool_calls {
            body.insert("parallel_tool_calls".to_owned(), parallel.into());
        }
    }
    if let Some(schema) = &request.response_schema {
        let format = json!({
            "type": "json_schema",
            "json_schema": { "name": "reply", "schema": schema, "strict": config.strict_schema },
        });
        body.insert("response_format".to_owned(), format);
    }
    body.extend(config.extra.clone());
    Ok(body)
}

/// About how many tokens it may cost, for the budget.
pub(super) fn tokens(request: &ChatRequest, config: &ChatConfig) -> u64 {
    let characters: usize = request
        .messages
        .iter()
        .map(|message| match message {
            ChatMessage::System(text) => text.len(),
            ChatMessage::User(user) => user.text.len() + user.previous_context.len() + user.retrieved.len(),
            ChatMessage::Assistant { text, .. } => text.len(),
            ChatMessage::Tool(result) => result.content.len(),
            _ => 0,
        })
        .sum();
    let most = request.max_tokens.or(config.max_tokens).unwrap_or(0);
    u64::try_from(characters / 4).unwrap_or(u64::MAX).saturating_add(u64::from(most))
}

fn check(request: &ChatRequest, images: &[Image], config: &ChatConfig) -> Result<()> {
    if !request.tools.is_empty() && !config.capabilities.tools {
        return Err(Error::unsupported(
            "the model cannot call tools; leave them out, or correct its capabilities",
        ));
    }
    if request.response_schema.is_some() && !config.capabilities.structured_output {
        return Err(Error::unsupported(
            "the model cannot follow a schema; leave it out, or correct its capabilities",
        ));
    }
    if request.tools.is_empty() && request.tool_choice == ToolChoice::Required {
        return Err(Error::invalid("a tool is required and none is offered; offer one"));
    }
    if request.messages.is_empty() {
        return Err(Error::invalid("there is no message; say something"));
    }
    if !images.is_empty() && !request.messages.iter().any(|message| matches!(message, ChatMessage::User(_))) {
        return Err(Error::invalid("images need a message of the person to go with"));
    }
    let temperature = request.temperature.or(config.temperature);
    if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Error::invalid("the temperature must be from 0 to 2"));
    }
    Ok(())
}

fn messages(request: &ChatRequest, images: &[Image]) -> Value {
    let with_images = request.messages.iter().rposition(|message| matches!(message, ChatMessage::User(_)));
    let messages = request.messages.iter().enumerate().filter_map(|(position, message)| match message {
        ChatMessage::System(text) => Some(json!({ "role": "system", "content": text })),
        ChatMessage::User(user) => {
            let text = user.rendered();
            if images.is_empty() || Some(position) != with_images {
                return Some(json!({ "role": "user", "content": text }));
            }
            let words = std::iter::once(json!({ "type": "text", "text": text }));
            let parts: Vec<Value> = words.chain(images.iter().map(Image::part)).collect();
            Some(json!({ "role": "user", "content": parts }))
        }
        ChatMessage::Assistant { text, tool_calls } if tool_calls.is_empty() => {
            Some(json!({ "role": "assistant", "content": text }))
        }
        ChatMessage::Assistant { text, tool_calls } => {
            let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
            let calls: Vec<Value> = tool_calls.iter().map(tool_call).collect();
            Some(json!({ "role": "assistant", "content": content, "tool_calls": calls }))
        }
        ChatMessage::Tool(result) => {
            Some(json!({ "role": "tool", "tool_call_id": result.call_id, "content": result.content }))
        }
        _ => None,
    });
    messages.collect()
}

fn tool(tool: &arshai_core::tool::ToolDefinition) -> Value {
    json!({
        "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": tool.parameters },
    })
}

fn tool_call(call: &ToolCall) -> Value {
    // What was not JSON when the model wrote it goes back as it was.
    let arguments = match &call.arguments {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
}

#[cfg(test)]
mod tests {
    use arshai_core::{
        ErrorKind,
        chat::{ChatCapabilities, ToolResult, UserMessage},
        tool::ToolDefinition,
    };

    use super::*;

    fn user(text: &str) -> ChatMessage {
        ChatMessage::User(UserMessage::new(text))
    }

    fn search() -> ToolDefinition {
        ToolDefinition {
            name: "search".into(),
            description: "finds".into(),
            parameters: json!({ "type": "object" }),
        }
    }

    fn made(request: &ChatRequest, images: &[Image]) -> Value {
        Value::Object(body(request, images, &ChatConfig::default(), "m", false).unwrap())
    }

    #[test]
    fn a_plain_question_is_plain() {
        let mut request = ChatRequest::new(vec![ChatMessage::System("be brief".into()), user("hi")]);
        request.temperature = Some(0.7);
        request.max_tokens = Some(9);
        let expected = json!({
            "model": "m", "temperature": 0.7, "max_tokens": 9,
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
        });
        assert_eq!(made(&request, &[]), expected);
    }

    #[test]
    fn tools_and_their_results_go_back_as_they_came() {
        let calls = vec![
            ToolCall { id: "1".into(), name: "search".into(), arguments: json!({ "q": "a" }) },
            ToolCall { id: "2".into(), name: "search".into(), arguments: Value::String("{broken".into()) },
        ];
        let result = |id: &str| {
            let (call_id, name, content) = (id.to_owned(), "search".to_owned(), "found".to_owned());
            ChatMessage::Tool(ToolResult { call_id, name, content, passages: Vec::new() })
        };
        let assistant = ChatMessage::Assistant { text: String::new(), tool_calls: calls };
        let request = ChatRequest::new(vec![user("hi"), assistant, result("1"), result("2")])
            .with_tools(vec![search()])
            .with_tool_choice(ToolChoice::None);
        let body = made(&request, &[]);
        assert_eq!(body["messages"][1]["content"], Value::Null);
        assert_eq!(body["messages"][1]["tool_calls"][0]["function"]["arguments"], r#"{"q":"a"}"#);
        assert_eq!(body["messages"][1]["tool_calls"][1]["function"]["arguments"], "{broken");
        assert_eq!(body["messages"][3]["tool_call_id"], "2");
        assert_eq!((&body["tool_choice"], &body["tools"][0]["type"]), (&json!("none"), &json!("function")));
    }

    #[test]
    fn images_go_with_the_last_message_of_the_person() {
        let request = ChatRequest::new(vec![user("first"), user("look")]);
        let images = [
            Image::data("image/png", vec![1, 2, 3]).with_detail(ImageDetail::Low),
            Image::url("https://x/y.png"),
        ];
        let body = made(&request, &images);
        assert_eq!(body["messages"][0]["content"], "first");
        let parts = &body["messages"][1]["content"];
        assert_eq!(parts[0], json!({ "type": "text", "text": "look" }));
        assert_eq!(parts[1]["image_url"], json!({ "url": "data:image/png;base64,AQID", "detail": "low" }));
        assert_eq!(parts[2]["image_url"], json!({ "url": "https://x/y.png" }));
        assert!(!format!("{images:?}").contains("https://x"));
    }

    #[test]
    fn what_the_model_cannot_do_is_refused_unsent() {
        let plain = ChatConfig::default().with_capabilities(ChatCapabilities::default());
        let kind = |request: &ChatRequest, config: &ChatConfig| {
            body(request, &[], config, "m", false).unwrap_err().kind()
        };
        let request = ChatRequest::new(vec![user("hi")]);
        assert_eq!(kind(&request.clone().with_tools(vec![search()]), &plain), ErrorKind::Unsupported);
        let mut with_schema = request.clone();
        with_schema.response_schema = Some(json!({}));
        assert_eq!(kind(&with_schema, &plain), ErrorKind::Unsupported);
        let required = request.with_tool_choice(ToolChoice::Required);
        assert_eq!(kind(&required, &ChatConfig::default()), ErrorKind::InvalidInput);
        assert_eq!(kind(&ChatRequest::default(), &plain), ErrorKind::InvalidInput);
    }

    use super::super::ImageDetail;
}
