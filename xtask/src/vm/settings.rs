//! What the scripts in the virtual machine have to know, as a shell script.

use std::io::IsTerminal;

use super::{kernel::Kernel, tools::Tools};
use crate::workspace;

/// How many times longer than usual tests wait before they fail: emulation is slow, and slower on a busy host.
const PATIENCE: u32 = 6;

/// What differs between runs.
pub(super) struct Settings<'a> {
    /// The kernel that runs.
    pub(super) kernel: &'a Kernel,
    /// The programs at hand.
    pub(super) tools: &'a Tools,
    /// The command lines of the tests.
    pub(super) commands: &'a [Vec<String>],
}

impl Settings<'_> {
    /// Variables, and a function `tests` that runs all tests and fails if one fails.
    pub(super) fn script(&self) -> String {
        let variables = [
            ("TREE", workspace::root().display().to_string()),
            ("TARGET", workspace::target().display().to_string()),
            ("KERNEL", self.kernel.folder.display().to_string()),
            ("KMOD", self.tools.kmod.display().to_string()),
            ("LIBRARIES", self.tools.libraries().to_string_lossy().into_owned()),
            ("THULIUM_CTL", workspace::release_binary("thulium-ctl").display().to_string()),
            ("THULIUM_OBJECT", workspace::object().display().to_string()),
            ("THULIUM_LAB_PATIENCE", PATIENCE.to_string()),
        ];
        let mut script: String =
            variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        script += "tests() {\n    failed=0\n";
        for command in self.commands {
            let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
            script += &format!("    {} || failed=$?\n", words.join(" "));
        }
        script + "    return $failed\n}\n"
    }
}

/// Whether tests write in colour, as `--color` of a test program wants it.
pub(super) fn color() -> &'static str {
    if std::io::stdout().is_terminal() { "always" } else { "never" }
}

/// `word` as a word of the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_shell_is_what_it_was() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
