//! The environment variables, for people.

/// An environment variable that a crate of the project reads: documentation and `arshai config` are made from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it sets.
    pub meaning: &'static str,
    /// What holds when it is not set; empty when nothing does.
    pub default: &'static str,
    /// The unit of its value, or the values it may have; empty for text.
    pub unit: &'static str,
    /// What of its value must not be shown.
    pub secrecy: Secrecy,
}

/// What of a value must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secrecy {
    /// Nothing.
    Open,
    /// User, password and query, where it is a URL.
    Url,
    /// All of it.
    Secret,
}

impl Variable {
    /// A text without a default.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: "", unit: "", secrecy: Secrecy::Open }
    }

    /// The same with a default and a unit.
    #[must_use]
    pub const fn of(mut self, default: &'static str, unit: &'static str) -> Self {
        self.default = default;
        self.unit = unit;
        self
    }

    /// The same as a URL that may hold a password.
    #[must_use]
    pub const fn url(mut self) -> Self {
        self.secrecy = Secrecy::Url;
        self
    }

    /// The same as a secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secrecy = Secrecy::Secret;
        self
    }

    /// A value as it may be shown: `***` stands for what must not.
    pub fn shown(&self, value: &str) -> String {
        match self.secrecy {
            Secrecy::Open => value.to_owned(),
            Secrecy::Secret if value.is_empty() => String::new(),
            Secrecy::Secret => "***".to_owned(),
            Secrecy::Url => without_credentials(value),
        }
    }
}

/// A password may hold a slash that should have been encoded, so everything before the last `@` goes.
fn without_credentials(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, _)| (place, "?***"));
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{query}"),
        None => format!("{scheme}://{place}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_what_is_secret() {
        let url = Variable::new("A", "").url();
        for (value, text) in [
            ("redis://user:p@ss/w@host:1/2?x=secret", "redis://***@host:1/2?***"),
            ("milvus://host/db", "milvus://host/db"),
            ("redis", "redis"),
        ] {
            assert_eq!(url.shown(value), text);
        }
        let secret = Variable::new("A", "").secret();
        assert_eq!((secret.shown("key").as_str(), secret.shown("").as_str()), ("***", ""));
        assert_eq!(Variable::new("A", "").shown("a@b"), "a@b");
    }
}
