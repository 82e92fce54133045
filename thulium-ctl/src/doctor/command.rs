//! Asking the gateway's own tools: what they say, the admin can ask again.

use std::process::{Command, Stdio};

/// What a tool printed.
///
/// # Errors
/// Why it cannot be asked, in a sentence's half: `nft is not installed`.
pub(super) fn ask(program: &str, arguments: &str) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).env("PATH", path).env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{program} is not installed"),
        _ => format!("{program} cannot be started: {error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program} {arguments}` fails: {}", said.lines().next().unwrap_or("without a word").trim()))
}

/// The same as JSON.
pub(super) fn ask_json(program: &str, arguments: &str) -> Result<serde_json::Value, String> {
    let text = ask(program, arguments)?;
    // Some versions print nothing where there is nothing.
    let text = if text.trim().is_empty() { "[]" } else { &text };
    serde_json::from_str(text).map_err(|error| format!("`{program} {arguments}` prints no JSON: {error}"))
}

/// A word for the shell; in quotes if it has to be.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_there_or_fails_is_told() {
        assert_eq!(ask("no-such-tool-here", "").unwrap_err(), "no-such-tool-here is not installed");
        let failed = ask("ls", "/no/such/file").unwrap_err();
        assert!(failed.starts_with("`ls /no/such/file` fails: ls: cannot access"), "{failed}");
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("eth0.20"), "eth0.20");
        assert_eq!(quoted("a & b"), "'a & b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
