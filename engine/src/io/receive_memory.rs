//! The memory of a core's receive buffers, shared by its connections and bounded.
//!
//! 1. What a buffer *keeps* between frames is taken while there is some; a connection without it
//!    receives in smaller pieces.
//! 2. For a large frame memory is *lent*, as much as the whole frame, before more of it is received than
//!    a kept buffer holds. A connection has at most one loan, and waits for it without having one, so no
//!    two connections wait for each other.
//! 3. Loans are granted in the order in which a source asked for them, and sources take turns. A
//!    connection that waits is not read, and TCP's back-pressure reaches its client. One that has a
//!    loan while others wait has a deadline (see [`sweep`](super::sweep)), so every wait ends.
//! 4. Links to other nodes get their loans at once, because they are few and must not wait for clients.
//! 5. Memory that comes back is kept for the next large frame, until somebody waits or a period passes
//!    in which there was none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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
    /// Whether a large frame has come since the last sweep.
    is_used: Cell<bool>,
    /// The connections that wait, by source; the first source has the next turn.
    waiting: RefCell<VecDeque<(IpAddr, VecDeque<Rc<LoanWait>>)>>,
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

/// Spare memory is used for a frame that is not much smaller.
const SPARE_FACTOR: usize = 4;

impl ReceiveMemory {
    pub(super) fn new(bytes_max: usize) -> ReceiveMemory {
        ReceiveMemory {
            bytes_max,
            kept: Cell::new(0),
            lent: Cell::new(0),
            spare: RefCell::default(),
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
    pub(super) fn lend(&self, frame_bytes: usize) -> Option<Loan> {
        self.is_used.set(true);
        if self.is_contended() {
            return None;
        }
        let mut spare = self.spare.borrow_mut();
        let fits =
            |memory: &Memory| (frame_bytes..=frame_bytes * SPARE_FACTOR).contains(&memory.len());
        if let Some(index) = spare.iter().position(fits) {
            let memory = spare.swap_remove(index);
            return Some(Loan { bytes: memory.len(), memory: Some(memory) });
        }
        drop(spare);
        self.reserve(frame_bytes).then_some(Loan { bytes: frame_bytes, memory: None })
    }

    /// Lends memory beyond the limit, for a frame of another node: a link never waits for clients.
    pub(super) fn lend_to_link(&self, frame_bytes: usize) {
        self.lent.set(self.lent.get() + frame_bytes);
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
    pub(super) fn take_back(&self, bytes: usize, memory: Option<Memory>) {
        self.lent.set(self.lent.get() - bytes);
        let fits = |memory: &Memory| self.lent.get() + memory.len() <= self.bytes_max;
        if let Some(memory) = memory.filter(|it| fits(it) && !self.is_contended()) {
            self.lent.set(self.lent.get() + memory.len());
            self.spare.borrow_mut().push(memory);
        }
        self.grant();
    }

    fn grant(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some((source, mut waits)) = waiting.pop_front() {
            waits.retain(|wait| wait.state.get() == LoanState::Waiting);
            let Some(first) = waits.front() else { continue };
            if !self.reserve(first.bytes) {
                waiting.push_front((source, waits));
                return;
            }
            first.state.set(LoanState::Granted);
            first.wake.notify();
            waits.pop_front();
            waiting.push_back((source, waits));
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
        match waiting.iter_mut().find(|(other, _)| *other == source) {
            Some((_, waits)) => waits.push_back(wait.clone()),
            None => waiting.push_back((source, VecDeque::from([wait.clone()]))),
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

    /// Returns whether connections wait for a loan.
    pub(super) fn is_contended(&self) -> bool {
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

    #[test]
    fn sources_take_turns_and_each_gets_its_loans_in_order() {
        let memory = ReceiveMemory::new(100);
        let loan = memory.lend(100).expect("nothing is lent");
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let waits = [one, one, one, one, other].map(|source| memory.request(source, 100));
        let granted = || waits.iter().position(|wait| wait.state.get() == LoanState::Granted);
        assert_eq!((granted(), memory.is_contended()), (None, true));
        waits[1].cancel();
        memory.take_back(loan.bytes, None);
        for expected in [0, 4, 2, 3] {
            assert_eq!(granted(), Some(expected));
            waits[expected].state.set(LoanState::Cancelled);
            memory.take_back(100, None);
        }
        assert_eq!((granted(), memory.is_contended(), memory.lent_bytes()), (None, false, 0));
    }
}
