//! A list of byte strings, which also serves as a work queue.
//!
//! An item can be taken, or claimed: a claimed item is removed once the client reports it done, and
//! returns to the front if the client fails before that. Requests that wait for items are served in
//! order.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::limits::{ITEM_BYTES_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::ListOp;
use catena_protocol::{Fault, Items, ItemsBuf, Missing, PageItems, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::byte_string::ByteString;
use super::discarded::DiscardedItems;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::listed::Listed;
use super::queue::{QueuedRequest, TokenGrants, WaitQueue};
use super::sequence::Sequence;
use super::state::check;
use super::walked_items::{WalkedItems, read_some};
use super::{
    Applied, Description, HOLDERS_NAMED_MAX, HeldItem, HoldId, LossCause, Reader, StoredReply,
    Turn, WaiterId, Writer, check_len, check_waiters, page_is_full,
};
use crate::config::{COMPARED_MAX, FILTERED_MAX};

/// A list; empty before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct List {
    items: Sequence,
    /// Bytes that the items take, including claimed ones.
    #[serde(skip)]
    item_bytes: u64,
    claims: TokenGrants<ByteString>,
    queue: WaitQueue<Want>,
}

/// What a waiting request wants.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Want {
    /// To take an item.
    Item,
    /// To claim an item.
    Claim,
}

/// Bytes that an item takes in the table, near enough.
const ITEM_BYTES: u64 = 48;

impl ObjectKind for List {
    type Op<'o> = ListOp<'o>;

