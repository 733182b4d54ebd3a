//! The items of a large object, which are written to a snapshot in parts.

use alloc::vec::Vec;

use super::discarded::Discarded;
use super::restore_error::RestoreError;
use super::state::{Reader, Writer};

/// Items that can be written in parts, between which they may change.
pub(crate) trait WalkedItems {
    /// Writes the items behind `after`, or the first ones, until they take so many bytes. Returns the
    /// place of the last one if more follow.
    fn write(&self, after: Option<&ItemPlace>, bytes: usize, out: &mut Writer)
    -> Option<ItemPlace>;

    /// Begins a walk over the items as they are now.
    fn begin_walk(&mut self);

    /// Writes about so many bytes of what the walk still has to write. Returns whether there is more;
    /// if not, the walk has to be ended.
    fn continue_walk(&mut self, bytes: usize, out: &mut Writer) -> bool;

    /// Ends the walk, if there is one.
    fn end_walk(&mut self, discarded: &mut Discarded);

    /// Returns the memory that the walk takes, in bytes, near enough.
    fn walk_bytes(&self) -> u64;
}

/// Where an item is in its object.
#[derive(Clone, Debug)]
pub(crate) enum ItemPlace {
    /// Behind so many others.
    Index(usize),
    /// Under this key.
    Key(Vec<u8>),
}

/// Items of a large object are written in parts of about so many bytes.
pub(crate) const ITEMS_BYTES: usize = 32 * 1024;

/// Writes items, each behind `true`, until they take so many bytes; then `false`. Returns the last
/// one if more follow.
pub(super) fn write_some<I>(
    items: impl Iterator<Item = I>,
    bytes: usize,
    out: &mut Writer,
    write: impl Fn(&I, &mut Writer),
) -> Option<I> {
    let (mut items, start, mut last) = (items.peekable(), out.len(), None);
    while out.len() - start < bytes
        && let Some(item) = items.next()
    {
        out.put(&true);
        write(&item, out);
        last = Some(item);
    }
    out.put(&false);
    last.filter(|_| items.peek().is_some())
}

/// Reads what [`write_some`] wrote.
pub(super) fn read_some<'b>(
    input: &mut Reader<'b>,
    mut read: impl FnMut(&mut Reader<'b>) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    while input.take()? {
        read(input)?;
    }
    Ok(())
}
