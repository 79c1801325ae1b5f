//! Speech in a file: written beside its place and moved there, or into what is no file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{AudioFormat, sizes};

/// So many links are followed, as systems do.
const MOST_LINKS: usize = 40;

/// A file that is written beside its place and removed unless it was finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: File,
    /// What is to be moved, and where to; `None` for what cannot be replaced: a device, a pipe.
    part: Option<Part>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Opens a file beside `target`, which stays as it is. A link stays a link: it is what it leads to that is written.
    /// A device or a pipe is written to, and not replaced. `None` for a pipe that nobody reads yet.
    pub(super) fn beside(target: &Path) -> io::Result<Option<Self>> {
        let there = match fs::metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?),
        };
        match there {
            Some(there) if there.is_dir() => return Err(io::Error::other("the path names a folder")),
            Some(there) if !there.is_file() => {
                let file = open_special(target, &there)?;
                return Ok(file.map(|file| Self { file, part: None }));
            }
            _ => {}
        }
        let target = followed(target)?;
        let name = target.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}.part", fastrand::u64(..)));
        let path = target.with_file_name(hidden);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Some(Self { file, part: Some(Part { path, target, finished: false }) }))
    }

    /// Writes what there is room for, and says how much that was: nothing when a pipe is full.
    pub(super) fn write(mut self, block: &Bytes) -> io::Result<(Self, usize)> {
        match self.file.write(block) {
            Ok(0) if !block.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => Ok((self, written)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok((self, 0))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the file in its place, with the sizes it has in its header.
    pub(super) fn finish(mut self, format: AudioFormat) -> io::Result<()> {
        let Some(part) = &mut self.part else { return self.file.flush() };
        if format == AudioFormat::Wav {
            sizes::mend(&mut self.file)?;
        }
        if let Ok(there) = fs::metadata(&part.target) {
            fs::set_permissions(&part.path, there.permissions())?;
        }
        self.file.sync_all()?;
        fs::rename(&part.path, &part.target)?;
        part.finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done for a file that cannot be removed.
            let _ignored = fs::remove_file(&self.path);
        }
    }
}

/// A device or a pipe; `None` for a pipe that nobody reads yet. Neither opening a pipe nor writing into it waits: nobody
/// may ever read it, and a thread that waited would not come back.
fn open_special(path: &Path, there: &fs::Metadata) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
        /// ENXIO, the same on every system.
        const NOBODY_READS: i32 = 6;
        if let (true, Some(flag)) = (there.file_type().is_fifo(), NONBLOCK) {
            return match options.custom_flags(flag).open(path) {
                Err(error) if error.raw_os_error() == Some(NOBODY_READS) => Ok(None),
                opened => opened.map(Some),
            };
        }
    }
    #[cfg(not(unix))]
    let _ = there;
    options.open(path).map(Some)
}

/// `O_NONBLOCK`, which std does not name; `None` on systems whose number for it is not known here.
#[cfg(unix)]
const NONBLOCK: Option<i32> = {
    let is_linux = cfg!(any(target_os = "linux", target_os = "android"));
    let has_own_numbers = cfg!(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6",
        target_arch = "sparc",
        target_arch = "sparc64"
    ));
    let is_bsd = cfg!(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ));
    if is_linux && !has_own_numbers {
        Some(0o4000)
    } else if is_bsd {
        Some(4)
    } else {
        None
    }
};

/// Where the links lead, whether or not something is there.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                let to = fs::read_link(&path)?;
                path = path.parent().map_or_else(|| to.clone(), |folder| folder.join(&to));
            }
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("the path is a link that leads to itself"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    };

    use super::*;

    fn write(target: &Path, content: &'static [u8]) -> io::Result<()> {
        let file = loop {
            match Unfinished::beside(target)? {
                Some(file) => break file,
                None => std::thread::yield_now(),
            }
        };
        let (file, written) = file.write(&Bytes::from_static(content))?;
        assert_eq!(written, content.len());
        file.finish(AudioFormat::Wav)
    }

    fn folder() -> PathBuf {
        let path = std::env::temp_dir().join(format!("arshai-speech-file-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), b"sound").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        // Nor is one that a link leads to, as /dev/stdout does.
        let folder = folder();
        let link = folder.join("null.wav");
        symlink("/dev/null", &link).unwrap();
        write(&link, b"sound").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_named_pipe_is_written_to() {
        let folder = folder();
        let pipe = folder.join("pipe.wav");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let from = pipe.clone();
        let reading = std::thread::spawn(move || {
            let mut heard = Vec::new();
            File::open(from).unwrap().read_to_end(&mut heard).unwrap();
            heard
        });
        write(&pipe, b"sound").unwrap();
        assert_eq!(reading.join().unwrap(), b"sound");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_stays_a_link_and_a_file_keeps_its_permissions() {
        let folder = folder();
        let (real, link, loose) =
            (folder.join("real.wav"), folder.join("link.wav"), folder.join("loose.wav"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.wav", &link).unwrap();
        symlink("later.wav", &loose).unwrap();
        write(&link, b"new").unwrap();
        write(&loose, b"later").unwrap();
        assert!([&link, &loose].iter().all(|path| fs::symlink_metadata(path).unwrap().is_symlink()));
        assert_eq!(
            (fs::read(&real).unwrap(), fs::read(folder.join("later.wav")).unwrap()),
            (b"new".to_vec(), b"later".to_vec())
        );
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        let circle = folder.join("circle.wav");
        symlink("circle.wav", &circle).unwrap();
        write(&circle, b"x").unwrap_err();
        write(&folder, b"x").unwrap_err();
        fs::remove_dir_all(folder).unwrap();
    }
}
