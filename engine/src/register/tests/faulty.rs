//! Registers for tests: one in memory, one that checks first and writes later, and one that puts
//! faults between a writer and any other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::register::{Condition, Outcome, RecordToken, Register, RegisterError};
use catena_core::chain::record::{ChangeId, Record};

/// A register in memory. Clones share it.
#[derive(Clone)]
pub(super) struct Memory {
    cluster: Rc<str>,
    bytes: Rc<RefCell<Option<Vec<u8>>>>,
}

impl Memory {
    pub(super) fn new(cluster: &str) -> Memory {
        Memory { cluster: cluster.into(), bytes: Rc::default() }
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

impl Register for Memory {
    fn cluster(&self) -> &str {
        &self.cluster
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        tokio::task::yield_now().await;
        Ok(self.bytes.borrow().clone().map(|bytes| (bytes.clone(), token(&bytes))))
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        tokio::task::yield_now().await;
        if !holds(on, self.token()) {
            return Ok(Outcome::Lost);
        }
        let token = token(&bytes);
        self.put(bytes);
        Ok(Outcome::Won(token))
    }
}

/// What many stand-ins for S3 do: check, let others in, write.
#[derive(Clone)]
pub(super) struct Careless(pub(super) Memory);

impl Register for Careless {
    fn cluster(&self) -> &str {
        self.0.cluster()
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        self.0.load().await
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        if !holds(on, self.0.token()) {
            return Ok(Outcome::Lost);
        }
        tokio::task::yield_now().await;
        let token = token(&bytes);
        self.0.put(bytes);
        Ok(Outcome::Won(token))
    }
}

/// How often which fault happens, in percent of the calls.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    /// The answer takes its time.
    pub(super) slow: u64,
    /// Stored if the condition held, and the answer never comes.
    pub(super) lost_reply: u64,
    /// No answer comes, and the attempt is carried out some time later.
    pub(super) late: u64,
    /// No answer comes, and nothing is ever stored.
    pub(super) dropped: u64,
    /// The store says that somebody else was writing, whether or not that one won.
    pub(super) conflict: u64,
    /// Nothing is answered for some calls.
    pub(super) outage: u64,
}

impl Faults {
    pub(super) fn all() -> Faults {
        Faults { slow: 10, lost_reply: 15, late: 15, dropped: 10, conflict: 10, outage: 3 }
    }
}

/// How often which fault happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suffered {
    slow: u32,
    lost_replies: u32,
    late: u32,
    late_and_stored: u32,
    dropped: u32,
    conflicts: u32,
    in_outage: u32,
}

impl Suffered {
    pub(super) fn add(&mut self, other: Suffered) {
        self.slow += other.slow;
        self.lost_replies += other.lost_replies;
        self.late += other.late;
        self.late_and_stored += other.late_and_stored;
        self.dropped += other.dropped;
        self.conflicts += other.conflicts;
        self.in_outage += other.in_outage;
    }

    /// A trial in which a fault never happened says nothing about it.
    pub(super) fn assert_each(&self) {
        let Suffered { slow, lost_replies, late, late_and_stored, dropped, conflicts, in_outage } =
            *self;
        let each = [slow, lost_replies, late, late_and_stored, dropped, conflicts, in_outage];
        assert!(each.iter().all(|times| *times > 0), "{self:?}");
    }
}

/// Puts faults between a writer and a register. Clones share the register and the faults.
#[derive(Clone)]
pub(super) struct Faulty<R> {
    inner: R,
    faults: Faults,
    state: Rc<RefCell<State>>,
}

struct State {
    random: u64,
    outage: u64,
    late: Vec<(Condition, Vec<u8>)>,
    landed: BTreeSet<ChangeId>,
    suffered: Suffered,
}

impl<R: Register> Faulty<R> {
    pub(super) fn new(inner: R, faults: Faults, seed: u64) -> Faulty<R> {
        let state = State {
            random: seed,
            outage: 0,
            late: Vec::new(),
            landed: BTreeSet::new(),
            suffered: Suffered::default(),
        };
        Faulty { inner, faults, state: Rc::new(RefCell::new(state)) }
    }

    pub(super) fn suffered(&self) -> Suffered {
        self.state.borrow().suffered
    }

    /// Carries out all that is late, and returns which changes, the founding aside, were stored.
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
        if matches!(outcome, Outcome::Won(_)) {
            self.state.borrow_mut().suffered.late_and_stored += 1;
        }
        true
    }

    async fn carry_out(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        let record = Record::from_bytes(&bytes).expect("a record");
        let outcome = self.inner.store(on, bytes).await?;
        if matches!(outcome, Outcome::Won(_)) && record.epoch > 1 {
            let fresh = self.state.borrow_mut().landed.insert(record.change.id);
            assert!(fresh, "stored twice: {record:?}");
        }
        Ok(outcome)
    }

    /// What befalls every call: time, others' late attempts, an outage.
    async fn suffer(&self) -> bool {
        let slow = self.state.borrow_mut().happens(self.faults.slow);
        if slow {
            self.state.borrow_mut().suffered.slow += 1;
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
        state.suffered.in_outage += u32::from(out);
        out
    }
}

impl<R: Register> Register for Faulty<R> {
    fn cluster(&self) -> &str {
        self.inner.cluster()
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        if self.suffer().await {
            return Err(RegisterError::Unreadable("an outage".into()));
        }
        self.inner.load().await
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        if self.suffer().await {
            return Ok(Outcome::Unknown("an outage".into()));
        }
        let Faults { lost_reply, late, dropped, conflict, .. } = self.faults;
        let fault = self.state.borrow_mut().below(100);
        if fault < lost_reply {
            self.state.borrow_mut().suffered.lost_replies += 1;
            self.carry_out(on, bytes).await?;
            return Ok(Outcome::Unknown("the reply was lost".into()));
        }
        let mut state = self.state.borrow_mut();
        if fault < lost_reply + late {
            state.suffered.late += 1;
            state.late.push((on.clone(), bytes));
            return Ok(Outcome::Unknown("it will land".into()));
        }
        if fault < lost_reply + late + dropped {
            state.suffered.dropped += 1;
            return Ok(Outcome::Unknown("it will not land".into()));
        }
        if fault < lost_reply + late + dropped + conflict {
            state.suffered.conflicts += 1;
            return Ok(Outcome::Lost);
        }
        drop(state);
        self.carry_out(on, bytes).await
    }
}

impl State {
    /// SplitMix64, by Steele, Lea and Flood.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
