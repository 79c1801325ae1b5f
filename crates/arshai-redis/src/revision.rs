//! What a revision of a value holds: the digest the server compares, and the ids of the last writes.
//!
//! The ids travel in the revision because the next write must carry them on, and a put is given nothing of the value
//! it replaces but its revision.

use arshai_core::memory::{Envelope, OperationId, Revision};
use serde_json::Value;

use crate::script::{hex, sha1};

const DIGEST: usize = 20;
const ID: usize = 16;

/// The value a write replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    digest: Vec<u8>,
    pub(crate) operations: Vec<OperationId>,
}

impl Base {
    pub(crate) fn of_stored(stored: &[u8], operations: &[OperationId]) -> Self {
        Self { digest: sha1(stored).to_vec(), operations: operations.to_vec() }
    }

    /// Of bytes that may not be an envelope.
    pub(crate) fn of_any(stored: &[u8]) -> Self {
        let operations = Envelope::decode(stored).map(|envelope| envelope.operations).unwrap_or_default();
        Self::of_stored(stored, &operations)
    }

    /// Of a revision; one that another backend made matches no value.
    pub(crate) fn of_revision(revision: &Revision) -> Self {
        let bytes = revision.as_bytes();
        let (digest, ids) = bytes.split_at(DIGEST.min(bytes.len()));
        let operations = ids.chunks(ID).filter_map(|id| serde_json::from_value(Value::String(hex(id))).ok());
        Self { digest: digest.to_vec(), operations: operations.collect() }
    }

    pub(crate) fn revision(&self) -> Revision {
        let mut bytes = self.digest.clone();
        for operation in &self.operations {
            // An id that is not one of ours (16 bytes in hex) is not carried on.
            bytes.extend(unhex(operation).unwrap_or_default());
        }
        Revision::from_digest(&bytes)
    }

    /// The digest as the script compares it; never empty, as that means "no value".
    pub(crate) fn expected(&self) -> String {
        if self.digest.len() == DIGEST { hex(&self.digest) } else { "-".to_owned() }
    }

    /// Whether `operations`, of a later value, show that this one came before it with no gap.
    pub(crate) fn precedes(&self, operations: &[OperationId]) -> bool {
        self.operations.last().is_some_and(|last| operations.contains(last))
    }
}

fn unhex(operation: &OperationId) -> Option<Vec<u8>> {
    let Ok(Value::String(text)) = serde_json::to_value(operation) else { return None };
    if text.len() != 2 * ID {
        return None;
    }
    (0..ID).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_way_through_a_revision() {
        let operations: Vec<_> = (0..16).map(|_| OperationId::random()).collect();
        let base = Base::of_stored(b"value", &operations);
        let again = Base::of_revision(&base.revision());
        assert_eq!(again, base);
        assert_eq!(again.expected(), hex(&sha1(b"value")));
        assert!(base.precedes(&operations[15..]) && !base.precedes(&operations[..15]));
    }

    #[test]
    fn a_foreign_revision_matches_nothing() {
        assert_eq!(Base::of_revision(&Revision::from_digest(b"")).expected(), "-");
        assert_eq!(Base::of_revision(&Revision::from_digest(b"short")).expected(), "-");
    }
}
