//! The extractive model as a [`ChatModel`].

use arshai_core::{
    Error, Result,
    chat::{
        ChatCapabilities, ChatEvent, ChatMessage, ChatModel, ChatRequest, ChatStream, Finish, ToolCall,
        ToolChoice, UserMessage,
    },
    tool::Passage,
};
use async_trait::async_trait;
use futures_util::stream;
use serde_json::{Value, json};

use crate::answer;

/// The retrieval tool that is preferred when several take a query.
const SEARCH_TOOL: &str = "knowledge_base_search";

/// A model that answers with sentences of the passages it is given, in their own words.
///
/// In a turn without passages it calls the search tool it is offered, once, with the person's words. Then it quotes
/// at most three sentences that answer, best first, each followed by its citation `[n]`, or says that it found nothing.
/// Where passages were searched for by their words only, a sentence answers when it holds at least half of the
/// question's content words. Where they were searched for by meaning too, its words and the cosine of its passage
/// together must be evidence enough: see [`ExtractiveModel::with_evidence`]. A sentence counts the words of the headings above it as its own, and
/// a row of a table those of the table's header; headings with text below them and headers are not quoted. Brackets
/// around numbers inside a quotation become parentheses, so that only its own numbers are citations.
///
/// It counts no tokens (usage is `None`), keeps nothing between calls, and cannot follow a JSON Schema.
///
/// # Examples
///
/// ```
/// use arshai_core::{chat::{ChatMessage, ChatModel, ChatRequest, UserMessage}, tool::Passage};
/// use arshai_local::ExtractiveModel;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let mut message = UserMessage::new("How long is green tea steeped?");
/// message.passages = vec![Passage {
///     n: 1,
///     id: "a".into(),
///     source: "tea.md".into(),
///     score: 1.0,
///     legs: Default::default(),
///     text: "Tea is a plant. Green tea is steeped for two minutes.".into(),
///     metadata: Default::default(),
/// }];
/// let reply = ExtractiveModel::new().chat(ChatRequest::new(vec![ChatMessage::User(message)])).await?;
/// assert_eq!(reply.text, "“Green tea is steeped for two minutes.” [1]");
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ExtractiveModel {
    evidence: f32,
}

impl Default for ExtractiveModel {
    fn default() -> Self {
        Self { evidence: answer::EVIDENCE }
    }
}

impl ExtractiveModel {
    /// The model. It has no weights.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same asking for more or less evidence before it answers: the cosine of a sentence's passage, plus 1.3 times
    /// the share of the question's words that the sentence holds. Default: the value that refused as many unanswerable
    /// questions as it answered answerable ones with the vectors of all-MiniLM-L6-v2. Vectors of another model may need
    /// another. Where no passage has [the score of its meaning](arshai_core::tool::LegScores::dense), half of the words is
    /// asked for instead; a single one without it counts as far away in meaning.
    #[must_use]
    pub fn with_evidence(mut self, least: f32) -> Self {
        self.evidence = least;
        self
    }
}

#[async_trait]
impl ChatModel for ExtractiveModel {
    fn id(&self) -> &str {
        "extractive"
    }

    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities::default().with_tools()
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        if request.response_schema.is_some() {
            return Err(Error::unsupported("the extractive model cannot follow a JSON Schema")
                .with_operation("extractive.stream"));
        }
        let events = reply(&request, self.evidence)?;
        Ok(Box::pin(stream::iter(events.into_iter().map(Ok))))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn reply(request: &ChatRequest, evidence: f32) -> Result<Vec<ChatEvent>> {
    let turn = Turn::of(&request.messages)?;
    if let Some(call) = search(request, &turn)? {
        let done = ChatEvent::Done { usage: None, finish: Finish::ToolCalls };
        return Ok(vec![ChatEvent::ToolCall(call), done]);
    }
    let text = match turn.failure() {
        Some(failure) => format!("I could not search the documents. {failure}"),
        None => answer::answer(&turn.user.text, &turn.passages, evidence),
    };
    Ok(vec![ChatEvent::Text(text), ChatEvent::Done { usage: None, finish: Finish::Stop }])
}

/// The last question and what was found for it.
struct Turn<'a> {
    user: &'a UserMessage,
    passages: Vec<&'a Passage>,
    /// What tools answered without passages.
    remarks: Vec<&'a str>,
    searched: bool,
}

impl<'a> Turn<'a> {
    fn of(messages: &'a [ChatMessage]) -> Result<Self> {
        let question = messages.iter().enumerate().rev().find_map(|(position, message)| match message {
            ChatMessage::User(user) => Some((position, user)),
            _ => None,
        });
        let Some((position, user)) = question else {
            return Err(Error::invalid("the request holds no message of a person")
                .with_operation("extractive.stream"));
        };
        let mut turn = Self {
            user,
            passages: user.passages.iter().collect(),
            remarks: Vec::new(),
            searched: !user.retrieved.is_empty() || !user.passages.is_empty(),
        };
        if user.passages.is_empty() && !user.retrieved.is_empty() {
            turn.remarks.push(&user.retrieved);
        }
        for message in messages.iter().skip(position) {
            if let ChatMessage::Tool(result) = message {
                turn.searched = true;
                turn.passages.extend(&result.passages);
                if result.passages.is_empty() {
                    turn.remarks.push(&result.content);
                }
            }
        }
        Ok(turn)
    }

    /// What kept the search from being made: nothing found and not searched are two things.
    fn failure(&self) -> Option<&'a str> {
        let failed = |remark: &&&str| remark.starts_with("Error");
        self.remarks.iter().find(failed).filter(|_| self.passages.is_empty()).copied()
    }
}

/// The call of the search tool, when one is due.
fn search(request: &ChatRequest, turn: &Turn<'_>) -> Result<Option<ToolCall>> {
    let required = request.tool_choice == ToolChoice::Required;
    if request.tool_choice == ToolChoice::None || (turn.searched && !required) {
        return Ok(None);
    }
    let takes_query = |parameters: &Value| parameters.pointer("/properties/query").is_some();
    let tool = request
        .tools
        .iter()
        .find(|tool| tool.name == SEARCH_TOOL)
        .or_else(|| request.tools.iter().find(|tool| required && takes_query(&tool.parameters)));
    match tool {
        Some(tool) if required || !turn.user.text.trim().is_empty() => Ok(Some(ToolCall {
            id: "extractive-search".to_owned(),
            name: tool.name.clone(),
            arguments: json!({ "query": turn.user.text }),
        })),
        None if required => {
            Err(Error::unsupported("the extractive model can only call a tool that takes a query")
                .with_operation("extractive.stream"))
        }
        _ => Ok(None),
    }
}
