//! `arshai config`

use arshai::{InForce, Origin};
use serde_json::{Value, json};

use crate::{backends::Backends, failure::Outcome, output::Printer};

pub(crate) fn config(backends: &Backends, printer: Printer) -> Outcome {
    let in_force = backends.config.in_force();
    let values: Vec<Value> = in_force.iter().map(as_json).collect();
    printer
        .result(&json!({ "settings": values }), || in_force.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn as_json(setting: &InForce) -> Value {
    json!({
        "name": setting.variable.name,
        "value": setting.value,
        "origin": origin(setting.origin),
        "default": setting.variable.default,
        "unit": setting.variable.unit,
        "meaning": setting.variable.meaning,
    })
}

fn line(setting: &InForce) -> String {
    let InForce { variable, value, .. } = setting;
    let value = if value.is_empty() { "-" } else { value };
    format!("{} = {value} ({})\n    {}", variable.name, origin(setting.origin), variable.meaning)
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::Environment => "environment",
        Origin::Explicit => "flag",
    }
}
