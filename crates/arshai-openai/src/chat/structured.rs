//! Replies that are values of a type.

use arshai_core::{
    Error, ErrorKind, Result,
    chat::{ChatRequest, Finish},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CHAT, DetailedReply, OpenAiChat};

/// A reply read as a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Structured<T> {
    /// The value.
    pub value: T,
    /// The reply it was read from.
    pub reply: DetailedReply,
}

impl OpenAiChat {
    /// Asks for a reply that follows a JSON Schema, and reads it as a value.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`](arshai_core::chat::ChatModel::chat); [`ErrorKind::Truncated`] when the limit of tokens cut
    /// the reply off; [`ErrorKind::Protocol`] when the model declined or wrote something else. What it wrote is not in
    /// the error.
    ///
    /// # Cancel safety
    ///
    /// As [`OpenAiChat`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use arshai_core::chat::{ChatMessage, ChatRequest, UserMessage};
    /// use arshai_openai::OpenAiChat;
    /// use serde_json::json;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct City {
    ///     name: String,
    /// }
    ///
    /// # async fn example(model: OpenAiChat) -> arshai_core::Result<()> {
    /// let schema = json!({
    ///     "type": "object",
    ///     "properties": { "name": { "type": "string" } },
    ///     "required": ["name"],
    ///     "additionalProperties": false,
    /// });
    /// let question = ChatMessage::User(UserMessage::new("Which is the largest city of Iran?"));
    /// let city = model.structured::<City>(ChatRequest::new(vec![question]), schema).await?;
    /// println!("{}", city.value.name);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn structured<T: DeserializeOwned>(
        &self,
        mut request: ChatRequest,
        schema: Value,
    ) -> Result<Structured<T>> {
        request.response_schema = Some(schema);
        let reply = self.detailed(request, &[]).await?;
        let value = read(&reply).map_err(|error| error.with_operation(CHAT))?;
        Ok(Structured { value, reply })
    }
}

fn read<T: DeserializeOwned>(reply: &DetailedReply) -> Result<T> {
    if reply.refusal.is_some() {
        return Err(Error::new(ErrorKind::Protocol, "the model declined to answer; ask differently"));
    }
    match reply.reply.finish {
        Finish::Length => {
            return Err(Error::new(
                ErrorKind::Truncated,
                "the limit of tokens cut the reply off; allow more tokens",
            )
            .with_retryable(false));
        }
        Finish::ContentFilter => {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the provider's filter withheld the answer; ask differently",
            ));
        }
        _ => {}
    }
    serde_json::from_str(unfenced(&reply.reply.text)).map_err(|error| {
        Error::new(
            ErrorKind::Protocol,
            "the reply does not follow the schema; look whether the server knows schemas, and whether the type fits",
        )
        .with_context("line", error.line())
        .with_context("column", error.column())
    })
}

/// The text without the fence that models without schemas like to put around JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")) else { return text };
    inner.strip_prefix("json").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use arshai_core::chat::ChatReply;

    use super::*;

    fn reply(text: &str, finish: Finish) -> DetailedReply {
        DetailedReply {
            reply: ChatReply { text: text.to_owned(), tool_calls: Vec::new(), usage: None, finish },
            reasoning: String::new(),
            refusal: None,
            finish_reason: String::new(),
            id: None,
            model: None,
        }
    }

    #[test]
    fn a_value_is_read_with_and_without_a_fence() {
        for text in ["[1,2]", "```json\n[1,2]\n```", " ```\n[1, 2]``` "] {
            assert_eq!(read::<Vec<u8>>(&reply(text, Finish::Stop)).unwrap(), [1, 2], "{text}");
        }
    }

    #[test]
    fn half_a_value_and_another_value_are_errors_without_content() {
        let error = read::<Vec<u8>>(&reply("[1,", Finish::Length)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        let error = read::<Vec<u8>>(&reply("a secret", Finish::Stop)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!format!("{error:?}").contains("secret"));
        let mut declined = reply("[1]", Finish::Stop);
        declined.refusal = Some("no".into());
        assert!(read::<Vec<u8>>(&declined).is_err());
    }
}
