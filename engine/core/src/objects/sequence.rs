//! The items of a list, which can be written in parts while they change.
//!
//! 1. A walk writes the items that there were when it began, in their order then.
//! 2. It has a list of what it still has to write: pieces that are unchanged where they are, and items
//!    that it has kept because they were about to change. A change at an end of the list, as of a
//!    queue, adds no piece or one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;
use core::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::byte_string::ByteString;
use super::discarded::{Discarded, DiscardedItems};
use super::state::Writer;
use super::walked_items::{ItemPlace, WalkedItems, write_some};

/// Byte strings in an order.
#[derive(Default)]
pub(super) struct Sequence {
    items: VecDeque<ByteString>,
    walk: Option<Box<SequenceWalk>>,
}

/// What a walk still has to write.
#[derive(Default)]
struct SequenceWalk {
    pieces: VecDeque<Piece>,
    /// Where the unchanged items are, if all were removed together.
    removed: Option<VecDeque<ByteString>>,
    /// Memory that the walk takes, in bytes, near enough.
    bytes: u64,
}

enum Piece {
    /// Items that are unchanged, by their present indexes.
    Unchanged(Range<usize>),
    Kept(ByteString),
}

/// With more pieces than this a change takes too long; then all that is left is kept.
const PIECES_MAX: usize = if cfg!(test) { 64 } else { 4 * 1024 };

impl Sequence {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn get(&self, at: usize) -> Option<&ByteString> {
        self.items.get(at)
    }

    pub(super) fn iter(&self) -> alloc::collections::vec_deque::Iter<'_, ByteString> {
        self.items.iter()
    }

    /// Returns the items from an index on, which is at most their number.
    pub(super) fn behind(
        &self,
        from: usize,
    ) -> alloc::collections::vec_deque::Iter<'_, ByteString> {
        self.items.range(from..)
    }

    /// Returns an item that there is, to be changed.
    pub(super) fn edit(&mut self, at: usize) -> &mut ByteString {
        self.keep(at);
        &mut self.items[at]
    }

    pub(super) fn insert(&mut self, at: usize, item: ByteString) {
        self.items.insert(at, item);
        if let Some(walk) = &mut self.walk {
            walk.on_inserted(at);
        }
    }

    pub(super) fn push_back(&mut self, item: ByteString) {
        // No piece is behind it.
        self.items.push_back(item);
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<ByteString> {
        self.keep(at);
        let removed = if at == 0 { self.items.pop_front()? } else { self.items.remove(at)? };
        if let Some(walk) = &mut self.walk {
            walk.on_removed(at);
        }
        self.shrink();
        Some(removed)
    }

    /// Removes the items that `stays` does not return `true` for.
    pub(super) fn retain(&mut self, stays: impl FnMut(&ByteString) -> bool) {
        self.keep_all();
        self.items.retain(stays);
        self.shrink();
    }

    /// Removes all items, which have `heap_bytes` beyond their table. Returns those that no walk needs.
    pub(super) fn take(&mut self, heap_bytes: u64) -> VecDeque<ByteString> {
        let all = core::mem::take(&mut self.items);
        match &mut self.walk {
            Some(walk) if walk.removed.is_none() => {
                walk.bytes += (all.capacity() * size_of::<ByteString>()) as u64 + heap_bytes;
                walk.removed = Some(all);
                VecDeque::new()
            }
            _ => all,
        }
    }

    /// Returns all items.
    pub(super) fn into_items(self) -> VecDeque<ByteString> {
        self.items
    }

    /// Frees memory if there were once many more.
    fn shrink(&mut self) {
        if self.items.len() < self.items.capacity() / 8 {
            self.items.shrink_to(self.items.len() * 2);
        }
    }

    /// Keeps an item for the walk, if there is one that has not written it, before it changes.
    #[inline]
    fn keep(&mut self, at: usize) {
        if self.walk.is_some() {
            self.keep_for_walk(at);
        }
    }

    #[cold]
    fn keep_for_walk(&mut self, at: usize) {
        if let Some(walk) = &mut self.walk
            && walk.removed.is_none()
        {
            walk.keep(at, &self.items);
            if walk.pieces.len() > PIECES_MAX {
                self.keep_all();
            }
        }
    }

    /// Keeps all that the walk has not written.
    fn keep_all(&mut self) {
        let Some(walk) = &mut self.walk else { return };
        if walk.removed.is_some() {
            return;
        }
        for piece in core::mem::take(&mut walk.pieces) {
            match piece {
                Piece::Kept(_) => walk.pieces.push_back(piece),
                Piece::Unchanged(range) => {
                    for item in self.items.range(range) {
                        walk.bytes += cost(item);
                        walk.pieces.push_back(Piece::Kept(item.clone()));
                    }
                }
            }
        }
    }
}

