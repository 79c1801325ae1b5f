//! What a measurement was taken on: the facts without which its figures mean nothing.

use std::{fs, process::Command, thread};

use jiff::{Timestamp, tz::TimeZone};

/// The day, as in `2027-01-31`, in UTC.
pub(crate) fn today() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).date().to_string()
}

/// A list of facts in Markdown.
pub(crate) fn facts() -> String {
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = line_of("/proc/meminfo", "MemTotal").and_then(|text| gibibytes(&text));
    let memory = memory.unwrap_or_else(|| "unknown".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = format!("{} {}", std::env::consts::OS, kernel.trim());
    let facts = [
        ("processor", format!("{cpu}, {cores} cores")),
        ("memory", memory),
        ("system", system.trim().to_owned()),
        ("Rust", first_line("rustc", "--version")),
        ("Python", first_line("python3", "--version")),
    ];
    facts.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
}

/// What follows a name and a colon in a file of the system.
fn line_of(file: &str, name: &str) -> Option<String> {
    value_of(&fs::read_to_string(file).ok()?, name)
}

fn value_of(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `16384000 kB` as `15.6 GiB`.
fn gibibytes(text: &str) -> Option<String> {
    let kibibytes: f64 = text.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kibibytes / 1024.0 / 1024.0))
}

fn first_line(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "none".to_owned(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_names_and_memory_is_readable() {
        let text = "processor\t: 0\nmodel name\t: A: fast one\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("A: fast one"));
        assert_eq!(value_of(text, "model"), None);
        assert_eq!(gibibytes("16384000 kB").as_deref(), Some("15.6 GiB"));
        assert_eq!(gibibytes("much"), None);
        assert_eq!(today().len(), "2027-01-31".len());
    }
}
