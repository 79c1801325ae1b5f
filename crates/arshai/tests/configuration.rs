//! docs/configuration.md lists every variable, as the code reads them. `UPDATE_DOCS=1` writes the list anew.

use std::{collections::BTreeSet, fs, path::Path};

use arshai::{Config, config::Secrecy};

const BEGIN: &str = "<!-- the list that crates/arshai/tests/configuration.rs keeps -->\n";
const END: &str = "<!-- the end of the list -->\n";

fn list() -> String {
    let mut list = "| variable | meaning | default | unit or values |\n|---|---|---|---|\n".to_owned();
    for variable in Config::variables() {
        let secret = if variable.secrecy == Secrecy::Secret { " (never shown)" } else { "" };
        let default = match variable.default {
            "" => "none".to_owned(),
            text => text.to_owned(),
        };
        let row =
            format!("| `{}` | {}{secret} | {default} | {} |", variable.name, variable.meaning, variable.unit);
        list.push_str(&row.replace("  ", " "));
        list.push('\n');
    }
    list
}

#[test]
fn the_documentation_lists_every_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the list");
    let (_, after) = rest.split_once(END).expect("the list has an end");
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", list());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert_eq!(
            page, fresh,
            "run `UPDATE_DOCS=1 cargo test -p arshai --features full --test configuration`"
        );
    }
}

#[test]
fn no_variable_is_listed_twice() {
    let variables = Config::variables();
    let names: BTreeSet<_> = variables.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), variables.len());
}
