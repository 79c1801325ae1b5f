//! The shape of a filter.

use std::fmt;

/// One step into metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPart {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// The primary key.
    Id,
    /// The text.
    Text,
    /// A path into the metadata, never empty.
    Metadata(Vec<PathPart>),
}

impl Field {
    /// A top-level member of the metadata.
    pub fn metadata(key: impl Into<String>) -> Self {
        Self::Metadata(vec![PathPart::Key(key.into())])
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Text => f.write_str("text"),
            Self::Metadata(path) => {
                f.write_str("metadata")?;
                path.iter().try_for_each(|part| match part {
                    PathPart::Key(key) => write!(f, "[{}]", Scalar::Text(key.clone())),
                    PathPart::Index(index) => write!(f, "[{index}]"),
                })
            }
        }
    }
}

/// A constant in a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A 64-bit integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A boolean.
    Bool(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // JSON's escapes are the parser's escapes.
            Self::Text(text) => f.write_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

/// A condition on a record. `Display` writes the expression that parses back to it.
///
/// # Examples
///
/// ```
/// use arshai_core::{Filter, filter::Field};
///
/// let filter = Filter::parse(r#"source == "a.md" and (year >= 2020 or not exists metadata["draft"])"#)?;
/// let built = Filter::eq(Field::metadata("source"), "a.md").and(
///     Filter::ge(Field::metadata("year"), 2020).or(!Filter::exists(Field::metadata("draft"))),
/// );
/// assert_eq!(filter, built);
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// A comparison with a constant.
    Compare(Field, CompareOp, Scalar),
    /// Equal to one of these.
    In(Field, Vec<Scalar>),
    /// The path leads to a value other than null.
    Exists(Field),
    /// A text that begins with this.
    StartsWith(Field, String),
    /// A text that matches a pattern: `%` is any characters, `_` any one, `\` takes the next literally.
    Like(Field, String),
    /// An array with an element equal to this.
    Contains(Field, Scalar),
    /// An array with an element equal to one of these.
    ContainsAny(Field, Vec<Scalar>),
    /// Every one holds; true when empty.
    And(Vec<Filter>),
    /// At least one holds; false when empty.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// An expression in the engine's own syntax, passed on unread. Never build it from untrusted text.
    /// Refused with [`crate::ErrorKind::Unsupported`] by engines without one.
    Raw(String),
}

impl Filter {
    /// `field == value`
    pub fn eq(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Eq, value.into())
    }

    /// `field != value`: false when the field is missing or of another type.
    pub fn ne(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Ne, value.into())
    }

    /// `field < value`
    pub fn lt(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Lt, value.into())
    }

    /// `field <= value`
    pub fn le(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Le, value.into())
    }

    /// `field > value`
    pub fn gt(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Gt, value.into())
    }

    /// `field >= value`
    pub fn ge(field: Field, value: impl Into<Scalar>) -> Self {
        Self::Compare(field, CompareOp::Ge, value.into())
    }

    /// `field in [values]`
    pub fn is_in(field: Field, values: impl IntoIterator<Item = impl Into<Scalar>>) -> Self {
        Self::In(field, values.into_iter().map(Into::into).collect())
    }

    /// `exists field`
    pub fn exists(field: Field) -> Self {
        Self::Exists(field)
    }

    /// An expression in the engine's own syntax; see [`Filter::Raw`].
    pub fn raw(expression: impl Into<String>) -> Self {
        Self::Raw(expression.into())
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::And(vec![self, other])
    }

    /// At least one holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Or(vec![self, other])
    }

    /// Whether any part is a raw expression.
    pub fn has_raw(&self) -> bool {
        match self {
            Self::Raw(_) => true,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_raw),
            Self::Not(part) => part.has_raw(),
            _ => false,
        }
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[Scalar]| {
            f.write_str("[")?;
            for (position, value) in values.iter().enumerate() {
                write!(f, "{}{value}", if position > 0 { ", " } else { "" })?;
            }
            f.write_str("]")
        };
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str, empty: &str| {
            if parts.is_empty() {
                return f.write_str(empty);
            }
            f.write_str("(")?;
            for (position, part) in parts.iter().enumerate() {
                write!(f, "{}{part}", if position > 0 { word } else { "" })?;
            }
            f.write_str(")")
        };
        match self {
            Self::Compare(field, op, value) => write!(f, "{field} {op} {value}"),
            Self::In(field, values) => {
                write!(f, "{field} in ")?;
                list(f, values)
            }
            Self::Exists(field) => write!(f, "exists {field}"),
            Self::StartsWith(field, prefix) => {
                write!(f, "starts_with({field}, {})", Scalar::from(prefix.as_str()))
            }
            Self::Like(field, pattern) => write!(f, "{field} like {}", Scalar::from(pattern.as_str())),
            Self::Contains(field, value) => write!(f, "json_contains({field}, {value})"),
            Self::ContainsAny(field, values) => {
                write!(f, "json_contains_any({field}, ")?;
                list(f, values)?;
                f.write_str(")")
            }
            Self::And(parts) => joined(f, parts, " and ", "true"),
            Self::Or(parts) => joined(f, parts, " or ", "false"),
            Self::Not(part) => write!(f, "not ({part})"),
            Self::Raw(expression) => f.write_str(expression),
        }
    }
}
