//! Files that hold one secret.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Longer files are surely something else.
const MAX_BYTES: u64 = 65_536;

/// Reads a secret: the file's text without the line break at its end.
///
/// # Errors
/// A sentence for the operator, without any part of the content.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("{shown} cannot be read: {e}"))?;
    check_private(path, &file)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|e| format!("{shown} cannot be read as text: {e}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{shown} is longer than {MAX_BYTES} bytes"));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(secret.to_owned())
}

/// Refuses a file that every user of the machine may read or write.
pub(super) fn check_private(path: &Path, file: &std::fs::File) -> Result<(), String> {
    let shown = path.display();
    let mode = file.metadata().map_err(|e| format!("{shown} cannot be examined: {e}"))?.mode();
    if mode & 0o007 != 0 {
        return Err(format!(
            "{shown} holds a secret and is open to every user of the machine; chmod 600 {shown}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &str, mode: u32) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path)
    }

    #[test]
    fn only_the_line_break_at_the_end_is_removed() {
        assert_eq!(file(" a b \r\n", 0o600).unwrap(), " a b ");
        assert_eq!(file("a\n\n", 0o640).unwrap(), "a\n");
    }

    #[test]
    fn a_file_open_to_everyone_is_refused() {
        let problem = file("hunter2", 0o644).unwrap_err();
        assert!(problem.contains("chmod 600"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn an_empty_file_is_refused() {
        assert!(file("\n", 0o600).unwrap_err().contains("is empty"));
    }
}
