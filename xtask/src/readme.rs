//! What the README tells a newcomer to run.

use std::fs;
use std::path::Path;

use crate::Result;

/// The commands that set a fresh machine up, of which there are two.
pub(crate) fn set_up_commands(root: &Path) -> Result<[String; 2]> {
    let commands = commands_in(&fs::read_to_string(root.join("README.md"))?)?;
    let found = commands.len();
    commands
        .try_into()
        .map_err(|_| format!("the README sets up by {found} commands, not by 2").into())
}

/// The lines of the one block of shell commands.
fn commands_in(readme: &str) -> Result<Vec<String>> {
    let mut blocks = readme.split("\n```sh\n").skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err("the README has not exactly one block of shell commands".into());
    };
    let lines = block.lines().map(str::trim);
    let lines = lines.take_while(|line| *line != "```");
    let commands = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(commands.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_the_lines_that_are_no_comments() {
        let text = "a\n```sh\ncargo run\n\n# all tests\ncargo test\n```\nb\n";
        assert_eq!(commands_in(text).unwrap(), ["cargo run", "cargo test"]);
        assert!(commands_in("a\n").is_err());
        assert!(commands_in(&text.repeat(2)).is_err());
    }

    #[test]
    fn two_commands_set_up() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let commands = set_up_commands(root).unwrap();
        assert_eq!(commands, ["cargo run -p bank", "cargo xtask test"]);
    }
}
