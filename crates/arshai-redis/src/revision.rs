//! What a revision of a value holds: the digest the server compares, and the ids of the last writes.
//!
//! The ids travel in the revision because the next write must carry them on, and a put is given nothing of the value
//! it replaces but its revision.

use arshai_core::memory::{Envelope, MAX_OPERATIONS, OperationId, Revision};
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
    /// None matches no value.
    digest: Option<[u8; DIGEST]>,
    pub(crate) operations: Vec<OperationId>,
}

impl Base {
    fn of_stored(stored: &[u8], operations: Vec<OperationId>) -> Self {
        Self { digest: Some(sha1(stored)), operations }
    }

    /// Of bytes that may not be an envelope.
    pub(crate) fn of_any(stored: &[u8]) -> Self {
        Self::of_stored(stored, Envelope::operations_in(stored))
    }

    /// Of a revision; one that another backend made matches no value.
    pub(crate) fn of_revision(revision: &Revision) -> Self {
        let (digest, ids) = revision
            .as_bytes()
            .split_first_chunk()
            .map_or((None, [].as_slice()), |(digest, ids)| (Some(*digest), ids));
        let operations =
            ids.chunks_exact(ID).filter_map(|id| Some(OperationId::from_bytes(id.try_into().ok()?)));
        let mut kept = Vec::with_capacity(MAX_OPERATIONS.saturating_add(1));
        kept.extend(operations);
        Self { digest, operations: kept }
    }

    /// The digest as the script compares it; never empty, as that means "no value".
    pub(crate) fn expected(&self) -> String {
        self.digest.map_or_else(|| "-".to_owned(), |digest| hex(&digest))
    }

    /// The ids that the value with this write holds.
    pub(crate) fn with(&self, operation: OperationId) -> Vec<OperationId> {
        let excess = self.operations.len().saturating_add(1).saturating_sub(MAX_OPERATIONS);
        let mut operations = Vec::with_capacity(MAX_OPERATIONS);
        operations.extend(self.operations.iter().skip(excess));
        operations.push(operation);
        operations
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
        let base = Base::of_stored(b"value", operations.clone());
        let again = Base::of_revision(&revision_of(Bytes::from_static(b"value"), operations.clone()));
        assert_eq!(again, base);
        assert_eq!(again.expected(), hex(&sha1(b"value")));
        assert!(base.precedes(&operations[15..]) && !base.precedes(&operations[..15]));
    }

    #[test]
    fn a_write_adds_its_id_and_the_oldest_goes() {
        let operations: Vec<_> = (0..16).map(|_| OperationId::random()).collect();
        let new = OperationId::random();
        let kept = Base::of_stored(b"value", operations.clone()).with(new);
        assert_eq!((&kept[..15], kept[15], kept.len()), (&operations[1..], new, 16));
        assert_eq!(Base::of_stored(b"value", operations[..2].to_vec()).with(new).len(), 3);
    }

    #[test]
    fn a_foreign_revision_matches_nothing() {
        assert_eq!(Base::of_revision(&Revision::from_digest(b"")).expected(), "-");
        assert_eq!(Base::of_revision(&Revision::from_digest(b"short")).expected(), "-");
    }
}
