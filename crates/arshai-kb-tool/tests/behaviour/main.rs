//! The knowledge base as its callers see it.

#[cfg(test)]
mod files;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod search;
#[cfg(test)]
mod support;
