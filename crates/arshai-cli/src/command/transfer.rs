//! `arshai export` and `arshai import`

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arshai_core::{
    Error, ErrorKind, Result,
    memory::KeyPrefix,
    transfer::{ImportReport, LeftOut, Source, Target, export as lines_of, import as take_in},
};
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    args,
    backends::{Backends, as_usage},
    failure::{Failure, Outcome},
    output::Printer,
};

/// A record of the largest text and vector that a store takes is smaller.
const MAX_LINE: u64 = 256 << 20;

pub(crate) async fn export(args: &args::Export, backends: &Backends, printer: Printer) -> Outcome {
    let mut source = Source::default();
    if args.only != Some(args::Part::Memory) {
        let store = backends.store().await?;
        let names = match backends.names_collection() {
            true => vec![backends.config.collection().to_owned()],
            false => store.collections().await?,
        };
        if !names.is_empty() && backends.store_has_schema() {
            printer.remark(
                "of each collection the key, the text, the metadata and the dense vector are exported; \
                 further columns, if it has any, are not",
            );
        }
        source = source.with_collections(store, names);
    }
    if args.only != Some(args::Part::Documents) {
        source = source.with_memories(backends.memory().await?, KeyPrefix::every());
    }
    let unreadable = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&unreadable);
    let lines = lines_of(source.telling_what_is_left_out(move |what| {
        if matches!(what, LeftOut::Memory { .. }) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        printer.remark(&format!("left out: {what}"));
    }));
    match &args.output {
        None => drop(write_lines(lines, io::stdout()).await?),
        Some(path) => {
            let (count, path) = write_file(lines, path, || unreadable.load(Ordering::Relaxed) == 0).await?;
            let (file, unreadable) = (path.display().to_string(), unreadable.load(Ordering::Relaxed));
            printer.result(&json!({ "file": file, "lines": count, "unreadable": unreadable }), || {
                match unreadable {
                    0 => format!("{count} lines in {file}"),
                    _ => format!("{count} lines in {file}, without {unreadable} conversations"),
                }
            })?;
        }
    }
    if unreadable.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Failure::Reported) }
}

pub(crate) async fn import(args: &args::Import, backends: &Backends, printer: Printer) -> Outcome {
    let mut target = Target::default();
    if args.replace {
        target = target.replacing_memories();
    }
    let input: Box<dyn BufRead + Send> = match args.file.as_os_str() == "-" {
        true => Box::new(BufReader::new(io::stdin())),
        false => {
            Box::new(BufReader::new(File::open(&args.file).map_err(|error| unreadable(error, &args.file))?))
        }
    };
    let target = target.with_store(backends.store().await?).with_memory(backends.memory().await?);
    match take_in(&target, read_lines(input)).await {
        Ok(report) => {
            tell(&report, None, printer)?;
            if report.is_complete() { Ok(()) } else { Err(Failure::Reported) }
        }
        // What it did until then is told beside why it ended.
        Err(failed) => {
            tell(&failed.report, Some(&failed.error), printer)?;
            Err(failed.error.into())
        }
    }
}

fn tell(report: &ImportReport, ended: Option<&Error>, printer: Printer) -> Outcome {
    for note in &report.notes {
        printer.remark(note);
    }
    for (key, error) in &report.failed {
        printer.remark(&format!("failed: {}: {error}", key.escape_debug()));
    }
    if report.kept_memories > 0 {
        printer.remark(&format!(
            "{} conversations were kept although the export's differ; --replace replaces them",
            report.kept_memories
        ));
    }
    printer.result(
        &json!({
            "complete": ended.is_none() && report.is_complete(),
            "collections": report.collections,
            "records": report.records,
            "written_records": report.written_records,
            "memories": report.memories,
            "written_memories": report.written_memories,
            "kept_memories": report.kept_memories,
            "failed": report.failed.len(),
        }),
        || match ended {
            None => summary(report),
            Some(_) => format!("ended early after {}", summary(report)),
        },
    )
}

