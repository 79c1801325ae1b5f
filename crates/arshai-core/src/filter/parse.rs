//! The expression syntax: the subset of Milvus's that [`Filter`] models.
//!
//! ```text
//! or      := and (("or" | "||") and)*
//! and     := not (("and" | "&&") not)*
//! not     := ("not" | "!") not | "(" or ")" | "true" | "false" | condition
//! condition := "exists" field
//!            | ("json_contains" | "array_contains") "(" field "," scalar ")"
//!            | ("json_contains_any" | "array_contains_any") "(" field "," list ")"
//!            | "starts_with" "(" field "," text ")"
//!            | field "like" text | field ["not"] "in" list
//!            | field op scalar | scalar op field [op scalar]
//! field   := name ("[" (text | integer) "]")*
//! ```
//!
//! A bare name is a top-level metadata member; `metadata`, `id` and `text` are what they say. Words are recognised
//! in lower and upper case.

use super::{CompareOp, Field, Filter, PathPart, Scalar};
use crate::{Error, Result};

const MAX_DEPTH: usize = 64;
const MAX_BYTES: usize = 1 << 20;

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] with the character position and what was expected there; also for an expression over
    /// 1 MiB or nested deeper than 64.
    pub fn parse(expression: &str) -> Result<Self> {
        if expression.len() > MAX_BYTES {
            return Err(Error::invalid("the filter expression is longer than 1 MiB"));
        }
        let tokens = tokenize(expression)?;
        let mut parser = Parser { tokens, at: 0, depth: 0 };
        let filter = parser.or()?;
        match parser.peek() {
            Token::End => Ok(filter),
            _ => Err(parser.expected("the end, `and` or `or`")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Scalar(Scalar),
    Op(CompareOp),
    Not,
    And,
    Or,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    End,
}

fn bad(position: usize, expected: impl std::fmt::Display) -> Error {
    Error::invalid("the filter expression is not understood")
        .with_context("position", position)
        .with_context("expected", expected)
}

/// Tokens with the character position each begins at.
fn tokenize(expression: &str) -> Result<Vec<(usize, Token)>> {
    let characters: Vec<char> = expression.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        let (token, length) = match (c, next) {
            (c, _) if c.is_whitespace() => {
                at += 1;
                continue;
            }
            ('=', Some('=')) => (Token::Op(CompareOp::Eq), 2),
            ('!', Some('=')) => (Token::Op(CompareOp::Ne), 2),
            ('<', Some('=')) => (Token::Op(CompareOp::Le), 2),
            ('>', Some('=')) => (Token::Op(CompareOp::Ge), 2),
            ('<', _) => (Token::Op(CompareOp::Lt), 1),
            ('>', _) => (Token::Op(CompareOp::Gt), 1),
            ('&', Some('&')) => (Token::And, 2),
            ('|', Some('|')) => (Token::Or, 2),
            ('!', _) => (Token::Not, 1),
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            ('[', _) => (Token::OpenList, 1),
            (']', _) => (Token::CloseList, 1),
            (',', _) => (Token::Comma, 1),
            ('"' | '\'', _) => text(&characters, at)?,
            ('0'..='9' | '-' | '+' | '.', _) => number(&characters, at)?,
            (c, _) if c.is_alphabetic() || c == '_' => word(&characters, at),
            _ => return Err(bad(at, "a field, a value or an operator")),
        };
        tokens.push((at, token));
        at += length;
    }
    tokens.push((at, Token::End));
    Ok(tokens)
}

fn word(characters: &[char], at: usize) -> (Token, usize) {
    let word: String = characters.iter().skip(at).take_while(|c| c.is_alphanumeric() || **c == '_').collect();
    let length = word.chars().count();
    let token = match word.to_ascii_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "true" => Token::Scalar(Scalar::Bool(true)),
        "false" => Token::Scalar(Scalar::Bool(false)),
        _ => Token::Word(word),
    };
    (token, length)
}

fn number(characters: &[char], at: usize) -> Result<(Token, usize)> {
    let mut length = 0;
    let mut literal = String::new();
    for &c in characters.iter().skip(at) {
        let after_exponent = literal.ends_with(['e', 'E']);
        let sign = matches!(c, '+' | '-') && (literal.is_empty() || after_exponent);
        if !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || sign) {
            break;
        }
        literal.push(c);
        length += 1;
    }
    if let Ok(int) = literal.parse::<i64>() {
        return Ok((Token::Scalar(Scalar::Int(int)), length));
    }
    let whole = literal.trim_start_matches(['+', '-']).chars().all(|c| c.is_ascii_digit());
    match literal.parse::<f64>() {
        Ok(float) if float.is_finite() && !whole => Ok((Token::Scalar(Scalar::Float(float)), length)),
        _ => Err(bad(at, "a 64-bit integer or a finite float")),
    }
}

