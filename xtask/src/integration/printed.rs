//! What the tests of a binary printed, among the lines of libtest itself.

/// What libtest writes about a run, as against what the tests in it write.
const OF_LIBTEST: [&str; 5] = ["running ", "test result: ", "successes:", "failures:", "error: test failed"];

/// The printed lines, each that a test printed with the name of the test before it.
pub(super) fn lines(log: &str) -> Vec<String> {
    let (mut found, mut test) = (Vec::new(), None);
    let mut is_list = false;
    for line in log.lines() {
        if let Some(name) = header(line) {
            (test, is_list) = (Some(name), false);
        } else if line == "successes:" || line == "failures:" {
            // The outputs come first, then the names; a header tells the two apart.
            (test, is_list) = (None, true);
        } else if !(is_of_libtest(line) || is_list && line.starts_with("    ")) {
            found.push(match test {
                Some(name) => format!("{name}: {line}"),
                None => line.to_owned(),
            });
        }
    }
    found
}

fn is_of_libtest(line: &str) -> bool {
    line.trim().is_empty() || OF_LIBTEST.iter().any(|word| line.starts_with(word)) || is_verdict(line)
}

/// `test NAME ... ok`, and the like; `ok (0.1 s)` and `ignored, why` are verdicts, too.
fn is_verdict(line: &str) -> bool {
    let Some(test) = line.strip_prefix("test ") else { return false };
    let verdict = test.rsplit_once(" ... ").and_then(|(_, verdict)| verdict.split([' ', ',']).next());
    verdict.is_some_and(|word| ["ok", "FAILED", "ignored"].contains(&word))
        || test.ends_with(" has been running for over 60 seconds")
}

/// The test whose output follows, after `---- name stdout ----`.
fn header(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passing_tests_print_is_found_and_what_libtest_prints_is_not() {
        let log = "\nrunning 2 tests\ntest a::one ... ok\ntest two ... ok\n\nsuccesses:\n\n\
                   ---- a::one stdout ----\nsearches: 1000 at once\n    peak 7 MB\n\nsuccesses:\n    a::one\n    two\n\n\
                   test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(lines(log), ["a::one: searches: 1000 at once", "a::one:     peak 7 MB"]);
    }

    #[test]
    fn a_figure_that_begins_with_the_word_test_is_no_verdict() {
        let log = "test a ... ok\ntest b - should panic ... FAILED\ntest c ... ignored, no server\n\
                   test d has been running for over 60 seconds\ntest of 1000 updates: 7 ms\n";
        assert_eq!(lines(log), ["test of 1000 updates: 7 ms"]);
    }

    #[test]
    fn what_a_runner_of_its_own_shows_at_once_is_found_too() {
        let log =
            "running 1 tests\n24 kills\ntest a ... ok (0.1 s)\n\nfailures: []\n\ntest result: ok. 1 passed\n";
        assert_eq!(lines(log), ["24 kills"]);
    }
}
