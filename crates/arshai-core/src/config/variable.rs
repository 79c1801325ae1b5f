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
    /// Whether its value holds, or may hold, a password or key.
    pub is_secret: bool,
}

impl Variable {
    /// A text without a default.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default: "", unit: "", is_secret: false }
    }

    /// The same with a default and a unit.
    #[must_use]
    pub const fn of(mut self, default: &'static str, unit: &'static str) -> Self {
        self.default = default;
        self.unit = unit;
        self
    }

    /// The same as a secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
}
