//! The knowledge base as a tool that a model calls.

use std::{fmt::Write as _, sync::Arc};

use arshai_core::{
    Filter, Result,
    tool::{Passage, Tool, ToolDefinition, ToolOutput},
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{KnowledgeBase, SearchHit, SearchOptions};

/// The name under which a model calls it.
pub const TOOL_NAME: &str = "knowledge_base_search";

const HEADING: &str = "Relevant information from knowledge base:";
const NOTHING: &str = "No relevant information found in the knowledge base.";

/// `knowledge_base_search`: finds passages for a model.
///
/// [`ToolOutput::text`] is a plain listing for callers; an agent shows its model the typed passages, delimited.
#[derive(Debug)]
pub struct KnowledgeBaseTool {
    base: Arc<KnowledgeBase>,
    options: SearchOptions,
    definition: ToolDefinition,
}

impl KnowledgeBaseTool {
    /// The tool over `base`, with at most 5 passages and no filter.
    pub fn new(base: Arc<KnowledgeBase>) -> Self {
        let definition = ToolDefinition {
            name: TOOL_NAME.to_owned(),
            description:
                "Search the documents of the knowledge base for passages that help to answer a question."
                    .to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string",
                        "description": "What to look for, in the words of the question",
                    }
                },
                "required": ["query"],
            }),
        };
        Self { base, options: SearchOptions::default(), definition }
    }

    /// The same with another number of passages.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.options.limit = limit;
        self
    }

    /// The same over the chunks for which `filter` holds. The model cannot change it.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.options.filter = filter.into();
        self
    }

    /// The same with other search options altogether.
    #[must_use]
    pub fn with_options(mut self, options: SearchOptions) -> Self {
        self.options = options;
        self
    }

    /// The knowledge base it searches.
    pub fn knowledge_base(&self) -> &Arc<KnowledgeBase> {
        &self.base
    }
}

#[async_trait]
impl Tool for KnowledgeBaseTool {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    /// Never an error: a failure is an output that says so.
    async fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        let Some(query) = arguments.get("query").and_then(Value::as_str) else {
            return Ok(failure(&"the argument `query` is missing or is not a text"));
        };
        match self.base.search(query, &self.options).await {
            Ok(found) => Ok(output(found.hits)),
            Err(error) => {
                tracing::warn!(%error, "the knowledge base search failed");
                Ok(failure(&error))
            }
        }
    }
}

fn output(hits: Vec<SearchHit>) -> ToolOutput {
    let passages: Vec<Passage> = hits
        .into_iter()
        .zip(1..)
        .map(|(hit, n)| Passage {
            n,
            id: hit.id,
            source: hit.source,
            score: hit.score,
            legs: hit.legs,
            text: hit.text,
            metadata: hit.metadata,
        })
        .collect();
    if passages.is_empty() {
        return ToolOutput::text(NOTHING);
    }
    let mut text = HEADING.to_owned();
    for passage in &passages {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n{}. {} (Score: {})", passage.n, passage.text, passage.score);
    }
    ToolOutput { text, passages, is_error: false }
}

fn failure(error: &dyn std::fmt::Display) -> ToolOutput {
    ToolOutput::error(format!("Error during knowledge base search: {error}"))
}
