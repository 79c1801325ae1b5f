//! The environment variables, for people.

use crate::{Error, ErrorKind, Result};

/// The values that a switch may have.
const SWITCH: &str = "true or false (1, 0, yes, no, on and off are understood)";

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
    /// Whether the default is a value that might be set, and not a description of what happens.
    pub literal: bool,
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
        Self { name, meaning, default: "", literal: true, unit: "", secrecy: Secrecy::Open }
    }

    /// The same with a default and a unit.
    #[must_use]
    pub const fn of(mut self, default: &'static str, unit: &'static str) -> Self {
        self.default = default;
        self.unit = unit;
        self
    }

    /// The same where something else holds when it is not set, in words.
    #[must_use]
    pub const fn otherwise(mut self, description: &'static str) -> Self {
        self.default = description;
        self.literal = false;
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

    /// Its value in this process's environment, without the space around it; `None` when it is not set, or empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming it when its value is not UTF-8: nothing that was set is ignored.
    pub fn read(&self) -> Result<Option<String>> {
        let Some(value) = std::env::var_os(self.name) else { return Ok(None) };
        self.text(value.to_str())
    }

    /// Whether all of these are text, or are not set.
    ///
    /// # Errors
    ///
    /// As [`Variable::read`], for the first that is not.
    pub fn check(variables: &[Self]) -> Result<()> {
        variables.iter().try_for_each(|variable| variable.read().map(drop))
    }

    /// What a value says, where the variable switches something on and off.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the variable and what is understood.
    pub fn switch(&self, value: &str) -> Result<bool> {
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.refused(value, SWITCH)),
        }
    }

    /// The error of a value that is not understood. The value is shown as far as it may be.
    pub fn refused(&self, value: &str, allowed: &str) -> Error {
        Error::new(ErrorKind::Config, "an environment variable has a value that is not understood")
            .with_context("variable", self.name)
            .with_context("value", self.shown(value.trim()).escape_debug())
            .with_context("allowed", allowed)
    }

    fn text(&self, value: Option<&str>) -> Result<Option<String>> {
        match value.map(str::trim) {
            Some("") => Ok(None),
            Some(value) => Ok(Some(value.to_owned())),
            None => {
                Err(Error::new(ErrorKind::Config, "an environment variable is not UTF-8 text; set it again")
                    .with_context("variable", self.name))
            }
        }
    }
}

/// A password may hold what should have been encoded, so everything before the last `@` goes. Where that may be in the
/// query, or the query in the password, all of it goes.
fn without_credentials(value: &str) -> String {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(is_scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), value),
    };
    let query = rest.find(['?', '#']);
    match (rest.rfind('@'), query) {
        (Some(at), Some(query)) if query < at => format!("{scheme}***"),
        (at, query) => {
            let start = at.map_or(0, |at| at + 1);
            let place = rest.get(start..query.unwrap_or(rest.len())).unwrap_or_default();
            let user = if at.is_some() { "***@" } else { "" };
            let query = if query.is_some() { "?***" } else { "" };
            format!("{scheme}{user}{place}{query}")
        }
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
            // What should have been encoded is hidden all the same, and nothing is shown that may be a password.
            ("redis://user:p?ss@host:1/2", "redis://***"),
            ("redis://user:p#ss@host", "redis://***"),
            ("redis-sentinel://h:1?sentinelPassword=hun@ter2", "redis-sentinel://***"),
            ("user:pw@proxy:3128", "***@proxy:3128"),
            ("user:a://b@proxy", "***@proxy"),
            ("host/v1?key=k", "host/v1?***"),
        ] {
            assert_eq!(url.shown(value), text);
        }
        let secret = Variable::new("A", "").secret();
        assert_eq!((secret.shown("key").as_str(), secret.shown("").as_str()), ("***", ""));
        assert_eq!(Variable::new("A", "").shown("a@b"), "a@b");
    }

    #[test]
    fn a_value_that_is_no_text_is_an_error_and_not_passed_over() {
        let variable = Variable::new("SOME_VARIABLE", "");
        let error = variable.text(None).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("SOME_VARIABLE"), "{error}");
        assert_eq!(variable.text(Some(" a ")).unwrap().as_deref(), Some("a"));
        assert_eq!(variable.text(Some(" ")).unwrap(), None);
    }

    #[test]
    fn a_switch_that_is_not_understood_names_the_variable_and_no_secret() {
        let variable = Variable::new("SOME_VARIABLE", "").secret();
        assert!(variable.switch(" Yes ").unwrap() && !variable.switch("0").unwrap());
        let error = variable.switch("hunter2").unwrap_err().to_string();
        assert!(
            error.contains("SOME_VARIABLE") && error.contains("true") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
