//! Talking to a language model.

mod message;
mod model;

pub use message::{ChatMessage, ToolCall, ToolResult, UserMessage};
pub use model::{
    ChatCapabilities, ChatEvent, ChatModel, ChatModelExt, ChatReply, ChatRequest, ChatStream, Finish,
    ToolChoice, Usage,
};
