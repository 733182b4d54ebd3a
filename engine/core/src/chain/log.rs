//! A shard's log: its latest entries, in the encoding in which they are forwarded.
//!
//! Invariants:
//!
//! 1. Indices are consecutive, from [`ReplicationLog::first`] to [`ReplicationLog::last`].
//! 2. Entries that the successor has not acknowledged are never dropped. A few of the others are
//!    kept, so that there is a hash to compare with when a link is restored.
//! 3. Appending allocates only until the log has reached its size. It reuses the memory that was
//!    used last, so that a shard's log stays in the cache.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use catena_protocol::peer::{self, Entry};

/// The entries of a shard.
#[derive(Debug, Default)]
pub(crate) struct ReplicationLog {
    segments: VecDeque<Segment>,
    /// Emptied segments; the last one is used next.
    spares: Vec<Segment>,
    /// The index of the last entry ever appended, kept or not.
    last: u64,
    /// Memory of the segments, and of the spares, in bytes.
    bytes: usize,
    spare_bytes: usize,
}

/// Consecutive entries in one buffer.
#[derive(Debug, Default)]
struct Segment {
    first: u64,
    /// The offset of each entry in `bytes`.
    starts: Vec<u32>,
    bytes: Vec<u8>,
}

/// A segment is closed before an entry that would make it longer than this. A longer entry gets a
/// segment of its own.
const SEGMENT_BYTES: usize = 32 * 1024;

/// The number of emptied segments that are kept for reuse.
const SPARES_MAX: usize = 8;

impl ReplicationLog {
    /// Creates an empty log that continues after `last`.
    pub(crate) fn behind(last: u64) -> ReplicationLog {
        ReplicationLog { last, ..ReplicationLog::default() }
    }

