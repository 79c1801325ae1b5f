//! Spans with the field names of OpenTelemetry's conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>).

use arshai_core::{Error, chat::Usage, embed::EmbeddingBatch};
use tracing::{Span, field::Empty, info_span};

use crate::config::Endpoint;

/// The span of an embedding call.
pub(crate) fn embeddings(endpoint: &Endpoint, model: &str, dimensions: Option<usize>) -> Span {
    let span = info_span!(
        "gen_ai.embeddings",
        "otel.name" = Empty,
        "otel.kind" = "client",
        "gen_ai.operation.name" = "embeddings",
        "gen_ai.provider.name" = provider(endpoint),
        "gen_ai.request.model" = model,
        "gen_ai.embeddings.dimension.count" = Empty,
        "gen_ai.usage.input_tokens" = Empty,
        "server.address" = endpoint.host(),
        "server.port" = endpoint.port(),
        "error.type" = Empty,
    );
    name(&span, "embeddings", model);
    if let Some(dimensions) = dimensions {
        span.record("gen_ai.embeddings.dimension.count", dimensions);
    }
    span
}

/// What came of it.
pub(crate) fn embedded(span: &Span, batch: &EmbeddingBatch) {
    span.record("gen_ai.embeddings.dimension.count", batch.dimension());
    if let Some(tokens) = batch.tokens {
        span.record("gen_ai.usage.input_tokens", tokens);
    }
    if let Some(Err(error)) = batch.rows().find(Result::is_err) {
        failed(span, error);
    }
}

/// The span of a chat call.
pub(crate) fn chat(
    endpoint: &Endpoint,
    model: &str,
    temperature: Option<f32>,
    max_tokens: Option<u32>,
) -> Span {
    let span = info_span!(
        "gen_ai.chat",
        "otel.name" = Empty,
        "otel.kind" = "client",
        "gen_ai.operation.name" = "chat",
        "gen_ai.provider.name" = provider(endpoint),
        "gen_ai.request.model" = model,
        "gen_ai.request.temperature" = Empty,
        "gen_ai.request.max_tokens" = Empty,
        "gen_ai.response.id" = Empty,
        "gen_ai.response.model" = Empty,
        "gen_ai.response.finish_reasons" = Empty,
        "gen_ai.usage.input_tokens" = Empty,
        "gen_ai.usage.output_tokens" = Empty,
        "gen_ai.input.messages" = Empty,
        "gen_ai.output.messages" = Empty,
        "server.address" = endpoint.host(),
        "server.port" = endpoint.port(),
        "error.type" = Empty,
    );
    name(&span, "chat", model);
    if let Some(temperature) = temperature {
        span.record("gen_ai.request.temperature", f64::from(temperature));
    }
    if let Some(max_tokens) = max_tokens {
        span.record("gen_ai.request.max_tokens", max_tokens);
    }
    span
}

/// What a model said of its reply.
pub(crate) fn replied(
    span: &Span,
    id: Option<&str>,
    model: Option<&str>,
    finish: Option<&str>,
    usage: Option<Usage>,
) {
    let texts = [
        ("gen_ai.response.id", id),
        ("gen_ai.response.model", model),
        ("gen_ai.response.finish_reasons", finish),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            span.record(field, value);
        }
    }
    if let Some(usage) = usage {
        span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
        span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
    }
}

/// Why it failed: the kind, which holds nothing of the content.
pub(crate) fn failed(span: &Span, error: &Error) {
    span.record("error.type", error.kind().name());
}

fn name(span: &Span, operation: &str, model: &str) {
    if !span.is_disabled() {
        span.record("otel.name", format!("{operation} {model}"));
    }
}

fn provider(endpoint: &Endpoint) -> &'static str {
    if endpoint.is_azure { "azure.ai.openai" } else { "openai" }
}
