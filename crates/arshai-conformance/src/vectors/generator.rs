//! Random filters and random metadata to ask them about: small pools of values, so that many of them meet.

use arshai_core::{
    Filter,
    filter::{CompareOp, Field, PathPart, Scalar},
};
use fastrand::Rng;
use serde_json::{Map, Number, Value, json};

/// Keys of metadata objects, the odd ones included.
const KEYS: &[&str] = &[
    "a",
    "b",
    "n",
    "s",
    "list",
    "deep",
    "quo\"te",
    "back\\slash",
    "a.b",
    "sp ace",
    "üñí",
    "$",
    "[0]",
    "0",
    "'",
    "%",
    "A",
    "日本",
    "",
];

const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "abc",
    "a%c",
    "a_c",
    "a\\c",
    "b",
    "é",
    "e\u{301}",
    "日本",
    "日本語",
    "o'brien",
    "quo\"te",
    "line\nbreak",
    "😀",
    "\u{ffff}",
    "1",
    "true",
    "null",
    "a\0b",
    " ",
    "ß",
    "SS",
    "Ａ",
];

const PATTERNS: &[&str] = &[
    "", "%", "_", "__", "a%", "%c", "a_c", "a\\_c", "a\\%c", "%b%", "a\\\\c", "é", "e_", "%本%", "_本", "%%",
    "%'%", "%\n%", "A%", "\\", "a\\", "%\\", "[a]", "*", "a%c%", "_%_", "😀", "a\0%", ".*", "\\a%",
];

const INTS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    42,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    -9_007_199_254_740_993,
    4_611_686_018_427_387_905,
];

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    1.5,
    -1.0,
    -2.5,
    0.1,
    2.0,
    42.0,
    1e300,
    -1e300,
    5e-324,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_807.0,
    -9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_615.0,
    1e19,
    0.30000000000000004,
];

