//! What is said to a model, with its parts kept apart.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tool::Passage;

/// One message of a conversation with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatMessage {
    /// Instructions of the program.
    System(String),
    /// What the person said, with what the program adds to it.
    User(UserMessage),
    /// What the model said before.
    Assistant {
        /// Its words; may be empty when it only calls tools.
        text: String,
        /// The tools it asked to be called.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    Tool(ToolResult),
}

/// A person's message. The words, the conversation so far and retrieved passages are separate parts, so that
/// retrieval and quoting use exactly the words and nobody parses a prompt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UserMessage {
    /// The person's words, unchanged.
    pub text: String,
    /// The working memory so far; empty when there is none.
    pub previous_context: String,
    /// Passages retrieved before the model was asked, as text for the model; empty when there are none.
    pub retrieved: String,
    /// The same passages, typed.
    pub passages: Vec<Passage>,
}

impl UserMessage {
    /// Words alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The message as one text, for a model that takes text: retrieved passages first, then
    /// `Previous context: …`, a blank line and `User: …`; the words alone when there is no previous context.
    pub fn rendered(&self) -> String {
        let mut out = String::new();
        if !self.retrieved.is_empty() {
            out.push_str(&self.retrieved);
            out.push_str("\n\n");
        }
        if self.previous_context.is_empty() {
            out.push_str(&self.text);
        } else {
            out.push_str("Previous context: ");
            out.push_str(&self.previous_context);
            out.push_str("\n\nUser: ");
            out.push_str(&self.text);
        }
        out
    }
}

/// A model's wish that a tool be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's id of the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments; a text when the model did not produce valid JSON.
    pub arguments: Value,
}

/// The answer to a [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The answer as text for the model.
    pub content: String,
    /// The passages in it, typed.
    pub passages: Vec<Passage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_rendered_as_the_guide_does() {
        let mut message = UserMessage::new("hello");
        assert_eq!(message.rendered(), "hello");
        message.previous_context = "we met".into();
        assert_eq!(message.rendered(), "Previous context: we met\n\nUser: hello");
    }
}
