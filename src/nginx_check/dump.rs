//! Splits the output of `nginx -T` into the files that it contains.

/// The start of the line that `nginx -T` prints before each file. The line ends with a colon.
const FILE_LINE: &str = "# configuration file ";

/// A configuration file in the output of `nginx -T`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DumpedFile<'t> {
    /// The path that nginx opened.
    pub(super) path: String,
    /// The content.
    pub(super) text: &'t str,
}

/// The parts of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dump<'t> {
    /// The files. The first one is the main file.
    pub(super) files: Vec<DumpedFile<'t>>,
    /// The number of lines before the first file that are not messages of nginx.
    pub(super) other_lines: usize,
    /// nginx rejected the configuration.
    pub(super) has_failed: bool,
    /// The input is one file, and not the output of `nginx -T`.
    pub(super) is_single_file: bool,
}

/// Returns the path of a line that introduces a file.
fn file_path(line: &str) -> Option<&str> {
    line.trim_end_matches(['\r', '\n'])
        .strip_prefix(FILE_LINE)?
        .strip_suffix(':')
        .filter(|path| !path.is_empty())
}

/// Splits the text. Without such lines, the whole text is one file named `name`.
pub(super) fn split_dump<'t>(text: &'t str, name: &str) -> Dump<'t> {
    let mut dump = Dump { files: Vec::new(), other_lines: 0, has_failed: false, is_single_file: false };
    let (mut at, mut start) = (0, 0);
    let mut current: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        if let Some(path) = file_path(line) {
            let content = text.get(start..at).unwrap_or_default();
            match current {
                Some(previous) => dump.files.push(DumpedFile { path: previous.to_owned(), text: content }),
                None => read_messages(content, &mut dump),
            }
            current = Some(path);
            start = at + line.len();
        }
        at += line.len();
    }
    let content = text.get(start..).unwrap_or_default();
    dump.is_single_file = current.is_none();
    let path = current.unwrap_or(name).to_owned();
    dump.files.push(DumpedFile { path, text: content });
    dump
}

/// Reads the lines before the first file: messages of nginx, if its stderr is part of the input.
fn read_messages(text: &str, dump: &mut Dump<'_>) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        dump.has_failed |= line.contains("[emerg]") || line.ends_with("test failed");
        let is_message = line.starts_with("nginx: ")
            || ["[warn]", "[notice]", "[alert]", "[error]", "[crit]"]
                .iter()
                .any(|level| line.contains(level));
        dump.other_lines += usize::from(!is_message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths<'d>(dump: &'d Dump<'_>) -> Vec<&'d str> {
        dump.files.iter().map(|file| &file.path[..]).collect()
    }

    #[test]
    fn files_of_a_dump_are_separated_and_messages_are_ignored() {
        let text = "nginx: the configuration file /e/nginx.conf syntax is ok\nnginx: configuration file /e/nginx.conf test is successful\n# configuration file /e/nginx.conf:\na;\n\n# configuration file /e/b c.conf:\r\nb;\n";
        let dump = split_dump(text, "-");
        assert_eq!(paths(&dump), ["/e/nginx.conf", "/e/b c.conf"]);
        assert_eq!(dump.files[0].text, "a;\n\n");
        assert_eq!(dump.files[1].text, "b;\n");
        assert_eq!((dump.other_lines, dump.has_failed), (0, false));
    }

    #[test]
    fn text_without_file_lines_is_one_file() {
        let dump = split_dump("# configuration file of the site\na;\n", "a.conf");
        assert_eq!(paths(&dump), ["a.conf"]);
        assert!(dump.files[0].text.starts_with("# configuration"));
    }

    #[test]
    fn failed_test_and_foreign_lines_are_reported() {
        let text = "nginx: [emerg] unknown directive\nhello\n# configuration file /e/nginx.conf:\n";
        let dump = split_dump(text, "-");
        assert_eq!((dump.other_lines, dump.has_failed), (1, true));
    }
}
