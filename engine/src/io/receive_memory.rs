//! The memory of a core's receive buffers, shared by its connections and bounded.
//!
//! 1. What a buffer *keeps* between frames is taken while there is some; a connection without it
//!    receives in smaller pieces.
//! 2. For a large frame memory is *lent*, as much as the whole frame, before more of it is received than
//!    a kept buffer holds. A connection has at most one loan, and waits for it without having one, so no
//!    two connections wait for each other.
//! 3. Sources take turns, and one source has at most half of what is lent, or one loan: however many
//!    frames it has begun, others find memory. Of a source, the smallest frame and the one that has
//!    waited longest are next in turn, so that a small frame does not wait for all large ones before
//!    it, and no frame waits for ever. A connection that waits is not read, and TCP's back-pressure
//!    reaches its client. One that has a loan while others wait for it has to make progress (see
//!    [`sweep`](super::sweep)), so every wait ends.
//! 4. Links to other nodes get their loans at once, because they are few and must not wait for clients.
//! 5. Memory that comes back is kept for the next large frame, until somebody waits or a period passes
//!    in which there was none.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use catena_protocol::limits::FRAME_ALIGNMENT;
use catena_protocol::rkyv::util::AlignedVec;

use super::local_notify::LocalNotify;

/// Aligned memory.
pub(super) type Memory = AlignedVec<{ FRAME_ALIGNMENT as usize }>;

/// Returns memory that is initialized.
pub(super) fn zeroed(len: usize) -> Memory {
    let mut memory = AlignedVec::with_capacity(len);
    memory.resize(len, 0);
    memory
}

/// The memory of a core's receive buffers.
pub(super) struct ReceiveMemory {
    /// The most that is kept, and the most that is lent, in bytes.
    bytes_max: usize,
    kept: Cell<usize>,
    /// What is lent, and what `spare` has.
    lent: Cell<usize>,
    spare: RefCell<Vec<Memory>>,
    /// What is lent to each source that has loans.
    lent_to: RefCell<BTreeMap<IpAddr, usize>>,
    /// Whether a large frame has come since the last sweep.
    is_used: Cell<bool>,
    /// The connections that wait, by source; the first source has the next turn.
    waiting: RefCell<VecDeque<SourceQueue>>,
}

/// The connections of a source that wait.
struct SourceQueue {
    source: IpAddr,
    /// In the order in which they began to wait.
    waits: VecDeque<Rc<LoanWait>>,
    /// Whether the smallest frame is next, or the one that has waited longest.
    smallest_next: bool,
}

/// Memory for one frame.
pub(super) struct Loan {
    /// What it counts.
    pub(super) bytes: usize,
    /// Memory that another frame had, and is already resident; otherwise the memory is to be
    /// allocated as the frame arrives.
    pub(super) memory: Option<Memory>,
}

/// A connection that waits for a loan.
pub(super) struct LoanWait {
    bytes: usize,
    state: Cell<LoanState>,
    wake: LocalNotify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoanState {
    Waiting,
    Granted,
    /// The connection is about to end.
    Cancelled,
}

/// A source has at most this part of what is lent, unless it has only one loan.
const SOURCE_LOANS_SHARE: usize = 2;

/// Spare memory is used for a frame that is not much smaller.
const SPARE_FACTOR: usize = 4;

impl ReceiveMemory {
    pub(super) fn new(bytes_max: usize) -> ReceiveMemory {
        ReceiveMemory {
            bytes_max,
            kept: Cell::new(0),
            lent: Cell::new(0),
            spare: RefCell::default(),
            lent_to: RefCell::default(),
            is_used: Cell::new(false),
            waiting: RefCell::default(),
        }
    }

    /// Replaces what a buffer keeps by another number of bytes; returns `false`, and changes nothing,
    /// if there is no more.
    pub(super) fn keep(&self, before: usize, now: usize) -> bool {
        let kept = self.kept.get() - before + now;
        let granted = now <= before || kept <= self.bytes_max;
        if granted {
            self.kept.set(kept);
        }
        granted
    }

    /// Lends memory for a frame, unless there is too little or others wait.
    pub(super) fn lend(&self, source: IpAddr, frame_bytes: usize) -> Option<Loan> {
        self.is_used.set(true);
        if self.is_contended_for(source) || !self.is_within_share(source, frame_bytes) {
            return None;
        }
        let mut spare = self.spare.borrow_mut();
        let fits =
            |memory: &Memory| (frame_bytes..=frame_bytes * SPARE_FACTOR).contains(&memory.len());
        if let Some(index) = spare.iter().position(fits) {
            let memory = spare.swap_remove(index);
            self.add_loan(source, memory.len());
            return Some(Loan { bytes: memory.len(), memory: Some(memory) });
        }
        drop(spare);
        self.reserve(frame_bytes).then(|| {
            self.add_loan(source, frame_bytes);
            Loan { bytes: frame_bytes, memory: None }
        })
    }

