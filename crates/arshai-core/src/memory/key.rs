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

/// A set of memories: all of one type in one tenant whose conversation begins with a text, or, from
/// [`KeyPrefix::every`], of all types and tenants.
///
/// [`KeyPrefix::default`] is every bare (un-tenanted) working memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix {
    scope: Scope,
    /// `None` for every type.
    memory_type: Option<String>,
    conversation: String,
}

/// Where the keys of a set are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Bare,
    Tenant(String, String),
    EveryTenant,
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self { scope: Scope::Bare, memory_type: Some(WORKING_MEMORY.to_owned()), conversation: String::new() }
    }
}

impl KeyPrefix {
    /// Every memory there is, of every type, in no tenant and in all of them: two sets, for [`MemoryStore::list`] one
    /// after the other. What others keep under names that are no [`MemoryKey`]'s is in neither.
    ///
    /// Removing them also removes what others keep under names that begin with `memory:` or `arshai:`.
    ///
    /// # Examples
    ///
    /// ```
    /// use arshai_core::memory::{KeyPrefix, MemoryKey};
    ///
    /// let key = MemoryKey::new("c")?.of_type("NOTES")?.in_tenant("shop", "a")?.stored();
    /// assert_eq!(KeyPrefix::every().iter().filter(|set| key.starts_with(&set.stored())).count(), 1);
    /// # Ok::<(), arshai_core::Error>(())
    /// ```
    ///
    /// [`MemoryStore::list`]: super::MemoryStore::list
    pub fn every() -> [Self; 2] {
        let of = |scope| Self { scope, memory_type: None, conversation: String::new() };
        [of(Scope::Bare), of(Scope::EveryTenant)]
    }

    /// Bare working memories whose conversation id begins with `conversation`.
    pub fn conversations(conversation: impl Into<String>) -> Self {
        Self { conversation: conversation.into(), ..Self::default() }
    }

    /// The same set inside a namespace and tenant.
    #[must_use]
    pub fn in_tenant(mut self, namespace: impl Into<String>, tenant: impl Into<String>) -> Self {
        self.scope = Scope::Tenant(namespace.into(), tenant.into());
        self
    }

    /// The same set of another memory type. Of all tenants at once ([`KeyPrefix::every`]) there is no such set, and this
    /// is an empty one until [`KeyPrefix::in_tenant`] names the tenant too.
    #[must_use]
    pub fn of_type(mut self, memory_type: impl Into<String>) -> Self {
        self.memory_type = Some(memory_type.into());
        if self.scope == Scope::EveryTenant {
            // No key has both of them empty.
            self.scope = Scope::Tenant(String::new(), String::new());
        }
        self
    }

    /// The text every stored name of the set begins with. Backends escape it for their own pattern syntax.
    pub fn stored(&self) -> String {
        let encoded = |part: &str| utf8_percent_encode(part, PART).to_string();
        let conversation = &self.conversation;
        match (&self.scope, &self.memory_type) {
            (Scope::Bare, Some(memory_type)) => format!("memory:{memory_type}:{conversation}"),
            (Scope::Bare, None) => "memory:".to_owned(),
            (Scope::Tenant(namespace, tenant), memory_type) => {
                let within = format!("arshai:{}:{}:memory:", encoded(namespace), encoded(tenant));
                match memory_type {
                    Some(memory_type) => {
                        format!("{within}{}:{}", encoded(memory_type), encoded(conversation))
                    }
                    None => within,
                }
            }
            // The tenant stands before the type, so this is all that their names have in common.
            (Scope::EveryTenant, _) => "arshai:".to_owned(),
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
    fn every_memory_is_in_one_of_the_two_sets_and_a_set_that_is_narrowed_is_no_longer_every_one() {
        let key = || MemoryKey::new("c").unwrap();
        for key in [
            key(),
            key().of_type("NOTES").unwrap(),
            key().in_tenant("n", "").unwrap(),
            key().of_type("NOTES").unwrap().in_tenant("n", "t").unwrap(),
        ] {
            let holding =
                KeyPrefix::every().iter().filter(|set| key.stored().starts_with(&set.stored())).count();
            assert_eq!(holding, 1, "{key:?}");
        }
        let [bare, tenants] = KeyPrefix::every();
        assert_eq!(bare.of_type(WORKING_MEMORY), KeyPrefix::default());
        assert_eq!(tenants.clone().in_tenant("n", "t").stored(), "arshai:n:t:memory:");
        let notes = KeyPrefix::default().in_tenant("n", "t").of_type("NOTES");
        let of_no_tenant = tenants.clone().of_type("NOTES");
        assert_eq!(of_no_tenant.stored(), "arshai:::memory:NOTES:", "no key begins so");
        assert!(key().in_tenant("", "").is_err());
        assert_eq!(of_no_tenant.in_tenant("n", "t"), notes);
        assert_eq!(tenants.in_tenant("n", "t").of_type("NOTES"), notes);
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
