//! Speech to text and back for arshai.