    /// Lends memory beyond the limits, for a frame of another node: a link never waits for clients.
    pub(super) fn lend_to_link(&self, source: IpAddr, frame_bytes: usize) {
        self.lent.set(self.lent.get() + frame_bytes);
        self.add_loan(source, frame_bytes);
    }

    fn add_loan(&self, source: IpAddr, bytes: usize) {
        *self.lent_to.borrow_mut().entry(source).or_default() += bytes;
    }

    /// Returns whether a source has less than its share, or would not exceed it.
    fn is_within_share(&self, source: IpAddr, bytes: usize) -> bool {
        let lent = self.lent_to.borrow().get(&source).copied().unwrap_or_default();
        lent == 0 || lent + bytes <= self.bytes_max / SOURCE_LOANS_SHARE
    }

    /// Counts bytes as lent if there are so many.
    fn reserve(&self, bytes: usize) -> bool {
        while self.lent.get() + bytes > self.bytes_max {
            let Some(memory) = self.spare.borrow_mut().pop() else { return false };
            self.lent.set(self.lent.get() - memory.len());
        }
        self.lent.set(self.lent.get() + bytes);
        true
    }

    /// Takes a loan back, with its memory if that is complete, and grants those that are waited for.
    pub(super) fn take_back(&self, source: IpAddr, bytes: usize, memory: Option<Memory>) {
        self.lent.set(self.lent.get() - bytes);
        let mut lent_to = self.lent_to.borrow_mut();
        let lent = lent_to.get_mut(&source).expect("what comes back was lent");
        *lent -= bytes;
        if *lent == 0 {
            lent_to.remove(&source);
        }
        drop(lent_to);
        let fits = |memory: &Memory| self.lent.get() + memory.len() <= self.bytes_max;
        if let Some(memory) = memory.filter(|it| fits(it) && !self.is_contended()) {
            self.lent.set(self.lent.get() + memory.len());
            self.spare.borrow_mut().push(memory);
        }
        self.grant();
    }

    fn grant(&self) {
        let mut waiting = self.waiting.borrow_mut();
        for queue in waiting.iter_mut() {
            queue.waits.retain(|wait| wait.state.get() == LoanState::Waiting);
        }
        waiting.retain(|queue| !queue.waits.is_empty());
        let mut place = 0;
        while let Some(queue) = waiting.get(place) {
            let (source, next) = (queue.source, queue.next());
            let bytes = queue.waits[next].bytes;
            if !self.is_within_share(source, bytes) {
                // It waits for a loan of its own.
                place += 1;
                continue;
            }
            if !self.reserve(bytes) {
                return;
            }
            self.add_loan(source, bytes);
            let mut queue = waiting.remove(place).expect("it was there");
            let granted = queue.waits.remove(next).expect("it was there");
            granted.state.set(LoanState::Granted);
            granted.wake.notify();
            queue.smallest_next = !queue.smallest_next;
            if !queue.waits.is_empty() {
                waiting.push_back(queue);
            }
        }
    }

    /// Begins to wait for a loan of `frame_bytes`, for a connection from `source`.
    pub(super) fn request(&self, source: IpAddr, frame_bytes: usize) -> Rc<LoanWait> {
        let wait = Rc::new(LoanWait {
            bytes: frame_bytes,
            state: Cell::new(LoanState::Waiting),
            wake: LocalNotify::default(),
        });
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|queue| queue.source == source) {
            Some(queue) => queue.waits.push_back(wait.clone()),
            None => waiting.push_back(SourceQueue {
                source,
                waits: VecDeque::from([wait.clone()]),
                smallest_next: true,
            }),
        }
        drop(waiting);
        self.grant();
        wait
    }

    /// Waits until a loan is granted; returns `false` if the wait was cancelled instead.
    pub(super) async fn granted(&self, wait: &Rc<LoanWait>) -> bool {
        while wait.state.get() == LoanState::Waiting {
            wait.wake.notified().await;
        }
        if wait.state.get() == LoanState::Granted {
            return true;
        }
        // It may have been the first, and the next may need less.
        self.grant();
        false
    }

