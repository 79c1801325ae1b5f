//! The agent as its callers see it.

#[cfg(test)]
mod extractive;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod retrieval;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tools;
