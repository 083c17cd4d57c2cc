//! The layout of a generated configuration. Templates include each other at any depth, so they are not indented.

/// Indents each line by the depth of its block, and joins blank lines. Each marked block has a blank line before it,
/// and each closed one has one after it. In a template, a line that opens a block ends with ` {`, and the line that closes it is `}`.
pub(super) fn indent_blocks(text: &str) -> String {
    let mut depth = 0_usize;
    let mut is_after_blank = true;
    let mut result = String::with_capacity(text.len() * 5 / 4);
    for line in text.lines().map(str::trim) {
        let closes = line == "}";
        if line.is_empty() {
            is_after_blank = true;
            continue;
        }
        // No blank line follows an opened block, precedes a closed one, or begins the file.
        let opened = result.ends_with(" {\n");
        // A tag of a template on a line of its own leaves a blank line, so only one before a comment is meant.
        let is_meant = line.starts_with('#') && is_after_blank;
        let is_after_block = result.ends_with("}\n") && !result.ends_with("{ }\n");
        let begins_block = line.starts_with("# ---- ") || is_after_block;
        if (is_meant || begins_block) && !closes && !opened && !result.is_empty() {
            result.push('\n');
        }
        is_after_blank = false;
        depth = depth.saturating_sub(usize::from(closes));
        result.extend(std::iter::repeat_n("    ", depth));
        result.push_str(line);
        result.push('\n');
        depth += usize::from(line.ends_with(" {") && !line.starts_with('#'));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_indented_and_blank_lines_joined() {
        let text = "\n\na;\n\n\nb {\n\nc {\n# {\nt { }\nd;\n}\n\n}\ne;\n# ---- f\ng;\n";
        let expected =
            "a;\nb {\n    c {\n        # {\n        t { }\n        d;\n    }\n}\n\ne;\n\n# ---- f\ng;\n";
        assert_eq!(indent_blocks(text), expected);
    }
}
