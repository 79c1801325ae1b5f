//! Typed filters over records.
//!
//! A [`Filter`] is built in code or parsed from a subset of Milvus's expression syntax ([`Filter::parse`]). It means
//! the same on every engine:
//!
//! * Logic is two-valued: a comparison on a missing path or a value of another type is false, and its `not` true.
//!   JSON `null` counts as missing.
//! * Texts compare by code point, case-sensitively; numbers numerically and exactly to 64 bits, integers and
//!   floats together; booleans only for equality.
//! * `in []` is false.

mod ast;
mod eval;
mod parse;

pub use ast::{CompareOp, Field, Filter, PathPart, Scalar};
pub use eval::Subject;
