//! Tests across crates; see `tests/`. The Rust examples in the guide are compiled here.

/// The examples of the guide.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/memory.md")]
    struct Memory;

    #[doc = include_str!("../../docs/filters.md")]
    struct Filters;

    #[doc = include_str!("../../docs/configuration.md")]
    struct Configuration;

    #[doc = include_str!("../../docs/from-python.md")]
    struct FromPython;

    #[doc = include_str!("../../docs/speech.md")]
    struct Speech;
}
