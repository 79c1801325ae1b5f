//! Conversation memory of arshai over Redis.
