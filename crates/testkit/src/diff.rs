//! Differences, line by line.

use similar::{ChangeTag, TextDiff};

/// The lines of both texts: `-` was expected and is missing, `+` came instead.
pub(crate) fn diff(expected: &str, actual: &str) -> String {
    let mut text = String::from("  (- expected, + actual)\n");
    for change in TextDiff::from_lines(expected, actual).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        text.push_str("  ");
        text.push(sign);
        text.push(' ');
        text.push_str(change.value().trim_end_matches('\n'));
        text.push('\n');
    }
    text
}
