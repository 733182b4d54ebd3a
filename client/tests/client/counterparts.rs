//! All methods in the table of counterparts exist.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_method_in_the_table_of_counterparts_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut methods = BTreeSet::new();
    collect(&root.join("src"), &mut methods);
    let table = std::fs::read_to_string(root.join("COUNTERPARTS.md")).unwrap();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let ours = row.split('|').nth(2).unwrap();
        for code in ours.split('`').skip(1).step_by(2) {
            let code = code.rsplit("::").next().unwrap();
            let method = code.split('(').next().unwrap();
            let is_method = method.starts_with(|first: char| first.is_ascii_lowercase())
                && method.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if is_method {
                assert!(methods.contains(method), "`{method}` in: {row}");
                named += 1;
            }
        }
    }
    assert!(named > 100, "only {named} methods were found in the table");
}

/// Adds the names of all public functions below a folder.
fn collect(folder: &Path, methods: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, methods);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for public in source.split("pub fn ").skip(1) {
            let name = public.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            methods.extend(name.take(1).map(str::to_owned));
        }
    }
}
