//! Large replies that several sessions keep, such as the result of a reduction: in memory once, and
//! counted once.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use crate::objects::StoredReply;

/// The large replies that sessions keep.
#[derive(Debug, Default)]
pub(super) struct SharedReplies {
    /// By the address of the body, how many sessions' requests have it.
    keepers: BTreeMap<usize, u32>,
    /// While sessions are restored: the large replies so far, by the hash of their bodies.
    restored: BTreeMap<u64, Vec<StoredReply>>,
}

/// A reply of so many bytes is large; smaller ones are counted for each request.
const LARGE_BYTES: u64 = 4 * 1024;

impl SharedReplies {
    /// Counts a reply that is kept once more. Returns the bytes that are taken now.
    pub(super) fn keep(&mut self, reply: &StoredReply) -> u64 {
        let Some(address) = large(reply) else { return reply.bytes() };
        let keepers = self.keepers.entry(address).or_default();
        *keepers += 1;
        if *keepers == 1 { reply.bytes() } else { 0 }
    }

    /// Counts a reply that is about to be dropped. Returns the bytes that are free then.
    pub(super) fn drop(&mut self, reply: &StoredReply) -> u64 {
        let Some(address) = large(reply) else { return reply.bytes() };
        let keepers = self.keepers.get_mut(&address).expect("what is kept is counted");
        *keepers -= 1;
        if *keepers > 0 {
            return 0;
        }
        self.keepers.remove(&address);
        reply.bytes()
    }

    /// Replaces a restored reply by an equal one that was restored before, so that they share their
    /// body as they did in the shard that was written.
    pub(super) fn share(&mut self, reply: &mut StoredReply) {
        let StoredReply::Long { body, .. } = &*reply else { return };
        if large(reply).is_none() {
            return;
        }
        let equal = self.restored.entry(xxh3_64(body)).or_default();
        match equal.iter().find(|known| known.is_equal(reply)) {
            Some(known) => *reply = known.clone(),
            None => equal.push(reply.clone()),
        }
    }

    /// Ends the restoring of sessions.
    pub(super) fn end_restoring(&mut self) {
        self.restored.clear();
    }
}

/// Returns the address of the body of a large reply.
fn large(reply: &StoredReply) -> Option<usize> {
    match reply {
        StoredReply::Long { body, .. } if reply.bytes() >= LARGE_BYTES => {
            Some(Arc::as_ptr(body).cast::<u8>().addr())
        }
        _ => None,
    }
}
