//! The source tree: imports, file shape, nginx templates, this index.

mod imports;
mod line_ends;
mod nginx_templates;
mod source_files;
mod test_index;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// A source file without its tests.
struct Source {
    /// The path below `src`, with slashes.
    name: String,
    /// The whole text.
    text: String,
}

impl Source {
    /// Returns the lines of code with their numbers, without comments and without the tests at the end of the file.
    fn code(&self) -> Vec<(usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate();
        lines
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(at, line)| (at + 1, line))
            .collect()
    }

    /// Returns the lines that a rule does not allow, as `name:line: text`.
    fn lines(&self, breaks: impl Fn(&str) -> bool) -> Vec<String> {
        let code = self.code().into_iter().filter(|(_, line)| breaks(line));
        code.map(|(number, line)| format!("src/{}:{number}: {}", self.name, line.trim())).collect()
    }
}

/// Returns an example that breaks a rule.
fn example(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file below `folder` whose name has this ending, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().is_some_and(|name| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns the files of `src` except tests.
fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let read = |path: PathBuf| Source {
        name: path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    let found: Vec<Source> = files(&folder, ".rs")
        .into_iter()
        .filter(|p| !p.to_str().unwrap().ends_with("_tests.rs"))
        .map(read)
        .collect();
    assert!(found.len() > 20, "only {} files of src were found", found.len());
    found
}

/// Fails with every line that breaks a rule.
fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}
