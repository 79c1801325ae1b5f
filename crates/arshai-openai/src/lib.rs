//! Chat and embeddings of arshai for OpenAI-compatible endpoints.
