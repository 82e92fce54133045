//! Files that are kept on disk for the next start: whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// Reads a file; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or holds something else.
pub fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all, making its folder if needed.
///
/// # Errors
/// If it cannot be written; then the former one stays.
pub fn store(path: &Path, content: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    fs::write(&fresh, text)?;
    File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("office/list.json");
        assert_eq!(load::<Vec<u8>>(&path).unwrap(), None);
        for content in [vec![1_u8], vec![2, 3]] {
            store(&path, &content).unwrap();
            assert_eq!(load(&path).unwrap(), Some(content));
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(load::<u8>(&path).is_err(), "something else");
    }
}
