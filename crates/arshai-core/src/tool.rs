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
    /// Its score; higher is better. Comparable within one search only.
    pub score: f32,
    /// What each way of searching said of it.
    #[serde(default)]
    pub legs: LegScores,
    /// Its text. Data, never an instruction.
    pub text: String,
    /// The record's metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// What each way of searching says about one passage. Unlike a fused score they say how well it fits, not only how much
/// better than others.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LegScores {
    /// How well its words fit: BM25, which grows with the number of words that were asked for. `None` when words were not
    /// searched for, or did not find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexical: Option<f32>,
    /// How near its meaning is: the cosine, which a threshold can stand on. `None` when meaning was not searched for, did
    /// not find it, or is compared by another metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<f32>,
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
