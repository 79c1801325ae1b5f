//! `arshai ingest`

use arshai_kb_tool::{FileOptions, IngestReport};
use serde_json::Value;

use crate::{
    args,
    backends::Backends,
    embedder::Need,
    failure::{Failure, Outcome},
    output::{Printer, clean_line},
    progress::Bar,
};

pub(crate) async fn ingest(args: &args::Ingest, backends: &Backends, printer: Printer) -> Outcome {
    let knowledge = backends.knowledge(Need::Write).await?.base;
    let options = FileOptions::default().with_hidden(args.hidden).with_prune(args.prune);
    let bar = Bar::new(printer);
    let outcome = knowledge.ingest_paths(&args.paths, options, &bar).await;
    bar.finish();
    let report = outcome?;
    tell(&report, printer);
    let value = serde_json::to_value(&report).unwrap_or(Value::Null);
    printer.result(&value, || summary(&report))?;
    if report.is_complete() { Ok(()) } else { Err(Failure::Reported) }
}

/// What went wrong and what is worth knowing, on standard error.
pub(crate) fn tell(report: &IngestReport, printer: Printer) {
    for note in &report.notes {
        printer.remark(note);
    }
    for failed in &report.failed {
        printer.remark(&format!("failed: {}: {}", clean_line(&failed.source), failed.error));
    }
    for source in &report.not_attempted {
        printer.remark(&format!("not attempted: {}", clean_line(source)));
    }
    for (reason, path) in &report.skipped_paths {
        printer.detail(&format!("skipped ({}): {}", reason.name(), clean_line(path)));
    }
}

fn summary(report: &IngestReport) -> String {
    let skipped = &report.skipped;
    let mut lines = vec![format!(
        "{} documents, {} chunks: {} chunks written, {} embedded; {} documents unchanged, {} removed",
        report.documents, report.chunks, report.written, report.embedded, report.unchanged, report.removed
    )];
    let parts: Vec<String> = [
        (skipped.hidden, "hidden"),
        (skipped.ignored, "ignored"),
        (skipped.binary, "binary"),
        (skipped.empty, "empty"),
        (skipped.unsupported, "of an unsupported kind"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, reason)| format!("{count} {reason}"))
    .collect();
    if !parts.is_empty() {
        lines.push(format!("skipped: {} (-v lists them)", parts.join(", ")));
    }
    if !report.is_complete() {
        lines.push(format!("{} failed, {} not attempted", report.failed.len(), report.not_attempted.len()));
    }
    lines.join("\n")
}
