//! One test binary on one engine: run to its end, and what came out.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::{catalog::Run, printed};
use crate::{
    counts::Counts,
    services::{End, Folders, Job, Launch, Supervised, tail},
    test_binaries::TestBinary,
};

/// How long one binary may take on one engine.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What came out of one run.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// What ran.
    pub(crate) run: Run,
    /// How many of its tests ran.
    pub(crate) tests: Counts,
    /// What the suites in it reported.
    pub(crate) reports: Vec<Report>,
    /// What its tests printed: counts and figures.
    pub(crate) printed: Vec<String>,
    /// Why it did not run, or not to its end.
    pub(crate) error: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What one suite of arshai-conformance reported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    /// The suite.
    pub(crate) suite: String,
    /// The checks that passed.
    pub(crate) passed: Vec<String>,
    /// The checks that the engine cannot take.
    pub(crate) unsupported: Vec<Unsupported>,
    /// The checks that failed.
    pub(crate) failed: Vec<String>,
}

/// A check that an engine cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Unsupported {
    /// The check.
    pub(crate) check: String,
    /// The ability that the engine lacks.
    pub(crate) missing: String,
}

impl Outcome {
    /// A run that could not begin.
    pub(crate) fn missing(run: Run, error: String) -> Self {
        let (reports, printed) = (Vec::new(), Vec::new());
        Self { run, tests: Counts::default(), reports, printed, error: Some(error), took: Duration::ZERO }
    }

    /// Runs the binary with these variables set. The binary ends with this program, however this program ends.
    pub(crate) fn of(
        run: Run,
        binary: &TestBinary,
        variables: BTreeMap<String, String>,
        folders: &Folders,
    ) -> Self {
        let start = Instant::now();
        let mut outcome = Self::missing(run, String::new());
        let finished = execute(run, binary, variables, folders);
        let judged = finished.and_then(|files| {
            let log = fs::read(&files.log).with_context(|| format!("reading {}", files.log.display()))?;
            let log = String::from_utf8_lossy(&log);
            outcome.tests = Counts::of_last_libtest(log.lines());
            outcome.printed = printed::lines(&log);
            outcome.reports = read_reports(&fs::read_to_string(&files.report).unwrap_or_default())?;
            let summary = log.lines().any(|line| line.starts_with("test result:"));
            ensure!(summary, "it ended without a result:\n{}", tail(&files.log, 40));
            ensure!(outcome.tests.failed == 0, "tests failed:\n{}", tail(&files.log, 100));
            if let Some(end) = files.ends.iter().find(|end| !end.is_success) {
                bail!(
                    "its tests passed and it failed all the same ({}):\n{}",
                    end.status,
                    tail(&files.log, 40)
                );
            }
            Ok(())
        });
        outcome.error = judged.err().map(|error| format!("{error:#}"));
        outcome.took = start.elapsed();
        outcome
    }
}

/// Where a run wrote, and how it ended.
struct Files {
    log: PathBuf,
    report: PathBuf,
    ends: Vec<End>,
}

fn execute(
    run: Run,
    binary: &TestBinary,
    variables: BTreeMap<String, String>,
    folders: &Folders,
) -> Result<Files> {
    let name = format!("{}-{}-{}", binary.package, binary.name, run.engine.name);
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let folder = folders.integration()?;
    let log = folder.join(format!("{name}.log"));
    let report = folder.join(format!("{name}.json"));
    // What an earlier run reported is not ours.
    if report.exists() {
        fs::remove_file(&report).with_context(|| format!("removing {}", report.display()))?;
    }
    let mut environment = variables;
    environment.insert("ARSHAI_TEST_ENGINE".to_owned(), run.engine.name.to_owned());
    environment.insert("ARSHAI_CONFORMANCE_REPORT".to_owned(), report.display().to_string());
    environment.insert("CARGO_MANIFEST_DIR".to_owned(), binary.folder.display().to_string());
    let launch = Launch {
        name,
        program: binary.program.clone(),
        // Also of tests that pass: what they count and measure is a part of the result.
        arguments: vec!["--show-output".to_owned()],
        environment,
        folder: binary.folder.clone(),
        log: log.clone(),
    };
    let supervised = Supervised::start(&Job { launches: vec![launch], cleanup: None })?;
    match supervised.wait(PATIENCE)? {
        Some(ends) => Ok(Files { log, report, ends }),
        None => bail!("it did not end in {} s:\n{}", PATIENCE.as_secs(), tail(&log, 40)),
    }
}

/// One line of JSON per suite.
fn read_reports(text: &str) -> Result<Vec<Report>> {
    let read = |line| serde_json::from_str(line).with_context(|| format!("a report of a suite: {line}"));
    let mut reports = text.lines().map(read).collect::<Result<Vec<Report>>>()?;
    // They come in the order they ended.
    reports.sort_by(|a, b| a.suite.cmp(&b.suite));
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_conformance_writes_them() {
        let line = r#"{"failed":[],"passed":["a","b"],"suite":"memory","unsupported":[{"check":"c","missing":"expiry"}]}"#;
        let reports = read_reports(&format!("{line}\n{line}\n")).unwrap();
        assert_eq!(reports.len(), 2);
        assert_eq!(reports[0].unsupported, [Unsupported { check: "c".into(), missing: "expiry".into() }]);
        assert!(read_reports("half a li").is_err());
    }
}
