//! What a revision of a value holds: the digest the server compares, and the ids of the last writes.
//!
//! The ids travel in the revision because the next write must carry them on, and a put is given nothing of the value
//! it replaces but its revision.

use arshai_core::memory::{Envelope, OperationId, Revision};
use fred::bytes::Bytes;

use crate::script::{hex, sha1};

const DIGEST: usize = 20;
const ID: usize = 16;

/// The revision of stored bytes with these ids. Who only reads never asks for the digest, so it is made when asked for.
pub(crate) fn revision_of(stored: Bytes, operations: Vec<OperationId>) -> Revision {
    Revision::computed_by(move || {
        let mut bytes = Vec::with_capacity(DIGEST.saturating_add(ID.saturating_mul(operations.len())));
        bytes.extend_from_slice(&sha1(&stored));
        for operation in &operations {
            bytes.extend_from_slice(operation.as_bytes());
        }
        bytes
    })
}

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
        let operation = |id: &[u8]| Some(OperationId::from_bytes(id.try_into().ok()?));
        Self { digest: digest.to_vec(), operations: ids.chunks(ID).filter_map(operation).collect() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_way_through_a_revision() {
        let operations: Vec<_> = (0..16).map(|_| OperationId::random()).collect();
        let base = Base::of_stored(b"value", &operations);
        let again = Base::of_revision(&revision_of(Bytes::from_static(b"value"), operations.clone()));
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
