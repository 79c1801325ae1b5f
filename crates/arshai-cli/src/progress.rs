//! A progress bar for people who watch.

use std::sync::OnceLock;

use arshai_kb_tool::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Printer, clean};

/// Shows how far an ingest is, on standard error, when that is a terminal.
pub(crate) struct Bar {
    shown: bool,
    bar: OnceLock<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(printer: Printer) -> Self {
        Self { shown: printer.shows_progress(), bar: OnceLock::new() }
    }

    fn bar(&self) -> Option<&ProgressBar> {
        let start = || {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        self.shown.then(|| self.bar.get_or_init(start))
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn found(&self, documents: Option<usize>) {
        if let (Some(bar), Some(documents)) = (self.bar(), documents) {
            bar.set_length(documents as u64);
        }
    }

    fn document(&self, source: &str) {
        if let Some(bar) = self.bar() {
            bar.set_message(clean(source));
            bar.inc(1);
        }
    }
}
