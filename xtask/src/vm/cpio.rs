//! The archive that a kernel takes as its initramfs: cpio's "newc" format, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive in the making.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder. What is above it must have been added before.
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that may be executed.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let (links, name_length) = (1, path.len() as u32 + 1);
        // inode, mode, owner, group, links, time, size, four device numbers, length of the name, unused checksum
        let head = [self.entries, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, name_length, 0];
        self.bytes.extend(b"070701");
        for field in head {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_are_aligned() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/sh", b"#!");
        let bytes = archive.finish();
        // A head is 110 bytes: "bin" ends at 114 and is padded to 116.
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[110..120], b"bin\0\0\x000707");
        assert_eq!(bytes.len() % 4, 0);
        let size = &bytes[116 + 54..116 + 62];
        assert_eq!(size, b"00000002");
        assert_eq!(&bytes[116 + 110..116 + 124], b"bin/sh\0\0\0\0#!\0\0");
    }
}