    /// Returns whether connections wait for what a source has or wants: all but those that wait for
    /// loans of another source.
    pub(super) fn is_contended_for(&self, source: IpAddr) -> bool {
        self.waiting.borrow().iter().any(|queue| {
            let bytes = queue.waits.get(queue.next()).map_or(0, |wait| wait.bytes);
            queue.source == source || self.is_within_share(queue.source, bytes)
        })
    }

    /// Returns whether connections wait for a loan.
    fn is_contended(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Returns what is lent or spare, in bytes.
    pub(super) fn lent_bytes(&self) -> usize {
        self.lent.get()
    }

    /// Frees the spare memory if no large frame has come since the last call.
    pub(super) fn sweep(&self) {
        if !self.is_used.replace(false) {
            let spare = self.spare.take();
            self.lent.set(self.lent.get() - spare.iter().map(|memory| memory.len()).sum::<usize>());
        }
    }
}

impl SourceQueue {
    /// Returns the index of the wait that is next.
    fn next(&self) -> usize {
        let smallest = self.waits.iter().enumerate().min_by_key(|(_, wait)| wait.bytes);
        smallest.filter(|_| self.smallest_next).map_or(0, |(index, _)| index)
    }
}

impl LoanWait {
    /// Ends the wait without a loan.
    pub(super) fn cancel(&self) {
        if self.state.get() == LoanState::Waiting {
            self.state.set(LoanState::Cancelled);
            self.wake.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> [IpAddr; 3] {
        [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]))
    }

    /// Returns the waits that are granted, by their indexes.
    fn granted(waits: &[Rc<LoanWait>]) -> Vec<usize> {
        let is_granted = |(index, wait): (usize, &Rc<LoanWait>)| {
            (wait.state.get() == LoanState::Granted).then_some(index)
        };
        waits.iter().enumerate().filter_map(is_granted).collect()
    }

    #[test]
    fn sources_take_turns_and_each_gets_its_loans_in_order() {
        let [one, other, _] = sources();
        let memory = ReceiveMemory::new(100);
        let loan = memory.lend(one, 100).expect("nothing is lent");
        let waits = [one, one, one, one, other].map(|source| memory.request(source, 100));
        assert!(granted(&waits).is_empty() && memory.is_contended());
        waits[1].cancel();
        let mut lent = (one, loan.bytes);
        for expected in [0, 4, 2, 3] {
            memory.take_back(lent.0, lent.1, None);
            assert_eq!(granted(&waits), [expected]);
            waits[expected].state.set(LoanState::Cancelled);
            lent = (if expected == 4 { other } else { one }, 100);
        }
        memory.take_back(lent.0, lent.1, None);
        assert!(granted(&waits).is_empty() && !memory.is_contended());
        assert!(memory.lent_bytes() == 0 && memory.lent_to.borrow().is_empty());
    }

    #[test]
    fn a_source_has_at_most_half() {
        let [one, other, third] = sources();
        let memory = ReceiveMemory::new(100);
        assert!(memory.lend(one, 30).is_some() && memory.lend(one, 20).is_some());
        assert!(memory.lend(one, 10).is_none(), "it has half");
        let wait = memory.request(one, 10);
        assert!(granted(std::slice::from_ref(&wait)).is_empty());
        assert!(memory.is_contended_for(one), "it waits for its own loans");
        assert!(!memory.is_contended_for(other), "and for no others");
        assert!(memory.lend(other, 40).is_some(), "so others need not wait");
        let large = memory.request(third, 60);
        assert!(memory.is_contended_for(other) && memory.is_contended_for(one));
        memory.take_back(one, 20, None);
        assert_eq!(granted(&[large.clone(), wait.clone()]), [1], "the other one needs more");
        memory.take_back(other, 40, None);
        assert_eq!(granted(&[large, wait]), [0, 1], "a source gets one frame, however large");
    }

    #[test]
    fn small_frames_do_not_wait_for_all_large_ones() {
        let [one, ..] = sources();
        let memory = ReceiveMemory::new(100);
        memory.lend(one, 50).expect("nothing is lent");
        let waits = [50, 50, 50, 10, 20, 15].map(|bytes| memory.request(one, bytes));
        let mut lent = 50;
        let mut order = Vec::new();
        for _ in 0..waits.len() {
            memory.take_back(one, lent, None);
            let now = granted(&waits);
            lent = now.iter().map(|index| waits[*index].bytes).sum();
            now.iter().for_each(|index| waits[*index].state.set(LoanState::Cancelled));
            order.extend(now);
        }
        assert_eq!(order, [3, 0, 5, 1, 4, 2], "the smallest and the oldest in turn");
    }
}
