//! Registers for tests: one in memory, one with a race between check and write, and one that injects
//! faults into another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::xxh3_128;

use crate::register::{Condition, RecordToken, Register, RegisterError, StoreOutcome};
use catena_core::chain::record::{ChangeId, Record};

/// A register in memory. Clones share it.
#[derive(Clone)]
pub(super) struct MemoryRegister {
    cluster: Rc<str>,
    bytes: Rc<RefCell<Option<Vec<u8>>>>,
}

impl MemoryRegister {
    pub(super) fn new(cluster: &str) -> MemoryRegister {
        MemoryRegister { cluster: cluster.into(), bytes: Rc::default() }
    }

    pub(super) fn put(&self, bytes: Vec<u8>) {
        *self.bytes.borrow_mut() = Some(bytes);
    }

    fn token(&self) -> Option<RecordToken> {
        self.bytes.borrow().as_deref().map(token)
    }
}

fn token(bytes: &[u8]) -> RecordToken {
    RecordToken::new(format!("{:x}", xxh3_128(bytes)))
}

fn holds(condition: &Condition, present: Option<RecordToken>) -> bool {
    match condition {
        Condition::Absent => present.is_none(),
        Condition::Is(token) => present.as_ref() == Some(token),
    }
}

impl Register for MemoryRegister {
    fn cluster(&self) -> &str {
        &self.cluster
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        tokio::task::yield_now().await;
        Ok(self.bytes.borrow().clone().map(|bytes| (bytes.clone(), token(&bytes))))
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        tokio::task::yield_now().await;
        if !holds(on, self.token()) {
            return Ok(StoreOutcome::Lost);
        }
        let token = token(&bytes);
        self.put(bytes);
        Ok(StoreOutcome::Won(token))
    }

    async fn probe(&self) -> Result<(), RegisterError> {
        Ok(())
    }
}

/// A register that is not atomic, as many stand-ins for S3: it checks, lets others run, and writes.
#[derive(Clone)]
pub(super) struct RacyRegister(pub(super) MemoryRegister);

impl Register for RacyRegister {
    fn cluster(&self) -> &str {
        self.0.cluster()
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        self.0.load().await
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        if !holds(on, self.0.token()) {
            return Ok(StoreOutcome::Lost);
        }
        tokio::task::yield_now().await;
        let token = token(&bytes);
        self.0.put(bytes);
        Ok(StoreOutcome::Won(token))
    }

    async fn probe(&self) -> Result<(), RegisterError> {
        self.0.probe().await
    }
}

/// How often each fault happens, in percent of the calls.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    /// The reply is delayed.
    pub(super) slow: u64,
    /// The record is stored if the condition holds, and the reply is lost.
    pub(super) lost_reply: u64,
    /// No reply comes, and the attempt takes effect some time later.
    pub(super) late: u64,
    /// No reply comes, and nothing is ever stored.
    pub(super) dropped: u64,
    /// The store reports a concurrent writer, whether or not there is one.
    pub(super) conflict: u64,
    /// Some calls in a row get no reply.
    pub(super) outage: u64,
}

impl Faults {
    pub(super) fn all() -> Faults {
        Faults { slow: 10, lost_reply: 15, late: 15, dropped: 10, conflict: 10, outage: 3 }
    }
}

/// How often each fault happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FaultCounts {
    slow: u32,
    lost_replies: u32,
    late: u32,
    late_and_stored: u32,
    dropped: u32,
    conflicts: u32,
    in_outage: u32,
}

impl FaultCounts {
    pub(super) fn add(&mut self, other: FaultCounts) {
        self.slow += other.slow;
        self.lost_replies += other.lost_replies;
        self.late += other.late;
        self.late_and_stored += other.late_and_stored;
        self.dropped += other.dropped;
        self.conflicts += other.conflicts;
        self.in_outage += other.in_outage;
    }

    /// Fails if a fault never happened, because then the trial says nothing about it.
    pub(super) fn assert_each(&self) {
        let FaultCounts {
            slow,
            lost_replies,
            late,
            late_and_stored,
            dropped,
            conflicts,
            in_outage,
        } = *self;
        let each = [slow, lost_replies, late, late_and_stored, dropped, conflicts, in_outage];
        assert!(each.iter().all(|times| *times > 0), "{self:?}");
    }
}