    /// Returns the index of the first entry that is kept, or one past the last if none is.
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.last + 1, |segment| segment.first)
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.spare_bytes
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, entry: &Entry<'_>) {
        assert_eq!(entry.index, self.last + 1, "entries are consecutive");
        self.last = entry.index;
        let is_full = |segment: &Segment| segment.bytes.len() + entry.bytes_len() > SEGMENT_BYTES;
        if self.segments.back().is_none_or(is_full) {
            let spare = self.spares.pop().unwrap_or_default();
            self.spare_bytes -= spare.bytes.capacity();
            self.bytes += spare.bytes.capacity();
            self.segments.push_back(Segment { first: entry.index, ..spare });
        }
        let segment = self.segments.back_mut().expect("there is a segment");
        let before = segment.bytes.capacity();
        let start = u32::try_from(segment.bytes.len()).expect("segments are far below 4 GiB");
        segment.starts.push(start);
        entry.write(&mut segment.bytes);
        self.bytes += segment.bytes.capacity() - before;
    }

    /// Counts an entry that no node will ask for.
    pub(crate) fn skip(&mut self) {
        assert!(self.segments.is_empty(), "no gap after entries that are kept");
        self.last += 1;
    }

    /// Returns the bytes of entries beginning with `index`, as many as lie in one buffer and within
    /// `bytes_max` but at least one, and the index of the last of them. `None` if there is no such
    /// entry, or it is not kept.
    pub(crate) fn from(&self, index: u64, bytes_max: usize) -> Option<(&[u8], u64)> {
        let segment = self.segment(index)?;
        let at = usize::try_from(index - segment.first).ok()?;
        let start = segment.starts[at] as usize;
        let end =
            |next: usize| segment.starts.get(next).map_or(segment.bytes.len(), |end| *end as usize);
        let fits =
            segment.starts[at + 1..].partition_point(|end| *end as usize - start <= bytes_max);
        // The start of entry `at + 1 + n` is the end of the one before it.
        let is_rest = segment.bytes.len() - start <= bytes_max;
        let count = if is_rest { segment.starts.len() - at } else { fits.max(1) };
        Some((&segment.bytes[start..end(at + count)], index + count as u64 - 1))
    }

    /// Returns the hash of the log up to and including an entry that is kept.
    pub(crate) fn hash(&self, index: u64) -> Option<u64> {
        let (bytes, _) = self.from(index, 0)?;
        peer::next_entry(bytes).ok().flatten().map(|entry| entry.hash)
    }

    /// Drops entries up to `index` while the log takes more than `keep_bytes`.
    pub(crate) fn trim(&mut self, index: u64, keep_bytes: usize) {
        while self.bytes > keep_bytes
            && let Some(segment) = self.segments.front()
            && segment.first + segment.starts.len() as u64 <= index + 1
            && let Some(mut segment) = self.segments.pop_front()
        {
            self.bytes -= segment.bytes.capacity();
            if self.spares.len() < SPARES_MAX {
                segment.bytes.clear();
                segment.bytes.shrink_to(SEGMENT_BYTES);
                segment.starts.clear();
                self.spare_bytes += segment.bytes.capacity();
                self.spares.push(segment);
            }
        }
    }

    /// Drops all entries.
    pub(crate) fn clear(&mut self) {
        *self = ReplicationLog::behind(self.last);
    }

    fn segment(&self, index: u64) -> Option<&Segment> {
        if index > self.last {
            return None;
        }
        let behind = self.segments.partition_point(|segment| segment.first <= index);
        self.segments.get(behind.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, request: &[u8]) -> Entry<'_> {
        Entry { index, now_us: 7 * index, hash: index * index, request }
    }

    fn indices(log: &ReplicationLog, from: u64, bytes_max: usize) -> Vec<u64> {
        let Some((mut bytes, last)) = log.from(from, bytes_max) else { return Vec::new() };
        let mut found = Vec::new();
        while let Some(entry) = peer::next_entry(bytes).unwrap() {
            found.push(entry.index);
            bytes = &bytes[entry.bytes_len()..];
        }
        assert_eq!(found.last(), Some(&last));
        found
    }

    #[test]
    fn entries_are_read_in_pieces() {
        let mut log = ReplicationLog::behind(4);
        assert_eq!((log.first(), log.last()), (5, 4));
        for index in 5..=9 {
            log.push(&entry(index, &[1; 48]));
        }
        assert_eq!(indices(&log, 5, 0), [5]);
        assert_eq!(indices(&log, 5, 159), [5]);
        assert_eq!(indices(&log, 5, 160), [5, 6]);
        assert_eq!(indices(&log, 6, 1 << 20), [6, 7, 8, 9]);
        assert_eq!(indices(&log, 9, 0), [9]);
        assert_eq!(indices(&log, 10, 1 << 20), [0_u64; 0]);
        assert_eq!(indices(&log, 4, 1 << 20), [0_u64; 0]);
        assert_eq!(log.hash(8), Some(64));
        assert_eq!(log.hash(4), None);
    }

    #[test]
    fn trimming_drops_acknowledged_entries() {
        let mut log = ReplicationLog::default();
        let request = [1; 64 * 1024];
        for index in 1..=32 {
            log.push(&entry(index, &request));
        }
        log.trim(0, 0);
        assert_eq!(log.first(), 1, "no entry was acknowledged");
        log.trim(20, 1024 * 1024);
        assert!(log.first() > 1 && log.first() <= 21, "{}", log.first());
        assert!(log.bytes() <= 1024 * 1024 + SEGMENT_BYTES * (SPARES_MAX + 1));
        log.trim(32, 0);
        assert_eq!((log.first(), log.last()), (33, 32));
        assert!(log.bytes() <= SEGMENT_BYTES * SPARES_MAX);
        let mut log = ReplicationLog::default();
        log.push(&entry(1, &vec![1; 1024 * 1024]));
        log.push(&entry(2, &[]));
        assert_eq!(indices(&log, 1, 10), [1]);
        assert_eq!(indices(&log, 2, 10), [2]);
    }
}