const OPS: &[CompareOp] =
    &[CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

/// Above every `i64`.
const LARGE: &[u64] = &[u64::MAX, u64::MAX - 1, 9_223_372_036_854_775_808, 10_000_000_000_000_000_000];

/// Every number a row may hold.
pub(super) fn numbers() -> Vec<Value> {
    let floats = FLOATS.iter().filter_map(|float| Number::from_f64(*float)).map(Value::Number);
    let integers = INTS.iter().map(|int| Value::from(*int));
    integers.chain(LARGE.iter().map(|large| Value::from(*large))).chain(floats).collect()
}

/// Every comparison of `field` with a number a filter may hold.
pub(super) fn comparisons(field: &Field) -> Vec<Filter> {
    let integers = INTS.iter().map(|int| Scalar::Int(*int));
    let constants: Vec<_> = integers.chain(FLOATS.iter().map(|float| Scalar::Float(*float))).collect();
    let with = |op: CompareOp| {
        constants.iter().map(move |constant| Filter::Compare(field.clone(), op, constant.clone()))
    };
    OPS.iter().flat_map(|op| with(*op)).collect()
}

/// Makes rows and filters from one seed.
#[derive(Debug)]
pub(super) struct Generator {
    rng: Rng,
    /// Keys of rows, which filters on `id` ask for.
    ids: Vec<String>,
}

impl Generator {
    pub(super) fn new(seed: u64, ids: Vec<String>) -> Self {
        Self { rng: Rng::with_seed(seed), ids }
    }

    fn pick<T: Clone>(&mut self, pool: &[T], default: T) -> T {
        self.rng.choice(pool).cloned().unwrap_or(default)
    }

    fn key(&mut self) -> String {
        // The plain keys come first and often, so that paths meet.
        let most = if self.rng.u8(..3) > 0 { 6 } else { KEYS.len() };
        let at = self.rng.usize(..most);
        KEYS.get(at).copied().unwrap_or("a").to_owned()
    }

    pub(super) fn text(&mut self) -> String {
        self.pick(TEXTS, "a").to_owned()
    }

    fn number(&mut self) -> Value {
        match self.rng.u8(..8) {
            0 => self.pick(LARGE, 0).into(),
            1..=3 => Number::from_f64(self.pick(FLOATS, 0.0)).map_or(Value::Null, Value::Number),
            _ => self.pick(INTS, 0).into(),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.rng.u8(..if depth == 0 { 8 } else { 12 }) {
            0 => Value::Null,
            1 => self.rng.bool().into(),
            2..=4 => self.number(),
            5..=7 => self.text().into(),
            8 | 9 => (0..self.rng.usize(..4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let members = self.rng.usize(..4);
                Value::Object((0..members).map(|_| (self.key(), self.value(depth - 1))).collect())
            }
        }
    }

    pub(super) fn metadata(&mut self) -> Map<String, Value> {
        let members = self.rng.usize(..8);
        let mut map: Map<String, Value> = (0..members).map(|_| (self.key(), self.value(2))).collect();
        if self.rng.bool() {
            map.insert("deep".into(), json!({ "a": self.value(1), "b": [self.value(0), self.value(0)] }));
        }
        if self.rng.bool() {
            map.insert("list".into(), (0..self.rng.usize(..5)).map(|_| self.value(0)).collect());
        }
        map
    }

    fn scalar(&mut self) -> Scalar {
        match self.rng.u8(..8) {
            0 => Scalar::Bool(self.rng.bool()),
            1..=3 => Scalar::Int(self.pick(INTS, 0)),
            4 | 5 => Scalar::Float(self.pick(FLOATS, 0.0)),
            _ => Scalar::Text(self.text()),
        }
    }

    fn scalars(&mut self) -> Vec<Scalar> {
        (0..self.rng.usize(..5)).map(|_| self.scalar()).collect()
    }

    fn field(&mut self) -> Field {
        match self.rng.u8(..12) {
            0 => Field::Id,
            1 => Field::Text,
            _ => {
                let mut path = vec![PathPart::Key(self.key())];
                while path.len() < 4 && self.rng.u8(..3) == 0 {
                    let part = match self.rng.bool() {
                        true => PathPart::Key(self.key()),
                        false => PathPart::Index(self.rng.usize(..3)),
                    };
                    path.push(part);
                }
                Field::Metadata(path)
            }
        }
    }

    fn leaf(&mut self) -> Filter {
        let mut field = self.field();
        match self.rng.u8(..20) {
            0..=7 => {
                let op = self.pick(OPS, CompareOp::Eq);
                let value = match field {
                    Field::Id => Scalar::Text(self.id()),
                    _ => self.scalar(),
                };
                Filter::Compare(field, op, value)
            }
            8..=10 => {
                let mut values = self.scalars();
                if field == Field::Id {
                    values.push(Scalar::Text(self.id()));
                }
                Filter::In(field, values)
            }
            11 | 12 => Filter::Exists(field),
            13 | 14 => {
                let prefix =
                    if field == Field::Id { self.id().chars().take(2).collect() } else { self.text() };
                Filter::StartsWith(field, prefix)
            }
            15 | 16 => Filter::Like(field, self.pick(PATTERNS, "%").to_owned()),
            kind => {
                if self.rng.bool() {
                    field = Field::metadata("list");
                }
                match kind {
                    17 | 18 => Filter::Contains(field, self.scalar()),
                    _ => Filter::ContainsAny(field, self.scalars()),
                }
            }
        }
    }

    fn id(&mut self) -> String {
        let at = self.rng.usize(..self.ids.len().max(1));
        self.ids.get(at).cloned().unwrap_or_default()
    }

    /// A filter with at most `depth` levels above its leaves.
    pub(super) fn filter(&mut self, depth: usize) -> Filter {
        match self.rng.u8(..if depth == 0 { 4 } else { 10 }) {
            0..=3 => self.leaf(),
            4..=6 => Filter::Not(Box::new(self.filter(depth - 1))),
            7 | 8 => Filter::And((0..self.rng.usize(..4)).map(|_| self.filter(depth - 1)).collect()),
            _ => Filter::Or((0..self.rng.usize(..4)).map(|_| self.filter(depth - 1)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::{filter::Subject, vector::Id};

    use super::*;

    #[test]
    fn a_generated_filter_is_what_its_expression_parses_to() {
        let mut generator = Generator::new(1, vec!["x".into()]);
        for _ in 0..5_000 {
            let filter = generator.filter(3);
            let parsed =
                Filter::parse(&filter.to_string()).unwrap_or_else(|error| panic!("{filter}: {error}"));
            let (id, text, metadata) = (Id::from("x"), generator.text(), generator.metadata());
            let subject = Subject { id: &id, text: &text, metadata: &metadata };
            assert_eq!(parsed.matches(&subject), filter.matches(&subject), "{filter}");
        }
    }

    /// A suite of filters that never hold would prove nothing.
    #[test]
    fn every_kind_of_condition_holds_sometimes_and_not_always() {
        let mut generator = Generator::new(2, vec!["x".into(), "y".into()]);
        let rows: Vec<_> = (0..200).map(|_| (generator.text(), generator.metadata())).collect();
        let mut kinds = std::collections::BTreeMap::<String, (usize, usize)>::new();
        for _ in 0..2_000 {
            let filter = generator.leaf();
            let name = format!("{filter:?}");
            let name = name.split('(').next().unwrap_or_default().to_owned();
            let id = Id::from("x");
            for (text, metadata) in &rows {
                let subject = Subject { id: &id, text, metadata };
                let counts = kinds.entry(name.clone()).or_default();
                if filter.matches(&subject) { counts.0 += 1 } else { counts.1 += 1 }
            }
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        for (kind, (held, not)) in kinds {
            assert!(held > 100 && not > 100, "{kind}: held {held}, did not {not}");
        }
    }
}