/// Injects faults into a register. Clones share the register and the faults.
#[derive(Clone)]
pub(super) struct FaultyRegister<R> {
    inner: R,
    faults: Faults,
    state: Rc<RefCell<FaultState>>,
}

struct FaultState {
    random: SplitMix64,
    outage: u64,
    late: Vec<(Condition, Vec<u8>)>,
    landed: BTreeSet<ChangeId>,
    counts: FaultCounts,
}

impl<R: Register> FaultyRegister<R> {
    pub(super) fn new(inner: R, faults: Faults, seed: u64) -> FaultyRegister<R> {
        let state = FaultState {
            random: SplitMix64::seed_from_u64(seed),
            outage: 0,
            late: Vec::new(),
            landed: BTreeSet::new(),
            counts: FaultCounts::default(),
        };
        FaultyRegister { inner, faults, state: Rc::new(RefCell::new(state)) }
    }

    pub(super) fn counts(&self) -> FaultCounts {
        self.state.borrow().counts
    }

    /// Carries out all late attempts, and returns the changes that were stored, except the first record.
    pub(super) async fn landed(&self) -> BTreeSet<ChangeId> {
        while self.land().await {}
        self.state.borrow().landed.clone()
    }

    /// Carries out one of the late attempts.
    async fn land(&self) -> bool {
        let (on, bytes) = {
            let mut state = self.state.borrow_mut();
            if state.late.is_empty() {
                return false;
            }
            let waiting = state.late.len() as u64;
            let at = state.below(waiting);
            state.late.swap_remove(usize::try_from(at).expect("an index"))
        };
        let outcome = self.carry_out(&on, bytes).await.expect("no fault below this one");
        if matches!(outcome, StoreOutcome::Won(_)) {
            self.state.borrow_mut().counts.late_and_stored += 1;
        }
        true
    }

    async fn carry_out(
        &self,
        on: &Condition,
        bytes: Vec<u8>,
    ) -> Result<StoreOutcome, RegisterError> {
        let record = Record::from_bytes(&bytes).expect("a record");
        let outcome = self.inner.store(on, bytes).await?;
        if matches!(outcome, StoreOutcome::Won(_)) && record.epoch > 1 {
            let fresh = self.state.borrow_mut().landed.insert(record.change.id);
            assert!(fresh, "stored twice: {record:?}");
        }
        Ok(outcome)
    }

    /// Applies the faults of every call: a delay, a late attempt of another writer, an outage. Returns
    /// whether there is an outage.
    async fn inject(&self) -> bool {
        let slow = self.state.borrow_mut().happens(self.faults.slow);
        if slow {
            self.state.borrow_mut().counts.slow += 1;
            let ms = self.state.borrow_mut().below(3);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if self.state.borrow_mut().happens(25) {
            self.land().await;
        }
        let mut state = self.state.borrow_mut();
        if state.happens(self.faults.outage) {
            state.outage += 1 + state.below(10);
        }
        let out = state.outage > 0;
        state.outage -= u64::from(out);
        state.counts.in_outage += u32::from(out);
        out
    }
}

impl<R: Register> Register for FaultyRegister<R> {
    fn cluster(&self) -> &str {
        self.inner.cluster()
    }

    async fn probe(&self) -> Result<(), RegisterError> {
        Ok(())
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        if self.inject().await {
            return Err(RegisterError::Unreadable("an outage".into()));
        }
        self.inner.load().await
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        if self.inject().await {
            return Ok(StoreOutcome::Unknown("an outage".into()));
        }
        let Faults { lost_reply, late, dropped, conflict, .. } = self.faults;
        let fault = self.state.borrow_mut().below(100);
        if fault < lost_reply {
            self.state.borrow_mut().counts.lost_replies += 1;
            self.carry_out(on, bytes).await?;
            return Ok(StoreOutcome::Unknown("the reply was lost".into()));
        }
        let mut state = self.state.borrow_mut();
        if fault < lost_reply + late {
            state.counts.late += 1;
            state.late.push((on.clone(), bytes));
            return Ok(StoreOutcome::Unknown("it will land".into()));
        }
        if fault < lost_reply + late + dropped {
            state.counts.dropped += 1;
            return Ok(StoreOutcome::Unknown("it will not land".into()));
        }
        if fault < lost_reply + late + dropped + conflict {
            state.counts.conflicts += 1;
            return Ok(StoreOutcome::Lost);
        }
        drop(state);
        self.carry_out(on, bytes).await
    }
}

impl FaultState {
    fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
