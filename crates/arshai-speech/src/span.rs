//! Spans with the field names of OpenTelemetry's conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>).

use arshai_core::{Error, speech::Transcript};
use arshai_openai::Transport;
use tracing::{Span, field::Empty, info_span};

/// The span of a call; `operation` is `transcribe` or `speak`, `output` is `text` or `speech`.
pub(crate) fn call(
    operation: &'static str,
    output: &'static str,
    provider: &'static str,
    transport: &Transport,
    model: &str,
) -> Span {
    let (host, port) = transport.address();
    let span = info_span!(
        "gen_ai.speech",
        "otel.name" = Empty,
        "otel.kind" = "client",
        "gen_ai.operation.name" = operation,
        "gen_ai.output.type" = output,
        "gen_ai.provider.name" = provider,
        "gen_ai.request.model" = model,
        "gen_ai.input.messages" = Empty,
        "gen_ai.output.messages" = Empty,
        "arshai.speech.parts" = Empty,
        "server.address" = host,
        "server.port" = port,
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("{operation} {model}"));
    }
    span
}

/// How a provider is called in spans.
pub(crate) fn provider(transport: &Transport) -> &'static str {
    if transport.config().azure.is_some() { "azure.ai.openai" } else { "openai" }
}

/// What was heard, where content is to be in spans.
pub(crate) fn told(span: &Span, transport: &Transport, transcript: &Transcript) {
    if transport.config().capture_content {
        span.record("gen_ai.output.messages", transcript.text.as_str());
    }
}

/// Why it failed: the kind, which holds nothing of the content.
pub(crate) fn failed(span: &Span, error: &Error) {
    span.record("error.type", error.kind().name());
}
