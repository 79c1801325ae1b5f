//! What a suite found.

use std::{
    env, fmt,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

/// Names a file to which every suite appends one line of JSON: what [`Report`] holds, for a program to read.
const REPORT: &str = "ARSHAI_CONFORMANCE_REPORT";

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The check, such as `memory.put_conflict_carries_the_current_value`.
    pub check: &'static str,
    /// What the contract promises.
    pub expected: String,
    /// What came back.
    pub found: String,
    /// Where the promise is written down: a path into arshai's documentation.
    pub contract: &'static str,
}

impl Failure {
    pub(crate) fn new(
        check: &'static str,
        contract: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { check, expected: expected.into(), found: found.into(), contract }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FAILED {}", self.check)?;
        writeln!(f, "    expected: {}", self.expected)?;
        writeln!(f, "    found:    {}", self.found)?;
        write!(f, "    contract: {}", self.contract)
    }
}

impl std::error::Error for Failure {}

/// A check that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The check.
    pub check: &'static str,
    /// The capability the backend says it lacks.
    pub missing: &'static str,
}

/// Everything a suite found. `Display` is for people: counts first, then what was left out, then the failures.
///
/// When the variable `ARSHAI_CONFORMANCE_REPORT` names a file, every suite also appends its report to it, as one line
/// of JSON: `{"suite", "passed": [check], "unsupported": [{"check", "missing"}], "failed": [check]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report may hold failures"]
#[non_exhaustive]
pub struct Report {
    /// The suite's name.
    pub suite: &'static str,
    /// The checks that ran and passed.
    pub passed: Vec<&'static str>,
    /// The checks left out, each with the capability that is missing.
    pub skipped: Vec<Skipped>,
    /// The checks that ran and failed.
    pub failures: Vec<Failure>,
    /// Numbers worth knowing: seeds, polls of the drop harness, pairs compared.
    pub notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(suite: &'static str) -> Self {
        Self { suite, passed: Vec::new(), skipped: Vec::new(), failures: Vec::new(), notes: Vec::new() }
    }

    /// Appends itself to the file that the environment names, if it names one.
    pub(crate) fn published(mut self) -> Self {
        if let Some(path) = env::var_os(REPORT).map(PathBuf::from) {
            if let Err(error) = self.append_to(&path) {
                self.notes.push(format!("not written to {} ({REPORT}): {error}", path.display()));
            }
        }
        self
    }

    fn append_to(&self, path: &Path) -> std::io::Result<()> {
        let unsupported: Vec<_> = self
            .skipped
            .iter()
            .map(|skipped| json!({ "check": skipped.check, "missing": skipped.missing }))
            .collect();
        let failed: Vec<_> = self.failures.iter().map(|failure| failure.check).collect();
        let line = json!({
            "suite": self.suite, "passed": self.passed, "unsupported": unsupported, "failed": failed,
        });
        // One write: suites that end at the same time do not mix their lines.
        OpenOptions::new().create(true).append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
    }

    /// How many checks ran.
    pub fn ran(&self) -> usize {
        self.passed.len() + self.failures.len()
    }

    /// Whether checks ran and none failed.
    pub fn is_passed(&self) -> bool {
        self.failures.is_empty() && !self.passed.is_empty()
    }

    /// Whether the named check failed.
    pub fn failed(&self, check: &str) -> bool {
        self.failures.iter().any(|failure| failure.check == check)
    }

    /// The report when every check that ran passed.
    ///
    /// # Errors
    ///
    /// The report, when a check failed or none ran.
    pub fn into_result(self) -> Result<Self, Box<Self>> {
        if self.is_passed() { Ok(self) } else { Err(Box::new(self)) }
    }

    /// For tests: ends the test with the whole report when a check failed or none ran.
    ///
    /// # Panics
    ///
    /// When [`Report::is_passed`] is false.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion for tests, named as one")]
    pub fn assert_passed(&self) {
        if !self.is_passed() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} suite: {} checks ran, {} passed, {} failed, {} skipped",
            self.suite,
            self.ran(),
            self.passed.len(),
            self.failures.len(),
            self.skipped.len(),
        )?;
        for skipped in &self.skipped {
            write!(f, "\n  skipped {}: the backend says it has no {}", skipped.check, skipped.missing)?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        for failure in &self.failures {
            write!(f, "\n  {failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_in_which_nothing_ran_has_not_passed() {
        assert!(!Report::new("empty").is_passed());
    }

    #[test]
    fn reports_follow_each_other_in_the_file_and_tell_left_out_from_passed() {
        let path = env::temp_dir().join(crate::check::unique("report"));
        let mut report = Report::new("memory");
        report.passed.push("memory.x");
        report.skipped.push(Skipped { check: "memory.y", missing: "expiry" });
        report.append_to(&path).unwrap();
        Report::new("vectors").append_to(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let unsupported = json!([{ "check": "memory.y", "missing": "expiry" }]);
        let first = json!({
            "suite": "memory", "passed": ["memory.x"], "unsupported": unsupported, "failed": [],
        });
        assert_eq!((lines.len(), &lines[0], &lines[1]["suite"]), (2, &first, &json!("vectors")));
    }

    #[test]
    fn a_failure_says_what_to_look_at() {
        let mut report = Report::new("memory");
        report.failures.push(Failure::new("memory.x", "MemoryStore::get", "None", "Some(1)"));
        let text = report.to_string();
        for part in ["memory.x", "MemoryStore::get", "None", "Some(1)", "1 failed"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(report.failed("memory.x") && !report.failed("memory.y"));
    }
}