    fn growth(op: &ListOp<'_>) -> Growth {
        match op {
            ListOp::Extend { items } => Growth::Items(items.len()),
            ListOp::RemoveAt { .. }
            | ListOp::RemoveValue { .. }
            | ListOp::RetainAll { .. }
            | ListOp::RemoveAll { .. }
            | ListOp::Claim { .. }
            | ListOp::TryClaim { .. }
            | ListOp::Done { .. }
            | ListOp::Return { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &ListOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            ListOp::IndexOf { .. } => check_len(self.items.len(), COMPARED_MAX)?,
            ListOp::ContainsAll { .. } => check_len(self.items.len(), FILTERED_MAX)?,
            _ => {}
        }
        Ok(match *op {
            ListOp::Len => Reply::Number(self.items.len() as u64),
            ListOp::Get { index } => Reply::Value(self.item(index)),
            ListOp::Range { from, limit } => self.range(from, limit),
            ListOp::IndexOf { from_end, bytes } => {
                let mut items = self.items.iter();
                let found = match from_end {
                    false => items.position(|item| **item == *bytes),
                    true => items.rposition(|item| **item == *bytes),
                };
                Reply::Found { found: found.is_some(), at: found.unwrap_or_default() as u64 }
            }
            ListOp::ContainsAll { items } => {
                let wanted = Listed::new(items);
                let (mut missing, mut is_found) = (wanted.len(), vec![false; wanted.len()]);
                for item in self.items.iter() {
                    if missing == 0 {
                        break;
                    }
                    if let Some(at) = wanted.find(item) {
                        missing -= usize::from(!core::mem::replace(&mut is_found[at], true));
                    }
                }
                Reply::Bool(missing == 0)
            }
            _ => unreachable!("{op:?} is not a read"),
        })
    }

    fn check(&self, op: &ListOp<'_>) -> Result<(), Refusal> {
        let len = self.items.len() as u64;
        match *op {
            ListOp::PushBack { bytes } | ListOp::PushFront { bytes } => check_item(bytes)?,
            ListOp::Set { index, bytes } => {
                check_item(bytes)?;
                check_index(index, len)?;
            }
            ListOp::Insert { index, bytes } => {
                check_item(bytes)?;
                check_index(index, len + 1)?;
            }
            ListOp::RemoveAt { index } => check_index(index, len)?,
            ListOp::Extend { items } => items.iter().try_for_each(check_item)?,
            ListOp::RemoveValue { .. } => check_len(self.items.len(), COMPARED_MAX)?,
            ListOp::RetainAll { .. } | ListOp::RemoveAll { .. } => {
                check_len(self.items.len(), FILTERED_MAX)?;
            }
            ListOp::PopFrontWait | ListOp::Claim { .. } => check_waiters(self.queue.len())?,
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, op: &ListOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            ListOp::PushBack { bytes } => {
                self.push(bytes.into());
                self.serve_all(turn);
                turn.done(&Reply::Number(self.items.len() as u64))
            }
            ListOp::PushFront { bytes } => self.put(0, bytes, turn),
            ListOp::Insert { index, bytes } => self.put(position(index), bytes, turn),
            ListOp::Extend { items } => {
                if items.is_empty() {
                    turn.unchanged();
                }
                for item in items.iter() {
                    self.push(item.into());
                }
                self.serve_all(turn);
                turn.done(&Reply::Number(self.items.len() as u64))
            }
            ListOp::PopBack => {
                let last = self.items.len().checked_sub(1);
                self.take(last, turn)
            }
            ListOp::PopFront => self.take(Some(0), turn),
            ListOp::RemoveAt { index } => self.take(Some(position(index)), turn),
            ListOp::RemoveValue { bytes } => {
                let found = self.items.iter().position(|item| **item == *bytes);
                match found {
                    Some(at) => _ = self.remove(at),
                    None => turn.unchanged(),
                }
                turn.done(&Reply::Bool(found.is_some()))
            }
            ListOp::Set { index, bytes } => {
                let item = self.items.edit(position(index));
                let applied = turn.done(&Reply::Value(Some(item)));
                self.item_bytes -= cost(item);
                item.set(bytes);
                self.item_bytes += cost(item);
                applied
            }
            ListOp::RetainAll { items } => self.retain(items, true, turn),
            ListOp::RemoveAll { items } => self.retain(items, false, turn),
            ListOp::Clear => {
                let removed = self.items.len();
                let claimed = self.claims.iter().map(|(_, _, item)| cost(item)).sum();
                let bytes = core::mem::replace(&mut self.item_bytes, claimed) - claimed;
                if removed == 0 {
                    turn.unchanged();
                }
                turn.discard(DiscardedItems::List(self.items.take(bytes)));
                turn.done(&Reply::Number(removed as u64))
            }
            ListOp::PopFrontWait if self.items.is_empty() => {
                self.wait(None, None, Want::Item, turn)
            }
            ListOp::PopFrontWait => self.take(Some(0), turn),
            ListOp::Claim { hold_ms } if self.items.is_empty() => {
                let (hold, hold_ms) = turn.hold_later(hold_ms);
                self.wait(Some(hold), hold_ms, Want::Claim, turn)
            }
            ListOp::TryClaim { .. } if self.items.is_empty() => {
                turn.unchanged();
                turn.done(&Reply::Claimed { token: 0, bytes: None })
            }
            ListOp::Claim { hold_ms } | ListOp::TryClaim { hold_ms } => {
                let hold = turn.hold(hold_ms);
                let answer = self.lend(turn.token(0), hold, turn);
                Applied::Done(answer)
            }
            ListOp::Done { token } => {
                let done = self.claims.take(token);
                match &done {
                    Some((hold, item)) => {
                        turn.let_go(*hold);
                        self.item_bytes -= cost(item);
                    }
                    None => turn.unchanged(),
                }
                turn.done(&Reply::Bool(done.is_some()))
            }
            ListOp::Return { token } => {
                let returned = self.claims.take(token);
                let was_held = returned.is_some();
                match returned {
                    Some((hold, item)) => {
                        turn.let_go(hold);
                        self.items.insert(0, item);
                        self.serve_all(turn);
                    }
                    None => turn.unchanged(),
                }
                turn.done(&Reply::Bool(was_held))
            }
            ListOp::Len
            | ListOp::Get { .. }
            | ListOp::Range { .. }
            | ListOp::IndexOf { .. }
            | ListOp::ContainsAll { .. } => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        self.claims.complete_restored(seq)?;
        self.queue.complete_restored(seq)?;
        let claims_hold = self.queue.iter().all(|QueuedRequest { hold, wants, .. }| match wants {
            Want::Item => hold.is_none(),
            Want::Claim => hold.is_some(),
        });
        check(claims_hold, "a waiting claim of a list has no hold, or another request has one")?;
        let claimed = self.claims.iter().map(|(_, _, item)| item);
        for item in self.items.iter().chain(claimed) {
            check(item.len() <= ITEM_BYTES_MAX, "an item is too large")?;
            self.item_bytes += cost(item);
        }
        Ok(())
    }
}

impl SharedObject for List {
    fn describe(&self) -> Description {
        let (items, claimed) = (self.items.len(), self.claims.len());
        let waiting = self.queue.attended();
        let claims = self.claims.iter().take(HOLDERS_NAMED_MAX);
        let held = claims.map(|(token, hold, _)| HeldItem {
            hold,
            token,
            permits: 1,
            party: String::new(),
        });
        Description {
            detail: format!("{items} items, {claimed} claimed, {waiting} waiting"),
            missing: Vec::new(),
            held: held.collect(),
        }
    }

    fn bytes(&self) -> u64 {
        size_of::<List>() as u64 + self.item_bytes + self.claims.bytes() + self.queue.bytes()
    }

    fn items(&self) -> Option<&dyn WalkedItems> {
        Some(&self.items)
    }

    fn items_mut(&mut self) -> Option<&mut dyn WalkedItems> {
        Some(&mut self.items)
    }

    fn write_without_items(&self, out: &mut Writer) {
        // In the order of the fields.
        out.put(&(Sequence::default(), &self.claims, &self.queue));
    }

    fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        read_some(input, |input| {
            let item: ByteString = input.take()?;
            check(item.len() <= ITEM_BYTES_MAX, "an item is too large")?;
            self.item_bytes += cost(&item);
            self.items.push_back(item);
            Ok(())
        })
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.queue.waiters()
    }

    fn holds(&self) -> Vec<HoldId> {
        self.claims.holds().chain(self.queue.holds()).collect()
    }

    fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        self.queue.set_attended(waiter, attended);
    }