impl WalkedItems for Sequence {
    fn write(
        &self,
        after: Option<&ItemPlace>,
        bytes: usize,
        out: &mut Writer,
    ) -> Option<ItemPlace> {
        let from = match after {
            Some(ItemPlace::Index(last)) => last + 1,
            Some(ItemPlace::Key(_)) => unreachable!("items of a list have no keys"),
            None => 0,
        };
        let items = (from..).zip(self.behind(from));
        let last = write_some(items, bytes, out, |(_, item), out| out.put(item));
        last.map(|(index, _)| ItemPlace::Index(index))
    }

    fn begin_walk(&mut self) {
        let mut walk = SequenceWalk::default();
        walk.push_unchanged(0..self.items.len());
        self.walk = Some(walk.into());
    }

    fn continue_walk(&mut self, bytes: usize, out: &mut Writer) -> bool {
        let Some(walk) = &mut self.walk else { return false };
        let items = walk.removed.as_ref().unwrap_or(&self.items);
        let start = out.len();
        while out.len() - start < bytes
            && let Some(piece) = walk.pieces.front_mut()
        {
            out.put(&true);
            match piece {
                Piece::Unchanged(range) if range.len() > 1 => {
                    out.put(&items[range.start]);
                    range.start += 1;
                    continue;
                }
                Piece::Unchanged(range) => out.put(&items[range.start]),
                Piece::Kept(item) => {
                    walk.bytes -= cost(item);
                    out.put(&*item);
                }
            }
            walk.pieces.pop_front();
        }
        out.put(&false);
        !walk.pieces.is_empty()
    }

    fn end_walk(&mut self, discarded: &mut Discarded) {
        if let Some(items) = self.walk.take().and_then(|walk| walk.removed) {
            discarded.add(DiscardedItems::List(items));
        }
    }

    fn walk_bytes(&self) -> u64 {
        self.walk.as_ref().map_or(0, |walk| walk.bytes)
    }
}

impl SequenceWalk {
    fn push_unchanged(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push_back(Piece::Unchanged(range));
        }
    }

    /// Replaces an unchanged item by a copy.
    fn keep(&mut self, at: usize, items: &VecDeque<ByteString>) {
        let has_it =
            |piece: &Piece| matches!(piece, Piece::Unchanged(range) if range.contains(&at));
        let Some(nth) = self.pieces.iter().position(has_it) else { return };
        self.bytes += cost(&items[at]);
        let Piece::Unchanged(range) = &mut self.pieces[nth] else { return };
        let (before, behind) = (range.start..at, at + 1..range.end);
        let kept = Piece::Kept(items[at].clone());
        // Mostly an end of the piece, where nothing else moves.
        match (before.is_empty(), behind.is_empty()) {
            (true, true) => self.pieces[nth] = kept,
            (true, false) => {
                *range = behind;
                self.pieces.insert(nth, kept);
            }
            (false, true) => {
                *range = before;
                self.pieces.insert(nth + 1, kept);
            }
            (false, false) => {
                *range = before;
                self.pieces.insert(nth + 1, kept);
                self.pieces.insert(nth + 2, Piece::Unchanged(behind));
            }
        }
    }

    /// Moves what is behind an item that was inserted.
    #[cold]
    fn on_inserted(&mut self, at: usize) {
        if self.removed.is_some() {
            return;
        }
        let is_around = |piece: &Piece| matches!(piece, Piece::Unchanged(range) if range.start < at && at < range.end);
        if let Some(nth) = self.pieces.iter().position(is_around)
            && let Piece::Unchanged(range) = &mut self.pieces[nth]
        {
            let behind = at..range.end;
            range.end = at;
            self.pieces.insert(nth + 1, Piece::Unchanged(behind));
        }
        for piece in &mut self.pieces {
            if let Piece::Unchanged(range) = piece
                && range.start >= at
            {
                *range = range.start + 1..range.end + 1;
            }
        }
    }

    /// Moves what is behind an item that was removed.
    #[cold]
    fn on_removed(&mut self, at: usize) {
        if self.removed.is_some() {
            return;
        }
        for piece in &mut self.pieces {
            if let Piece::Unchanged(range) = piece
                && range.start > at
            {
                *range = range.start - 1..range.end - 1;
            }
        }
    }
}

