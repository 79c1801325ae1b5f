//! `arshai config`

use arshai::{InForce, Origin};
use serde_json::{Value, json};

use crate::{
    backends::Backends,
    failure::{Failure, Outcome, error_json},
    output::Printer,
};

/// Also says what is wrong, whether or not a command would come to it.
pub(crate) fn config(backends: &Backends, printer: Printer) -> Outcome {
    let in_force = backends.config.in_force();
    let problems = backends.config.problems();
    let values: Vec<Value> = in_force.iter().map(as_json).collect();
    let told: Vec<Value> = problems.iter().map(error_json).collect();
    printer.result(&json!({ "settings": values, "problems": told }), || {
        in_force.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        printer.remark(&format!("error: {problem}"));
    }
    Err(Failure::Reported)
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
    let value = match (value.is_empty(), variable.default) {
        (false, _) => value.clone(),
        (true, "") => "-".to_owned(),
        (true, otherwise) => format!("- ({otherwise})"),
    };
    let unit = match variable.unit {
        "seconds" => " seconds",
        _ => "",
    };
    format!("{} = {value}{unit} ({})\n    {}", variable.name, origin(setting.origin), variable.meaning)
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::Environment => "environment",
        Origin::Explicit => "flag",
    }
}
