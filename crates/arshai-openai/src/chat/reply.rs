//! A whole reply.

use arshai_core::{
    Error, ErrorKind, Result,
    chat::{ChatReply, Finish, Usage},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    loose,
    tools::{Assembler, WireCall},
};

/// A reply with everything the server tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetailedReply {
    /// The reply.
    pub reply: ChatReply,
    /// What the model thought before it answered; empty when it does not tell.
    pub reasoning: String,
    /// Why it did not answer, in its own words, when it declined.
    pub refusal: Option<String>,
    /// The finish reason as the server named it.
    pub finish_reason: String,
    /// The server's id of the reply.
    pub id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
}

/// A reply, or a piece of one. Everything may be missing.
#[derive(Debug, Deserialize)]
pub(super) struct Wire {
    #[serde(default, deserialize_with = "loose::text")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "loose::text")]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    delta: Option<Message>,
    #[serde(default, deserialize_with = "loose::text")]
    pub(super) finish_reason: Option<String>,
    #[serde(default, deserialize_with = "loose::number")]
    pub(super) index: Option<u64>,
}

impl Choice {
    /// The whole message. Some servers call it a piece.
    pub(super) fn whole(&mut self) -> Option<Message> {
        self.message.take().or_else(|| self.delta.take())
    }

    /// What is new of it. Some servers send the whole message so far beside it, others send pieces as messages.
    pub(super) fn piece(&mut self) -> Option<Message> {
        self.delta.take().or_else(|| self.message.take())
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    reasoning_content: Option<Value>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default, deserialize_with = "loose::text")]
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "loose::list")]
    pub(super) tool_calls: Option<Vec<WireCall>>,
}

impl Message {
    /// The words: a text, or a list of parts.
    pub(super) fn text(&self) -> String {
        self.content.as_ref().map(words).unwrap_or_default()
    }

    pub(super) fn reasoning(&self) -> String {
        let told = [&self.reasoning_content, &self.reasoning];
        told.into_iter().flatten().map(words).find(|words| !words.is_empty()).unwrap_or_default()
    }
}

/// A text, a part with a text, or a list of these.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(words).collect(),
        Value::Object(part) => {
            ["text", "content"].iter().find_map(|name| part.get(*name)).map(words).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// What it cost, when the server tells both or one of the numbers.
pub(super) fn usage(usage: Option<&Value>) -> Option<Usage> {
    let count = |name| usage.and_then(|usage| usage.get(name)).and_then(Value::as_u64);
    let (prompt, completion) = (count("prompt_tokens"), count("completion_tokens"));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    Some(Usage { prompt_tokens: prompt.unwrap_or(0), completion_tokens: completion.unwrap_or(0) })
}

/// Why it stopped. Servers have their own names for it; an empty one is an end like any other.
pub(super) fn finish(reason: &str, calls_tools: bool) -> Finish {
    match reason {
        "tool_calls" | "function_call" | "tool_use" if calls_tools => Finish::ToolCalls,
        // Some servers stop for tools without saying so.
        "stop" | "" | "eos" | "eos_token" | "end_turn" | "stop_sequence" if calls_tools => Finish::ToolCalls,
        "stop" | "" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call"
        | "tool_use" => Finish::Stop,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "content_filter" | "safety" | "recitation" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

/// Understands a whole reply.
pub(super) fn decode(
    body: &[u8],
    forbids_tools: bool,
    report: impl Fn(&Value) -> Error,
) -> Result<DetailedReply> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| unreadable(body, &error))?;
    if let Some(error) = wire.error.as_ref().filter(|error| !error.is_null()) {
        return Err(report(error));
    }
    // The one with the least number: some servers do not begin with 0.
    let choice = wire.choices.into_iter().flatten().min_by_key(|choice| choice.index.unwrap_or(0));
    let mut choice = choice.ok_or_else(no_answer)?;
    let message = choice.whole().unwrap_or_default();
    let (text, reasoning) = (message.text(), message.reasoning());
    let mut calls = Assembler::default();
    if !forbids_tools {
        message.tool_calls.into_iter().flatten().for_each(|call| calls.add(call));
    }
    let tool_calls = calls.finish();
    let finish_reason = choice.finish_reason.unwrap_or_default();
    let finish = finish(&finish_reason, !tool_calls.is_empty());
    let usage = usage(wire.usage.as_ref());
    Ok(DetailedReply {
        reply: ChatReply { text, tool_calls, usage, finish },
        reasoning,
        refusal: message.refusal.filter(|refusal| !refusal.is_empty()),
        finish_reason,
        id: wire.id,
        model: wire.model,
    })
}

/// The error of a reply in which nobody says anything.
pub(super) fn no_answer() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the reply holds no answer; look whether the server has /chat/completions",
    )
}