fn summary(report: &ImportReport) -> String {
    format!(
        "{} records of {} collections, {} written; {} conversations, {} written",
        report.records, report.collections, report.written_records, report.memories, report.written_memories
    )
}

/// Writes beside the file and renames, so that a part is never taken for the whole. An earlier file is replaced by what
/// `is_everything` alone: what lacks something stays beside it. Gives the lines and where they are.
async fn write_file(
    lines: impl Stream<Item = Result<String>>,
    path: &Path,
    is_everything: impl Fn() -> bool,
) -> Outcome<(u64, PathBuf)> {
    let name = path.file_name().ok_or_else(|| as_usage("--output")(Error::invalid("it names no file")))?;
    let mut beside = name.to_owned();
    beside.push(".part");
    let beside = path.with_file_name(beside);
    let file = File::create(&beside).map_err(|error| unwritable(error, &beside))?;
    let mut part = Part::of(beside);
    let (count, file) = write_lines(lines, file).await?;
    let file = file.into_inner().map_err(|error| unwritable(error.into_error(), &part.path))?;
    file.sync_all().map_err(|error| unwritable(error, &part.path))?;
    if path.exists() && !is_everything() {
        part.kept = true;
        return Ok((count, part.path.clone()));
    }
    std::fs::rename(&part.path, path).map_err(|error| unwritable(error, path))?;
    part.kept = true;
    Ok((count, path.to_owned()))
}

/// A file that is removed unless it is to be kept: when writing fails, and when the program is interrupted.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Part {
    fn of(path: PathBuf) -> Self {
        Self { path, kept: false }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // What is left of it says nothing; the failure is what is told.
            let _ignored = std::fs::remove_file(&self.path);
        }
    }
}

async fn write_lines<W: Write>(
    lines: impl Stream<Item = Result<String>>,
    out: W,
) -> Outcome<(u64, BufWriter<W>)> {
    let mut lines = std::pin::pin!(lines);
    let mut out = BufWriter::new(out);
    let mut count = 0;
    while let Some(line) = lines.next().await {
        writeln!(out, "{}", line?)?;
        count += 1;
    }
    out.flush()?;
    Ok((count, out))
}

/// Lines of a file or pipe, read on a thread of their own.
fn read_lines(mut input: Box<dyn BufRead + Send>) -> impl Stream<Item = Result<String>> + Send {
    let (sender, mut receiver) = mpsc::channel(256);
    std::thread::spawn(move || {
        loop {
            let mut line = String::new();
            let item = match input.by_ref().take(MAX_LINE).read_line(&mut line) {
                Ok(0) => return,
                Ok(read) if read as u64 == MAX_LINE && !line.ends_with('\n') => {
                    Err(Error::new(ErrorKind::Corrupt, "a line is longer than 256 MiB"))
                }
                Ok(_) => Ok(line),
                Err(error) => Err(Error::from(error)),
            };
            let failed = item.is_err();
            if sender.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

fn unreadable(error: io::Error, path: &Path) -> Error {
    Error::from(error).with_context("file", path.display())
}

fn unwritable(error: io::Error, path: &Path) -> Failure {
    Failure::Work(Error::from(error).with_context("file", PathBuf::from(path).display()))
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};

    use super::*;

    #[test]
    fn an_interrupted_export_leaves_no_part_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let lines = stream::iter([Ok("{}".to_owned())]).chain(stream::pending());
        let target = folder.path().join("all.ndjson");
        let mut export = Box::pin(write_file(lines, &target, || true));
        assert!((&mut export).now_or_never().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it has begun");
        drop(export);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let line = || stream::iter([Ok("{}".to_owned())]);
        let whole = write_file(line(), &target, || true).now_or_never().unwrap().unwrap();
        assert_eq!((whole, std::fs::read_to_string(&target).unwrap().as_str()), ((1, target), "{}\n"));
    }
}