/// Returns the memory of an item that is kept, in bytes.
fn cost(item: &ByteString) -> u64 {
    size_of::<Piece>() as u64 + item.heap_bytes()
}

/// As the items alone: a walk is not part of the state.
impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl Serialize for Sequence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sequence, D::Error> {
        Ok(Sequence { items: VecDeque::deserialize(deserializer)?, walk: None })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::objects::state::Reader;
    use crate::objects::walked_items::read_some;

    fn read(part: &[u8]) -> Vec<ByteString> {
        let (mut input, mut items) = (Reader::new(part), Vec::new());
        read_some(&mut input, |input| {
            items.push(input.take()?);
            Ok(())
        })
        .expect("it was written");
        items
    }

    proptest! {
        /// Whatever changes during a walk, it writes the items as they were, in their order.
        #[test]
        fn a_walk_writes_what_there_was(
            before in vec(0..30_000_usize, 0..40),
            steps in vec((0..11_u8, any::<prop::sample::Index>()), 0..80),
        ) {
            let item = |len| ByteString::from(&alloc::vec![7; len][..]);
            let mut items = Sequence::default();
            for len in &before {
                items.push_back(item(*len));
            }
            let expected: Vec<ByteString> = items.iter().cloned().collect();
            let mut model = before;
            items.begin_walk();
            let (mut written, mut goes_on) = (Vec::new(), true);
            let mut steps = (0..).zip(steps);
            while goes_on {
                for (nth, (step, index)) in steps.by_ref() {
                    let at = index.index(model.len() + 1);
                    let there = (!model.is_empty()).then(|| index.index(model.len().max(1)));
                    match (step, there) {
                        (0, _) => {
                            items.push_back(item(nth));
                            model.push(nth);
                        }
                        (1, _) => {
                            items.insert(0, item(nth));
                            model.insert(0, nth);
                        }
                        (2, _) => {
                            items.insert(at, item(nth));
                            model.insert(at, nth);
                        }
                        (3 | 4, Some(_)) => {
                            prop_assert_eq!(items.remove(0), Some(item(model.remove(0))));
                        }
                        (5, Some(_)) => {
                            let last = model.pop().expect("it has items");
                            prop_assert_eq!(items.remove(model.len()), Some(item(last)));
                        }
                        (6, Some(at)) => {
                            prop_assert_eq!(items.remove(at), Some(item(model.remove(at))));
                        }
                        (7, Some(at)) => {
                            items.edit(at).set(&alloc::vec![7; nth]);
                            model[at] = nth;
                        }
                        (8, _) if at == 0 => {
                            items.take(0);
                            model.clear();
                        }
                        (9, _) if at == 0 => {
                            items.retain(|item| item.len().is_multiple_of(3));
                            model.retain(|len| len.is_multiple_of(3));
                        }
                        _ => break,
                    }
                }
                let mut out = Writer::behind(Vec::new());
                goes_on = items.continue_walk(256, &mut out);
                written.extend(read(&out.finish()));
            }
            prop_assert_eq!(written, expected);
            prop_assert_eq!(items.iter().map(|item| item.len()).collect::<Vec<_>>(), model);
            items.end_walk(&mut Discarded::default());
            prop_assert_eq!(items.walk_bytes(), 0);
        }
    }

    #[test]
    fn a_walk_with_too_many_pieces_keeps_the_rest() {
        let mut items = Sequence::default();
        let item = |at: usize| ByteString::from(&at.to_le_bytes()[..]);
        (0..1_000).for_each(|at| items.push_back(item(at)));
        items.begin_walk();
        for at in (0..900).step_by(2) {
            items.edit(at).set(b"changed");
        }
        let mut written = Vec::new();
        loop {
            let mut out = Writer::behind(Vec::new());
            let goes_on = items.continue_walk(256, &mut out);
            written.extend(read(&out.finish()));
            if !goes_on {
                break;
            }
        }
        assert!(written.into_iter().eq((0..1_000).map(item)));
    }
}
