//! The one error type.
//!
//! # Philosophy
//!
//! A caller of arshai decides on four things only: *what kind* of failure it is, whether *trying again* can help,
//! whether the operation *may have happened*, and *how long to wait*. Those are methods. Everything else (which
//! statement, which address, what the server said) is for a person to read and is kept as context and source.
//! The type is one pointer wide, so that `Result<T>` stays small.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

/// `Result` with arshai's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
///
/// Non-exhaustive: treat an unknown kind like [`ErrorKind::Internal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong (dimension, NaN, empty text, bad expression). Mend the call; a retry is useless.
    InvalidInput,
    /// A setting or environment variable is wrong. Mend the configuration named in the message.
    Config,
    /// A named thing (collection, file, provider) does not exist. Create it or correct the name.
    /// An absent *memory* or *row* is never this error: it is `None` or an empty list.
    NotFound,
    /// The thing exists already in an incompatible shape. The message shows both sides; choose one.
    AlreadyExists,
    /// A conditional write kept losing until the deadline. Read again and decide anew.
    Conflict,
    /// This backend, server or collection cannot do it. Ask `capabilities()` first; nothing was sent.
    Unsupported,
    /// Credentials are missing, wrong or not allowed to do this. Mend them; a retry is useless.
    Unauthorized,
    /// The server or the machine asks for less (rate limit, quota, full queue). Wait
    /// [`Error::retry_after`], then try again.
    Exhausted,
    /// The service cannot be reached or is not ready. Try again later; look at the service.
    Unavailable,
    /// The operation's deadline passed. Look at [`Error::effect`] before repeating a write.
    Timeout,
    /// A write was sent and no reply came back: it may or may not have happened. Read before writing again.
    OutcomeUnknown,
    /// A stream or body ended before its end. What was received is incomplete; ask again.
    Truncated,
    /// Stored data cannot be understood. It is left as it is; look at the key or file named in the message.
    Corrupt,
    /// The caller closed the object, or cancelled the operation.
    Closed,
    /// A blocking call was made from an async context. Use the async method, or `spawn_blocking`.
    BlockingInAsync,
    /// Reading or writing local files failed (permission, disk full).
    Io,
    /// The other side answered something the protocol does not allow.
    Protocol,
    /// A defect in arshai or a dependency. Please report it.
    Internal,
}

impl ErrorKind {
    /// Stable snake_case name, used in JSON output and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Config => "config",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Unauthorized => "unauthorized",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Closed => "closed",
            Self::BlockingInAsync => "blocking_in_async",
            Self::Io => "io",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    fn default_retryable(self) -> bool {
        matches!(self, Self::Exhausted | Self::Unavailable | Self::Timeout | Self::Truncated)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a failed operation may have changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing was changed: repeating is safe.
    NotApplied,
    /// It may have been applied: repeating is safe only for an idempotent operation.
    Unknown,
}

/// The error of every fallible operation in arshai.
///
/// `Display` is one line; `Debug` lists every part. Neither ever holds a secret: backends put only
/// addresses without credentials and names into the context.
///
/// # Examples
///
/// ```
/// use arshai_core::{Effect, Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unavailable, "connection refused")
///     .with_operation("memory.get")
///     .with_context("address", "127.0.0.1:6379");
/// assert!(error.is_retryable());
/// assert_eq!(error.effect(), Effect::NotApplied);
/// assert_eq!(error.to_string(), "memory.get: connection refused (unavailable; address: 127.0.0.1:6379)");
/// ```
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Option<&'static str>,
    context: Vec<(&'static str, String)>,
    retryable: bool,
    effect: Effect,
    retry_after: Option<Duration>,
    attempts: u32,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error. Retryability follows the kind, the effect is [`Effect::NotApplied`]
    /// ([`Effect::Unknown`] for [`ErrorKind::OutcomeUnknown`]), attempts are 1.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let effect = if kind == ErrorKind::OutcomeUnknown { Effect::Unknown } else { Effect::NotApplied };
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                operation: None,
                context: Vec::new(),
                retryable: kind.default_retryable(),
                effect,
                retry_after: None,
                attempts: 1,
                source: None,
            }),
        }
    }

    /// Shorthand for [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Shorthand for [`ErrorKind::Unsupported`]; `what` names the missing ability.
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Names the operation that failed, such as `memory.put`. The innermost name wins.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.inner.operation.get_or_insert(operation);
        self
    }

    /// Adds a fact for the reader. Never pass a secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((name, value.to_string()));
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Overrides whether trying again can help.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.inner.retryable = retryable;
        self
    }

    /// States whether the operation may have been applied.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.inner.effect = effect;
        self
    }

    /// Sets how long the other side asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.inner.retry_after = Some(wait);
        self
    }

    /// Sets how many attempts were made before giving up.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.inner.attempts = attempts;
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same call may succeed later. For a write, look at [`Error::effect`] too.
    pub fn is_retryable(&self) -> bool {
        self.inner.retryable
    }

    /// Whether the operation may have been applied.
    pub fn effect(&self) -> Effect {
        self.inner.effect
    }

    /// How long the other side asked us to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// How many attempts were made. More than 1 means a backend has already retried.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// The operation that failed, such as `memory.put`.
    pub fn operation(&self) -> Option<&'static str> {
        self.inner.operation
    }

    /// The message without operation and context.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The facts added along the way, oldest first.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.inner.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The same failure for a second owner: everything but the source, which is kept as text.
    ///
    /// Used where one failure (a lost batch) is the outcome of several items.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let inner = &self.inner;
        Self {
            inner: Box::new(Inner {
                kind: inner.kind,
                message: inner.message.clone(),
                operation: inner.operation,
                context: inner.context.clone(),
                retryable: inner.retryable,
                effect: inner.effect,
                retry_after: inner.retry_after,
                attempts: inner.attempts,
                source: inner.source.as_ref().map(|source| source.to_string().into()),
            }),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        if let Some(operation) = inner.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{} ({}", inner.message, inner.kind)?;
        for (name, value) in &inner.context {
            write!(f, "; {name}: {value}")?;
        }
        if inner.attempts > 1 {
            write!(f, "; attempts: {}", inner.attempts)?;
        }
        if let Some(source) = &inner.source {
            write!(f, "; caused by: {source}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("message", &inner.message)
            .field("operation", &inner.operation)
            .field("context", &inner.context)
            .field("retryable", &inner.retryable)
            .field("effect", &inner.effect)
            .field("retry_after", &inner.retry_after)
            .field("attempts", &inner.attempts)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self::new(kind, "reading or writing a local file failed").with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn unknown_outcome_is_never_retryable_by_itself() {
        let error = Error::new(ErrorKind::OutcomeUnknown, "no reply");
        assert_eq!(error.effect(), Effect::Unknown);
        assert!(!error.is_retryable());
    }

    #[test]
    fn innermost_operation_wins() {
        let error = Error::internal("x").with_operation("inner").with_operation("outer");
        assert_eq!(error.operation(), Some("inner"));
    }
}
