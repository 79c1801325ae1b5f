//! Names of memories.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, Result};

/// The memory type of an agent's working memory, spelled as the Python package spells it.
pub const WORKING_MEMORY: &str = "WORKING_MEMORY";

/// Unreserved characters of RFC 3986 stay readable; everything else, `:` and `*` included, is encoded.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const MAX_CONVERSATION_BYTES: usize = 1024;

/// Which memory: a conversation of a type, optionally inside a namespace and a tenant.
///
/// The stored name of the bare form is the Python package's, `memory:{type}:{conversation}`, unchanged, so that
/// both read the same entry. With a namespace or a tenant it is
/// `arshai:{namespace}:{tenant}:memory:{type}:{conversation}` with every part percent-encoded.
///
/// # Examples
///
/// ```
/// use arshai_core::memory::MemoryKey;
///
/// let key = MemoryKey::new("support-42")?;
/// assert_eq!(key.stored(), "memory:WORKING_MEMORY:support-42");
/// let key = key.in_tenant("shop", "a:b")?;
/// assert_eq!(key.stored(), "arshai:shop:a%3Ab:memory:WORKING_MEMORY:support-42");
/// assert_eq!(MemoryKey::parse(&key.stored()), Some(key));
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryKey {
    scope: Option<(String, String)>,
    memory_type: String,
    conversation: String,
}

impl MemoryKey {
    /// The working memory of `conversation`.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] when it is empty, longer than 1024 bytes or holds a NUL or line break.
    pub fn new(conversation: impl Into<String>) -> Result<Self> {
        let conversation = conversation.into();
        if conversation.is_empty() {
            return Err(Error::invalid("the conversation id is empty"));
        }
        if conversation.len() > MAX_CONVERSATION_BYTES {
            return Err(Error::invalid("the conversation id is longer than 1024 bytes")
                .with_context("bytes", conversation.len()));
        }
        if conversation.chars().any(|c| c.is_control()) {
            return Err(Error::invalid("the conversation id holds a control character"));
        }
        Ok(Self { scope: None, memory_type: WORKING_MEMORY.to_owned(), conversation })
    }

    /// The same conversation's memory of another type.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] unless the type is 1 to 64 characters of `A-Z a-z 0-9 _ - .`.
    pub fn of_type(mut self, memory_type: impl Into<String>) -> Result<Self> {
        let memory_type = memory_type.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if memory_type.is_empty() || memory_type.len() > 64 || !memory_type.chars().all(allowed) {
            return Err(Error::invalid("a memory type is 1 to 64 characters of A-Z a-z 0-9 _ - .")
                .with_context("memory_type", memory_type.escape_debug()));
        }
        self.memory_type = memory_type;
        Ok(self)
    }

    /// The same memory inside a namespace and tenant; either may be empty, not both.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] when both are empty.
    pub fn in_tenant(mut self, namespace: impl Into<String>, tenant: impl Into<String>) -> Result<Self> {
        let (namespace, tenant) = (namespace.into(), tenant.into());
        if namespace.is_empty() && tenant.is_empty() {
            return Err(Error::invalid("a tenant key needs a namespace or a tenant"));
        }
        self.scope = Some((namespace, tenant));
        Ok(self)
    }

    /// The conversation id.
    pub fn conversation(&self) -> &str {
        &self.conversation
    }

    /// The memory type, [`WORKING_MEMORY`] unless set.
    pub fn memory_type(&self) -> &str {
        &self.memory_type
    }

    /// The name under which every backend stores it.
    pub fn stored(&self) -> String {
        match &self.scope {
            None => format!("memory:{}:{}", self.memory_type, self.conversation),
            Some((namespace, tenant)) => format!(
                "arshai:{}:{}:memory:{}:{}",
                utf8_percent_encode(namespace, PART),
                utf8_percent_encode(tenant, PART),
                utf8_percent_encode(&self.memory_type, PART),
                utf8_percent_encode(&self.conversation, PART),
            ),
        }
    }

    /// Reads a stored name back; `None` when it is not one of ours.
    pub fn parse(stored: &str) -> Option<Self> {
        if let Some(bare) = stored.strip_prefix("memory:") {
            let (memory_type, conversation) = bare.split_once(':')?;
            return Self::new(conversation).ok()?.of_type(memory_type).ok();
        }
        let mut parts = stored.strip_prefix("arshai:")?.split(':');
        let mut part = || Some(percent_decode_str(parts.next()?).decode_utf8().ok()?.into_owned());
        let (namespace, tenant, word) = (part()?, part()?, part()?);
        let (memory_type, conversation) = (part()?, part()?);
        if word != "memory" || parts.next().is_some() {
            return None;
        }
        Self::new(conversation).ok()?.of_type(memory_type).ok()?.in_tenant(namespace, tenant).ok()
    }
}

/// A set of memories: all of one type in one tenant whose conversation begins with a text.
///
/// [`KeyPrefix::default`] is every bare (un-tenanted) working memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix {
    scope: Option<(String, String)>,
    memory_type: String,
    conversation: String,
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self { scope: None, memory_type: WORKING_MEMORY.to_owned(), conversation: String::new() }
    }
}

impl KeyPrefix {
    /// Bare working memories whose conversation id begins with `conversation`.
    pub fn conversations(conversation: impl Into<String>) -> Self {
        Self { conversation: conversation.into(), ..Self::default() }
    }

    /// The same set inside a namespace and tenant.
    #[must_use]
    pub fn in_tenant(mut self, namespace: impl Into<String>, tenant: impl Into<String>) -> Self {
        self.scope = Some((namespace.into(), tenant.into()));
        self
    }

    /// The same set of another memory type.
    #[must_use]
    pub fn of_type(mut self, memory_type: impl Into<String>) -> Self {
        self.memory_type = memory_type.into();
        self
    }

    /// The text every stored name of the set begins with. Backends escape it for their own pattern syntax.
    pub fn stored(&self) -> String {
        let encoded = |part: &str| utf8_percent_encode(part, PART).to_string();
        match &self.scope {
            None => format!("memory:{}:{}", self.memory_type, self.conversation),
            Some((namespace, tenant)) => format!(
                "arshai:{}:{}:memory:{}:{}",
                encoded(namespace),
                encoded(tenant),
                encoded(&self.memory_type),
                encoded(&self.conversation),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_are_the_python_package_s() {
        let key = MemoryKey::new("a:b*c").unwrap();
        assert_eq!(key.stored(), "memory:WORKING_MEMORY:a:b*c");
        assert_eq!(MemoryKey::parse("memory:WORKING_MEMORY:a:b*c"), Some(key));
    }

    #[test]
    fn tenants_cannot_reach_into_each_other() {
        let one = MemoryKey::new("x").unwrap().in_tenant("n", "t:memory").unwrap();
        let other = MemoryKey::new("memory:x").unwrap().in_tenant("n", "t").unwrap();
        assert_ne!(one.stored(), other.stored());
        assert_eq!(MemoryKey::parse(&one.stored()), Some(one));
    }

    #[test]
    fn names_that_are_not_ours_are_refused() {
        for foreign in
            ["", "memory:", "memory:WORKING_MEMORY:", "session:1", "arshai:a:b:memory:T", "arshai:a:b:c:d:e"]
        {
            assert_eq!(MemoryKey::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn bad_parts_are_refused() {
        assert!(MemoryKey::new("").is_err());
        assert!(MemoryKey::new("a\nb").is_err());
        assert!(MemoryKey::new("x".repeat(1025)).is_err());
        assert!(MemoryKey::new("x").unwrap().of_type("a:b").is_err());
    }
}
