//! How far a download is.

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use crate::output::Printer;

/// One line that says what it is, then a bar, on standard error.
pub(crate) struct Download {
    printer: Printer,
    /// What is fetched, and where it goes.
    what: (String, String),
    /// Whether it is told before the first byte.
    at_once: bool,
    told: bool,
    bar: Option<ProgressBar>,
}

impl Download {
    pub(crate) fn new(printer: Printer, what: (String, String), at_once: bool) -> Self {
        Self { printer, what, at_once, told: false, bar: None }
    }

    pub(crate) fn at(&mut self, received: u64, total: u64) {
        if !self.told && (self.at_once || received > 0) {
            self.told = true;
            let (what, into) = &self.what;
            let size = match total {
                0 => "of unknown size".to_owned(),
                _ => format!("{} ({total} bytes)", DecimalBytes(total)),
            };
            self.printer.remark(&format!("{what}: {size}, {into}"));
            if self.printer.shows_progress() {
                let style =
                    ProgressStyle::with_template("{bar:30} {decimal_bytes}/{decimal_total_bytes} {eta}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                self.bar = Some(ProgressBar::new(total).with_style(style));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(received);
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
