//! What a run says while it runs.

/// Hears how an ingestion goes. All methods are called from the task that ingests and must be quick.
///
/// `()` hears nothing.
pub trait Progress: Send + Sync {
    /// How many documents there are, when that is known.
    fn found(&self, documents: Option<usize>) {
        let _ = documents;
    }

    /// Work on a document ended, well or not.
    fn document(&self, source: &str) {
        let _ = source;
    }

    /// So many more chunks were written.
    fn written(&self, chunks: usize) {
        let _ = chunks;
    }
}

impl Progress for () {}