/// The error of something that is not a reply, without any of it.
pub(super) fn unreadable(body: &[u8], error: &serde_json::Error) -> Error {
    let is_page = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    if is_page {
        return Error::new(
            ErrorKind::Protocol,
            "the server answered with an HTML page; look at the base URL and at proxies on the way",
        );
    }
    if error.is_eof() {
        return Error::new(ErrorKind::Truncated, "the reply ends in the middle; ask again")
            .with_context("bytes", body.len());
    }
    Error::new(
        ErrorKind::Protocol,
        "the reply is not what a chat looks like; look whether the base URL is right",
    )
    .with_context("line", error.line())
    .with_context("column", error.column())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(error: &Value) -> Error {
        Error::new(ErrorKind::Unavailable, "reported").with_context("code", &error["code"])
    }

    fn decoded(body: &Value) -> Result<DetailedReply> {
        decode(body.to_string().as_bytes(), false, report)
    }

    #[test]
    fn a_reply_without_anything_optional_is_a_reply() {
        let reply = decoded(&json!({ "choices": [{ "message": { "content": "hi" } }] })).unwrap();
        assert_eq!(
            (reply.reply.text.as_str(), reply.reply.usage, reply.reply.finish),
            ("hi", None, Finish::Stop)
        );
    }

    #[test]
    fn finish_reasons_are_open() {
        for (reason, expected) in [
            ("stop", Finish::Stop),
            ("", Finish::Stop),
            ("eos_token", Finish::Stop),
            ("length", Finish::Length),
            ("content_filter", Finish::ContentFilter),
            ("abort", Finish::Other),
            ("something new", Finish::Other),
        ] {
            assert_eq!(finish(reason, false), expected, "{reason}");
        }
        assert_eq!(finish("stop", true), Finish::ToolCalls);
    }

    #[test]
    fn reasoning_and_refusal_are_no_part_of_the_words() {
        let message = json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }],
            "reasoning_content": "hm", "refusal": "no" });
        let reply =
            decoded(&json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })).unwrap();
        assert_eq!((reply.reply.text.as_str(), reply.reasoning.as_str()), ("ab", "hm"));
        assert_eq!(reply.refusal.as_deref(), Some("no"));
    }

    #[test]
    fn what_is_no_reply_is_an_error_without_its_content() {
        for body in ["{}", r#"{"choices":[]}"#, "<html>secret</html>", r#"{"choices":"secret"}"#] {
            let error = decode(body.as_bytes(), false, report).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let error = decode(br#"{"choices":[{"mess"#, false, report).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        let error = decoded(&json!({ "error": { "code": 503, "message": "loading" } })).unwrap_err();
        assert!(error.context().any(|fact| fact == ("code", "503")), "{error}");
    }

    #[test]
    fn what_is_of_another_type_than_it_ought_to_be_refuses_no_reply() {
        let call = json!({ "id": 7, "index": "0", "function": { "name": "f", "arguments": { "x": 1 } } });
        for message in [
            json!({ "content": "hi", "tool_calls": call.clone(), "reasoning": { "text": "hm" }, "refusal": false }),
            json!({ "content": { "type": "text", "text": "hi" }, "tool_calls": [call, "?"], "reasoning": ["hm"] }),
        ] {
            let choice = json!({ "index": "0", "message": message, "finish_reason": 1 });
            let reply = decoded(&json!({ "id": 12, "model": null, "choices": [choice] })).unwrap();
            assert_eq!((reply.reply.text.as_str(), reply.reasoning.as_str()), ("hi", "hm"));
            assert_eq!((reply.id.as_deref(), reply.refusal), (Some("12"), None));
            assert_eq!(reply.reply.tool_calls.len(), 1);
            assert_eq!(reply.reply.tool_calls[0].id, "7");
        }
    }

    #[test]
    fn a_choice_may_have_both_a_message_and_a_piece_and_another_number() {
        let both = json!({ "index": 1, "message": { "content": "whole" }, "delta": { "content": "" } });
        assert_eq!(decoded(&json!({ "choices": [both] })).unwrap().reply.text, "whole");
        let numbered = |n, text| json!({ "index": n, "message": { "content": text } });
        let two = json!({ "choices": [numbered(2, "second"), numbered(1, "first")] });
        assert_eq!(decoded(&two).unwrap().reply.text, "first");
    }
}
