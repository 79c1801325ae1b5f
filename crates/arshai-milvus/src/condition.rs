//! Expressions, joined.

/// An expression, or what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    True,
    False,
    Expression(String),
}

impl Condition {
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, other) | (other, Self::True) => other,
            (Self::Expression(a), Self::Expression(b)) => Self::Expression(format!("({a}) and ({b})")),
        }
    }
}

/// An expression that holds at least where a filter does.
pub(crate) struct Bound {
    pub(crate) condition: Condition,
    /// It holds nowhere else.
    pub(crate) exact: bool,
}

impl Bound {
    pub(crate) fn exactly(expression: String) -> Self {
        Self { condition: Condition::Expression(expression), exact: true }
    }

    pub(crate) fn at_least(expression: String) -> Self {
        Self { condition: Condition::Expression(expression), exact: false }
    }

    pub(crate) fn constant(value: bool) -> Self {
        Self { condition: if value { Condition::True } else { Condition::False }, exact: true }
    }

    /// Nothing is known: every row is a candidate.
    pub(crate) fn unknown() -> Self {
        Self { condition: Condition::True, exact: false }
    }
}

/// All of them, or any of them.
pub(crate) fn combine(parts: impl Iterator<Item = Bound>, all: bool) -> Bound {
    let (neutral, absorbing) =
        if all { (Condition::True, Condition::False) } else { (Condition::False, Condition::True) };
    let mut expressions = Vec::new();
    let mut exact = true;
    let mut everything = false;
    for part in parts {
        if part.condition == absorbing && part.exact {
            return Bound { condition: absorbing, exact: true };
        }
        exact &= part.exact;
        match part.condition {
            condition if condition == neutral => {}
            Condition::Expression(expression) => expressions.push(expression),
            // Of an "or": every row is a candidate.
            _ => everything = true,
        }
    }
    let condition = match expressions.len() {
        _ if everything => absorbing,
        0 => neutral,
        1 => Condition::Expression(expressions.swap_remove(0)),
        _ => {
            Condition::Expression(format!("({})", balanced(&expressions, if all { " and " } else { " or " })))
        }
    };
    Bound { condition, exact }
}

/// Joined as a tree, so that a server's parser does not go deep for a long list.
fn balanced(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            let wrap = |side: &[String]| match side {
                [one] => one.clone(),
                _ => format!("({})", balanced(side, word)),
            };
            format!("{}{word}{}", wrap(left), wrap(right))
        }
    }
}
