//! Names of instances.

/// The instance named `text`: it becomes part of paths, so only letters, digits, `-` and `_` are allowed
/// (the BPF file system takes no dots).
///
/// # Errors
/// What is allowed, in a sentence.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        return Err("1 to 64 letters, digits, `-` and `_` are allowed".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_its_directory() {
        for good in ["default", "office-1", "A_z"] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "../x", "a.b", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
