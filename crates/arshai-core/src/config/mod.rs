//! Settings from the environment.

mod secret;
mod settings;
mod variable;

pub use secret::Secret;
pub use settings::Settings;
pub use variable::{Secrecy, Variable};
