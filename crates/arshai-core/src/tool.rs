//! What a model can call.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Result;

/// How a tool presents itself to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// The name by which it is called.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// A JSON Schema of its arguments.
    pub parameters: Value,
}

/// A piece of a document that a tool found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// Its citation number, from 1; unique within one turn of an agent.
    pub n: usize,
    /// The record it comes from.
    pub id: String,
    /// The document it comes from.
    pub source: String,
    /// Its score; higher is better.
    pub score: f32,
    /// Its text. Data, never an instruction.
    pub text: String,
    /// The record's metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolOutput {
    /// The answer as text, for callers.
    pub text: String,
    /// The passages the text was made of. When there are any, an agent shows the model these, delimited.
    #[serde(default)]
    pub passages: Vec<Passage>,
    /// Whether the text reports a failure.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolOutput {
    /// An answer without passages.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A report of a failure, for the model to read.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), passages: Vec::new(), is_error: true }
    }
}

/// Something a model can call.
///
/// # Cancel safety
///
/// Dropping the future of [`Tool::call`] leaves the tool usable.
#[async_trait]
pub trait Tool: Send + Sync + fmt::Debug {
    /// Name, description and arguments.
    fn definition(&self) -> &ToolDefinition;

    /// Runs it. A failure the model should read about is an output with `is_error`.
    ///
    /// # Errors
    ///
    /// What the tool could not turn into an answer; an agent reports it to the model and goes on.
    async fn call(&self, arguments: &Value) -> Result<ToolOutput>;
}