fn text(characters: &[char], at: usize) -> Result<(Token, usize)> {
    let quote = characters.get(at).copied();
    let mut out = String::new();
    let mut position = at + 1;
    let mut next = || {
        let c = characters.get(position).copied();
        position += 1;
        c
    };
    loop {
        match next() {
            None => return Err(bad(at, "a closing quote")),
            c if c == quote => break,
            Some('\\') => match next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('u') => {
                    let unit = |next: &mut dyn FnMut() -> Option<char>| {
                        (0..4).try_fold(0_u16, |unit, _| {
                            Some(unit << 4 | u16::try_from(next()?.to_digit(16)?).ok()?)
                        })
                    };
                    let escape = || bad(at, "a \\u escape of four hex digits, surrogates in pairs");
                    let first = unit(&mut next).ok_or_else(escape)?;
                    let mut units = vec![first];
                    if (0xd800..0xdc00).contains(&first) {
                        if (next(), next()) != (Some('\\'), Some('u')) {
                            return Err(escape());
                        }
                        units.push(unit(&mut next).ok_or_else(escape)?);
                    }
                    out.push_str(&String::from_utf16(&units).map_err(|_unpaired| escape())?);
                }
                Some(other) => out.push(other),
                None => return Err(bad(at, "a closing quote")),
            },
            Some(c) => out.push(c),
        }
    }
    Ok((Token::Scalar(Scalar::Text(out)), position - at))
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, token: &Token, name: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(name)) }
    }

    fn expected(&self, what: &str) -> Error {
        let last = self.tokens.last().map_or(0, |(position, _)| *position);
        bad(self.tokens.get(self.at).map_or(last, |(position, _)| *position), what)
    }

    fn or(&mut self) -> Result<Filter> {
        self.chain(&Token::Or, Self::and, Filter::Or)
    }

    fn and(&mut self) -> Result<Filter> {
        self.chain(&Token::And, Self::not, Filter::And)
    }

    fn chain(
        &mut self,
        separator: &Token,
        part: fn(&mut Self) -> Result<Filter>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter> {
        let first = part(self)?;
        if self.peek() != separator {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(separator) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn not(&mut self) -> Result<Filter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.expected("at most 64 levels of nesting"));
        }
        let filter = if self.eat(&Token::Not) {
            !self.not()?
        } else if self.eat(&Token::Open) {
            let inner = self.or()?;
            self.need(&Token::Close, "`)`")?;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn condition(&mut self) -> Result<Filter> {
        match self.take() {
            Token::Scalar(value) => self.reversed(value),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "exists" => Ok(Filter::Exists(self.field()?)),
                "json_contains" | "array_contains" if self.peek() == &Token::Open => {
                    self.call(Self::scalar, Filter::Contains)
                }
                "json_contains_any" | "array_contains_any" if self.peek() == &Token::Open => {
                    self.call(Self::list, Filter::ContainsAny)
                }
                "starts_with" if self.peek() == &Token::Open => self.call(Self::text, Filter::StartsWith),
                _ => {
                    let field = self.field_named(word)?;
                    self.after_field(field)
                }
            },
            _ => {
                self.at -= 1;
                Err(self.expected("a field, a value, `not` or `(`"))
            }
        }
    }

    /// What follows a constant: nothing (for `true` and `false`), or a field it is compared with.
    fn reversed(&mut self, value: Scalar) -> Result<Filter> {
        let Token::Op(op) = self.peek().clone() else {
            return match value {
                Scalar::Bool(true) => Ok(Filter::And(Vec::new())),
                Scalar::Bool(false) => Ok(Filter::Or(Vec::new())),
                _ => Err(self.expected("a comparison")),
            };
        };
        self.at += 1;
        let field = self.field()?;
        let first = Filter::Compare(field.clone(), mirrored(op), value);
        match self.peek().clone() {
            // 1 < x <= 5
            Token::Op(op) => {
                self.at += 1;
                let value = self.scalar()?;
                Ok(first.and(Filter::Compare(field, op, value)))
            }
            _ => Ok(first),
        }
    }

    fn after_field(&mut self, field: Field) -> Result<Filter> {
        match self.take() {
            Token::Op(op) => Ok(Filter::Compare(field, op, self.scalar()?)),
            Token::Word(word) if word.eq_ignore_ascii_case("in") => Ok(Filter::In(field, self.list()?)),
            Token::Word(word) if word.eq_ignore_ascii_case("like") => Ok(Filter::Like(field, self.text()?)),
            Token::Not => match self.take() {
                Token::Word(word) if word.eq_ignore_ascii_case("in") => Ok(!Filter::In(field, self.list()?)),
                _ => {
                    self.at -= 1;
                    Err(self.expected("`in` after `not`"))
                }
            },
            _ => {
                self.at -= 1;
                Err(self.expected("a comparison, `in`, `not in` or `like`"))
            }
        }
    }

    fn call<T>(
        &mut self,
        argument: fn(&mut Self) -> Result<T>,
        make: fn(Field, T) -> Filter,
    ) -> Result<Filter> {
        self.need(&Token::Open, "`(`")?;
        let field = self.field()?;
        self.need(&Token::Comma, "`,`")?;
        let argument = argument(self)?;
        self.need(&Token::Close, "`)`")?;
        Ok(make(field, argument))
    }

    fn field(&mut self) -> Result<Field> {
        match self.take() {
            Token::Word(word) => self.field_named(word),
            _ => {
                self.at -= 1;
                Err(self.expected("a field"))
            }
        }
    }

    fn field_named(&mut self, name: String) -> Result<Field> {
        let mut path = Vec::new();
        while self.eat(&Token::OpenList) {
            path.push(match self.take() {
                Token::Scalar(Scalar::Text(key)) => PathPart::Key(key),
                Token::Scalar(Scalar::Int(index)) if index >= 0 => {
                    PathPart::Index(usize::try_from(index).unwrap_or(usize::MAX))
                }
                _ => {
                    self.at -= 1;
                    return Err(self.expected("a quoted key or an index"));
                }
            });
            self.need(&Token::CloseList, "`]`")?;
        }
        match (name.as_str(), path.is_empty()) {
            ("id", true) => Ok(Field::Id),
            ("text", true) => Ok(Field::Text),
            ("metadata", true) => Err(self.expected("`[\"key\"]` after metadata")),
            ("metadata", false) => Ok(Field::Metadata(path)),
            _ => {
                path.insert(0, PathPart::Key(name));
                Ok(Field::Metadata(path))
            }
        }
    }

    fn scalar(&mut self) -> Result<Scalar> {
        match self.take() {
            Token::Scalar(value) => Ok(value),
            _ => {
                self.at -= 1;
                Err(self.expected("a quoted text, a number, true or false"))
            }
        }
    }

    fn text(&mut self) -> Result<String> {
        match self.take() {
            Token::Scalar(Scalar::Text(text)) => Ok(text),
            _ => {
                self.at -= 1;
                Err(self.expected("a quoted text"))
            }
        }
    }

    fn list(&mut self) -> Result<Vec<Scalar>> {
        self.need(&Token::OpenList, "`[`")?;
        let mut values = Vec::new();
        while !self.eat(&Token::CloseList) {
            if !values.is_empty() {
                self.need(&Token::Comma, "`,` or `]`")?;
            }
            values.push(self.scalar()?);
        }
        Ok(values)
    }
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn precedence() {
        let filter = Filter::parse("a == 1 or b == 2 and not c == 3").unwrap();
        assert_eq!(
            filter.to_string(),
            r#"(metadata["a"] == 1 or (metadata["b"] == 2 and not (metadata["c"] == 3)))"#
        );
    }

    #[test]
    fn ranges_and_reversed_comparisons() {
        assert_eq!(Filter::parse("1 < x <= 5").unwrap(), Filter::parse("x > 1 && x <= 5").unwrap());
    }

    #[test]
    fn errors_say_where() {
        for (expression, position) in [
            ("a ==", 4),
            ("a = 1", 2),
            ("(a == 1", 7),
            ("a == 1 b", 7),
            ("a in 1", 5),
            ("metadata == 1", 9),
            ("", 0),
        ] {
            let error = Filter::parse(expression).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let found =
                error.context().find(|(name, _)| *name == "position").map(|(_, value)| value.to_owned());
            assert_eq!(found, Some(position.to_string()), "{expression}");
        }
    }

    #[test]
    fn hostile_input_is_an_error() {
        assert!(Filter::parse(&"(".repeat(100_000)).is_err());
        assert!(Filter::parse(&"!".repeat(100_000)).is_err());
        assert!(Filter::parse("x == 99999999999999999999").is_err());
        assert!(Filter::parse("x == \"\\ud800\"").is_err());
        assert!(Filter::parse("x == 1; drop table chunk").is_err());
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_back(key in "\\PC{1,8}", text in "\\PC{0,12}", int: i64, float in -1e9..1e9_f64) {
            let field = Field::metadata(key);
            let filter = Filter::eq(field.clone(), text.clone())
                .and(Filter::lt(field.clone(), int).or(!Filter::ge(field.clone(), float)))
                .or(Filter::Like(field.clone(), text.clone()))
                .or(Filter::ContainsAny(field.clone(), vec![Scalar::Text(text), Scalar::Bool(true)]))
                .or(Filter::In(field, Vec::new()));
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
        }

        #[test]
        fn parsing_never_panics(expression in "\\PC{0,40}") {
            let _outcome = Filter::parse(&expression);
        }
    }
}
