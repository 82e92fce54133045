//! Sentences that fit a terminal.

/// Columns that text is broken to.
const WIDTH: usize = 100;

/// `text` in lines of at most 100 columns, each behind `indent`, without a line break at the end. A longer word stands alone.
pub(crate) fn paragraph(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "word ".repeat(30);
        let broken = paragraph(&text, "  ");
        let lines: Vec<&str> = broken.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= 100 && line.starts_with("  word")), "{broken}");
        assert_eq!(broken.split_whitespace().count(), 30);
        assert_eq!(paragraph(&"x".repeat(150), "").len(), 150);
        assert_eq!(paragraph("", "  "), "");
    }
}
