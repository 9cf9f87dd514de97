//! The table of adversaries is complete, and every test that it names exists.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    const ROWS: u32 = 148;

    struct Row {
        number: u32,
        cells: [String; 3],
        tests: Vec<String>,
        missing: Option<String>,
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn rows() -> Vec<Row> {
        let text = std::fs::read_to_string(root().join("tests/adversary/README.md")).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| # |"));
        lines.map(row).collect()
    }

    fn row(line: &str) -> Row {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, behaviour, reaction, source, test] = cells[..] else {
            panic!("not five cells: {line}");
        };
        let (tests, missing) = match test.split_once("not yet:") {
            Some((tests, missing)) => (tests, Some(missing.trim().to_owned())),
            None => (test, None),
        };
        Row {
            number: number.parse().unwrap(),
            cells: [behaviour, reaction, source].map(str::to_owned),
            // Names stand between backticks; what is between the names is punctuation.
            tests: tests.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            missing,
        }
    }

    /// Whether `file` has a function of that name that is run as a test.
    fn is_test(source: &str, name: &str) -> bool {
        let head = format!("fn {name}(");
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        lines.iter().enumerate().any(|(at, line)| {
            let before = lines[..at].iter().rev();
            line.trim_start_matches("async ").starts_with(&head)
                && before
                    .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                    .any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
        })
    }

    #[test]
    fn every_behaviour_has_its_row() {
        let numbers: Vec<u32> = rows().iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());
        for row in rows() {
            assert!(row.cells.iter().all(|cell| !cell.is_empty()), "row {}", row.number);
            assert!(
                row.cells[2].contains("RFC ") || row.cells[2].contains("XEP-"),
                "row {} has no source",
                row.number
            );
        }
    }

    #[test]
    fn every_row_has_a_test_or_says_what_is_missing() {
        for row in rows() {
            assert!(!row.tests.is_empty() || row.missing.is_some(), "row {}", row.number);
            assert!(
                row.missing.is_none_or(|missing| missing.len() > 2),
                "row {}",
                row.number
            );
        }
    }

    #[test]
    fn every_test_that_is_named_exists() {
        for row in rows() {
            for test in &row.tests {
                let (file, name) = test.split_once("::").unwrap();
                let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
                assert!(
                    is_test(&source, name),
                    "row {} names {test}, which does not exist",
                    row.number
                );
            }
        }
    }

    #[test]
    fn a_test_is_told_from_a_mere_function() {
        let source =
            "#[test]\n// why\nfn yes() {}\nfn helper() {}\n#[cfg(test)]\nfn no() {}\n#[test]\nfn yes_and_more() {}";
        assert!(is_test(source, "yes") && is_test(source, "yes_and_more"));
        assert!(!is_test(source, "helper") && !is_test(source, "no") && !is_test(source, "yes_and"));
    }
}