    /// Gives items to waiting requests, in their order.
    fn serve(&mut self, turn: &mut Turn<'_>) {
        if !self.serve_all(turn) {
            turn.unchanged();
        }
    }

    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        if let Some(hold) = self.queue.cancel(waiter).hold {
            turn.let_go(hold);
        }
        turn.unchanged();
        Missing::default()
    }

    /// Returns an item that was not reported done to the front.
    fn lose(&mut self, hold: HoldId, _cause: LossCause, turn: &mut Turn<'_>) {
        match self.claims.lose(hold) {
            Some(item) => {
                self.items.insert(0, item);
                self.serve_all(turn);
            }
            None => {
                turn.unchanged();
                let waiting =
                    self.queue.lose(hold).expect("a hold is of a claim or of a waiting request");
                let answer = StoredReply::refusal(&Refusal::Timeout(Missing::default()));
                turn.release([waiting.waiter], &answer);
            }
        }
    }
}

impl List {
    /// Takes the items of a list that is deleted.
    pub(super) fn into_items(self) -> DiscardedItems {
        DiscardedItems::List(self.items.into_items())
    }

    fn range(&self, from: u64, limit: u32) -> Reply<'_> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.items.len());
        let limit = if limit == 0 { PAGE_ITEMS_MAX } else { limit.min(PAGE_ITEMS_MAX) };
        let mut page = ItemsBuf::default();
        for item in self.items.behind(from).take(limit as usize) {
            if page_is_full(&page, item.len()) {
                break;
            }
            page.push(item);
        }
        let more = from + page.len() < self.items.len();
        Reply::Page { at: from as u64, more, items: PageItems::Owned(page) }
    }

    /// Enqueues the request, which does not change the list.
    fn wait(
        &mut self,
        hold: Option<HoldId>,
        hold_ms: Option<u32>,
        wants: Want,
        turn: &mut Turn<'_>,
    ) -> Applied {
        let waiting = QueuedRequest { waiter: turn.waiter, hold, hold_ms, wants };
        self.queue.push(turn.version, waiting);
        turn.unchanged();
        Applied::Parked
    }

    fn item(&self, index: u64) -> Option<&[u8]> {
        let at = usize::try_from(index).ok()?;
        self.items.get(at).map(|item| &**item)
    }

    /// Inserts an item, and serves requests that wait for one.
    fn put(&mut self, at: usize, bytes: &[u8], turn: &mut Turn<'_>) -> Applied {
        self.add(at, bytes.into());
        self.serve_all(turn);
        turn.done(&Reply::Number(self.items.len() as u64))
    }

    fn push(&mut self, item: ByteString) {
        self.item_bytes += cost(&item);
        self.items.push_back(item);
    }

    fn add(&mut self, at: usize, item: ByteString) {
        self.item_bytes += cost(&item);
        self.items.insert(at, item);
    }

    fn remove(&mut self, at: usize) -> Option<ByteString> {
        let item = self.items.remove(at)?;
        self.item_bytes -= cost(&item);
        Some(item)
    }

    /// Removes an item, if there is one, and replies with it.
    fn take(&mut self, at: Option<usize>, turn: &mut Turn<'_>) -> Applied {
        let item = at.and_then(|at| self.remove(at));
        if item.is_none() {
            turn.unchanged();
        }
        turn.done(&Reply::Value(item.as_deref()))
    }

    /// Claims the first item for a hold.
    fn lend(&mut self, token: u64, hold: HoldId, turn: &mut Turn<'_>) -> StoredReply {
        let item = self.items.remove(0).expect("there is an item");
        let answer = turn.store(&Reply::Claimed { token, bytes: Some(&item) });
        self.claims.put(token, hold, item);
        answer
    }

    fn retain(&mut self, items: Items<'_>, keep: bool, turn: &mut Turn<'_>) -> Applied {
        let listed = Listed::new(items);
        let before = self.items.len();
        let mut freed = 0;
        self.items.retain(|item| {
            let stays = listed.find(item).is_some() == keep;
            freed += if stays { 0 } else { cost(item) };
            stays
        });
        self.item_bytes -= freed;
        let removed = (before - self.items.len()) as u64;
        if removed == 0 {
            turn.unchanged();
        }
        turn.done(&Reply::Number(removed))
    }

    /// Gives items to waiting requests, in their order. Returns whether there were any.
    fn serve_all(&mut self, turn: &mut Turn<'_>) -> bool {
        let (mut nth, mut served) = (0, false);
        while !self.items.is_empty()
            && let Some(QueuedRequest { waiter, hold, hold_ms, wants }) = self.queue.pop()
        {
            if let (Some(hold), Some(hold_ms)) = (hold, hold_ms) {
                turn.extend(hold, hold_ms);
            }
            let answer = match (wants, hold) {
                (Want::Claim, Some(hold)) => {
                    let token = turn.token(nth);
                    nth = nth.saturating_add(1);
                    self.lend(token, hold, turn)
                }
                (Want::Item, None) => {
                    let item = self.remove(0);
                    turn.store(&Reply::Value(item.as_deref()))
                }
                _ => unreachable!("claims have a hold, and other requests have none"),
            };
            turn.release([waiter], &answer);
            served = true;
        }
        served
    }
}

fn cost(item: &ByteString) -> u64 {
    ITEM_BYTES + item.heap_bytes()
}

/// Refuses an item that is too long for the reply to the request that takes it.
fn check_item(bytes: &[u8]) -> Result<(), Fault> {
    check_len(bytes.len(), ITEM_BYTES_MAX)
}

fn check_index(index: u64, end: u64) -> Result<(), Fault> {
    if index < end {
        return Ok(());
    }
    Err(Fault::expected(Status::OutOfRange, end, index))
}

fn position(index: u64) -> usize {
    usize::try_from(index).expect("the check compares it with a length")
}
