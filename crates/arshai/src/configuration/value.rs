//! One value, and where it comes from.

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Variable},
    registry::Address,
};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// An environment variable.
    Environment,
    /// The program, or a flag.
    Explicit,
}

/// A value, where it comes from, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InForce {
    /// The variable that sets it.
    pub variable: Variable,
    /// The value, with `***` in place of a secret; empty when there is none.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// A setting of [`Config`](super::Config).
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) variable: Variable,
    set: Option<(Secret, Origin)>,
}

impl Value {
    /// # Errors
    ///
    /// As [`Variable::read`].
    pub(super) fn of(variable: Variable) -> Result<Self> {
        let set = variable.read()?.map(|value| (Secret::new(value), Origin::Environment));
        Ok(Self { variable, set })
    }

    pub(super) fn set(&mut self, value: &str) {
        self.set = Some((Secret::new(value.trim()), Origin::Explicit));
    }

    pub(super) fn get(&self) -> Option<&str> {
        self.set.as_ref().map(|(value, _)| value.expose())
    }

    pub(super) fn get_or_default(&self) -> &str {
        self.get().unwrap_or(self.variable.default)
    }

    pub(super) fn origin(&self) -> Origin {
        self.set.as_ref().map_or(Origin::Default, |(_, origin)| *origin)
    }

    /// With `value` as what is in force, an address or a name.
    pub(super) fn in_force(&self, value: &str) -> InForce {
        let is_file = Address::new(value).is_ok_and(|address| address.name() == "sqlite");
        let value = if is_file { value.to_owned() } else { self.variable.shown(value) };
        InForce { variable: self.variable, value, origin: self.origin() }
    }

    /// An error that is about this value and names no variable yet names this one, if it set the value.
    pub(super) fn blame(&self, error: Error) -> Error {
        let of_value = matches!(
            error.kind(),
            ErrorKind::Config | ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported
        );
        let named = error.context().any(|(name, _)| ["variable", "variables"].contains(&name));
        match self.origin() {
            Origin::Environment if of_value && !named => error.with_context("variable", self.variable.name),
            _ => error,
        }
    }
}
