//! A shard on trial: two copies that differ only in the hash seed get the same events, and every
//! reply is checked.
//!
//! After each event:
//! 1. both copies send the same bytes to the same connections, and have the same state;
//! 2. a request gets its reply at once, or it waits and gets one reply, on the connection of its
//!    latest retry;
//! 3. a retry of a request that took effect gets the same reply and changes nothing, until its
//!    client has acknowledged it;
//! 4. refused and retried requests change nothing (checked for some of them);
//! 5. the shard's own invariants hold;
//! 6. a third copy, which is restored from a snapshot with another hash seed from time to time, has
//!    the same state and sends the same replies, except to requests that waited when the snapshot
//!    was made and were not retried since;
//! 7. a snapshot that is written in short steps between the events has the state from before the
//!    first of them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{FrameKind, Header, Kind, OpCode, Status};
use rkyv::util::AlignedVec;

use crate::shard::snapshot::Restoration;
use crate::shard::{Census, ConnId, Moment, Outbox, Output, Shard, ShardId, Time, Types};

/// The identity of a request: session and number.
type RequestKey = (u64, u64);

/// Two shards that must not differ, and the requests of their clients.
#[derive(Debug)]
pub(in crate::shard) struct Trial {
    shards: [Shard; 2],
    copy: Option<RestoredCopy>,
    stepwise: Option<StepwiseSnapshot>,
    /// The number of events from one snapshot to the next.
    period: u64,
    /// The number of events so far.
    events: u64,
    now: Time,
    pub(in crate::shard) memory_bytes_max: u64,
    /// Waiting requests, with the connections that get the replies, and their op codes.
    parked: BTreeMap<RequestKey, (ConnId, u16)>,
    /// Replies that retries must get again.
    kept: BTreeMap<RequestKey, (Status, Vec<u8>)>,
    /// The shard was shut down: waits end without a reply.
    stopped: bool,
    /// The number of requests so far.
    requests: u64,
    /// The shards were restored, or a connection has ended: there may be waits without one.
    has_unheard: bool,
}

/// A snapshot that is written in short steps.
#[derive(Debug)]
struct StepwiseSnapshot {
    /// What a restored shard must have.
    digest: u64,
    seq: u64,
    /// What was taken of it.
    bytes: Vec<u8>,
}

/// A shard that was restored from the snapshot of another.
#[derive(Debug)]
struct RestoredCopy {
    shard: Shard,
    /// Requests that waited then and were not retried since: they have no connection in this copy.
    unheard: BTreeSet<RequestKey>,
}

/// One of so many requests is checked to leave the state unchanged if it has no effect.
const CLOSELY: u64 = 16;

/// Events from one snapshot to the next, by default.
const PERIOD: u64 = 16;

/// The size up to which a shard is written into a snapshot in every period; beyond, only now and
/// then.
const QUICK_BYTES: u64 = 64 * 1024;

/// A reply as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Sent {
    pub(in crate::shard) conn: ConnId,
    pub(in crate::shard) header: Header,
    pub(in crate::shard) status: Status,
    pub(in crate::shard) body: Aligned,
}

/// Bytes at an address that is a multiple of 16, as frames require.
#[derive(Clone, Debug)]
pub(in crate::shard) struct Aligned(AlignedVec<16>);

/// The shard on trial.
pub(in crate::shard) const SHARD: ShardId = ShardId(0);

impl Trial {
    #[cfg(test)]
    pub(in crate::shard) fn new() -> Trial {
        Trial::with_types(Types::default())
    }

    /// Returns a trial with these user-defined types.
    pub(in crate::shard) fn with_types(types: Types) -> Trial {
        let types = Arc::new(types);
        Trial {
            shards: [1, u64::MAX / 3]
                .map(|seed| Shard::new(SHARD, seed, types.clone()).with_parts_of(16)),
            copy: None,
            stepwise: None,
            period: PERIOD,
            events: 0,
            now: Time::default(),
            memory_bytes_max: 1 << 30,
            parked: BTreeMap::new(),
            kept: BTreeMap::new(),
            stopped: false,
            requests: 0,
            has_unheard: false,
        }
    }

    /// Sets the number of events from one snapshot to the next.
    #[cfg(test)]
    pub(in crate::shard) fn with_period(mut self, period: u64) -> Trial {
        self.period = period;
        self
    }

    #[cfg(test)]
    pub(in crate::shard) fn snapshot(&self) -> Vec<u8> {
        self.shards[0].snapshot()
    }

    /// Replaces both shards by ones restored from their snapshots. Waiting requests get no reply
    /// until they are retried.
    #[cfg(test)]
    pub(in crate::shard) fn restore(&mut self) {
        self.stepwise = None;
        let states = self.shards.each_ref().map(Shard::snapshot);
        assert_eq!(states[0], states[1], "the snapshot depends on the hash seed");
        for (shard, state) in self.shards.iter_mut().zip(states) {
            let restored = shard.restored(&state).expect("a snapshot is valid");
            assert_eq!(restored.digest(), shard.digest(), "the restored shard has the same state");
            *shard = restored;
        }
        self.parked.clear();
        self.has_unheard = true;
        self.copy = None;
        self.check();
    }

    pub(in crate::shard) fn now(&self) -> Time {
        self.now
    }

    pub(in crate::shard) fn seq(&self) -> u64 {
        self.shards[0].seq().0
    }

    pub(in crate::shard) fn census(&self) -> Census {
        self.shards[0].census()
    }

    /// Sends a request on a connection, and returns all replies.
    pub(in crate::shard) fn request(
        &mut self,
        conn: ConnId,
        header: &Header,
        body: &[u8],
    ) -> Vec<Sent> {
        let mut bytes = Vec::new();
        if frame::write(&mut bytes, header, |out| out.extend_from_slice(body)).is_err() {
            return Vec::new();
        }
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("a written frame is valid")
        };
        let moment = Moment { now: self.now, memory_bytes_max: self.memory_bytes_max };
        let (seq, sessions) = (self.seq(), self.census().sessions);
        self.requests += 1;
        let is_closely = self.requests.is_multiple_of(CLOSELY);
        let before = is_closely.then(|| self.state());
        let is_own = |sent: &Sent| {
            (sent.conn, sent.header.session, sent.header.number, sent.header.op)
                == (conn, header.session, header.number, header.op)
        };
        let sent = self.both(is_own, |shard, out| _ = shard.on_request(moment, conn, &frame, out));

        let key = (header.session, header.number);
        let own: Vec<_> = sent.iter().filter(|sent| is_own(sent)).collect();
        assert!(own.len() <= 1, "a request has one reply: {own:?}");
        for other in sent.iter().filter(|sent| !is_own(sent)) {
            self.released(other);
        }
        match own.first() {
            None => {
                if let Some(copy) = &mut self.copy {
                    copy.unheard.remove(&key);
                }
                let mut waiters = self.shards[0].waiters.rows();
                let asked = waiters.find(|it| (it.session, it.number) == key);
                let asked = asked.map_or(header.op, |asked| asked.op);
                self.parked.insert(key, (conn, asked));
            }
            Some(own) if is_update(header.op) => self.answered(key, own, seq),
            Some(_) => {}
        }
        if let Some(before) = before.filter(|_| self.seq() == seq) {
            assert_eq!(
                self.state(),
                before,
                "shard invariant 4: a request without effect changes nothing"
            );
        }
        if self.census().sessions > sessions {
            self.kept.retain(|(session, _), _| *session != header.session);
        }
        self.check();
        sent
    }

    /// Ends a connection, and detaches what waits for replies on it.
    pub(in crate::shard) fn disconnect(&mut self, conn: ConnId) -> Vec<Sent> {
        let copy = self.copy.iter_mut().map(|copy| &mut copy.shard);
        self.shards.iter_mut().chain(copy).for_each(|shard| shard.on_disconnect(conn));
        self.parked.retain(|_, (known, _)| *known != conn);
        let waiters = self.shards[0].unattended();
        assert_eq!(waiters, self.shards[1].unattended());
        // They may end unseen from now on.
        self.has_unheard |= !waiters.is_empty();
        let now = self.now;
        let sent = self.both(no_own, |shard, out| {
            _ = shard.detach(now, waiters.iter().copied(), out);
        });
        sent.iter().for_each(|sent| self.released(sent));
        self.check();
        sent
    }

    /// Lets time pass, and calls the shard at every due time.
    pub(in crate::shard) fn pass(&mut self, us: u64) -> Vec<Sent> {
        let until = Time(self.now.0.saturating_add(us));
        let mut sent = Vec::new();
        while let Some(due) = self.shards[0].next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let now = self.now;
            sent.extend(self.both(no_own, |shard, out| _ = shard.on_time(now, out)));
        }
        self.now = until;
        sent.iter().for_each(|sent| self.released(sent));
        self.check();
        sent
    }

    /// Lets time pass, and calls the shard only at the end.
    pub(in crate::shard) fn sleep(&mut self, us: u64) -> Vec<Sent> {
        self.now = Time(self.now.0.saturating_add(us));
        let now = self.now;
        let sent = self.both(no_own, |shard, out| {
            shard.on_time(now, out);
            while shard.next_due().is_some_and(|due| due <= now) {
                shard.on_time(now, out);
            }
        });
        sent.iter().for_each(|sent| self.released(sent));
        self.check();
        sent
    }

    /// Shuts the shard down.
    pub(in crate::shard) fn shutdown(&mut self) -> Vec<Sent> {
        let sent = self.both(no_own, |shard, out| shard.on_shutdown(out));
        sent.iter().for_each(|sent| self.released(sent));
        assert_eq!(self.parked, BTreeMap::new(), "every waiting request gets a reply");
        self.stopped = true;
        self.check();
        sent
    }

    /// Lets enough time pass that every wait and every session ends.
    pub(in crate::shard) fn finish(mut self) {
        self.pass(u64::from(u32::MAX) * 1_000);
        assert_eq!(self.parked, BTreeMap::new(), "every wait ends");
        let Census { sessions, waiters, .. } = self.census();
        let holds = self.shards[0].workspace.holds.len();
        assert_eq!((sessions, waiters, holds), (0, 0, 0), "nothing is left of the clients");
    }

    /// Applies an event to both shards, which must send the same replies. `is_own` recognizes the
    /// reply to the request of the event; other replies are to waiting requests.
    fn both(
        &mut self,
        is_own: impl Fn(&Sent) -> bool,
        act: impl Fn(&mut Shard, &mut Sink),
    ) -> Vec<Sent> {
        let act = |shard: &mut Shard| {
            let mut sink = Sink::default();
            act(shard, &mut sink);
            sink.0
        };
        let [one, other] = self.shards.each_mut().map(act);
        assert_eq!(one, other, "replies depend on the hash seed");
        if let Some(RestoredCopy { shard, unheard }) = &mut self.copy {
            let key = |sent: &Sent| (sent.header.session, sent.header.number);
            let mut heard = one.clone();
            heard.retain(|sent| is_own(sent) || !unheard.remove(&key(sent)));
            assert_eq!(act(shard), heard, "the restored copy sends other replies");
        }
        one
    }

    /// Compares the third copy, and replaces it by one that is restored from the current state.
    fn compare_copy(&mut self) {
        self.events += 1;
        self.continue_snapshot();
        let is_quick = self.shards[0].bytes() <= QUICK_BYTES;
        let is_time = self.events.is_multiple_of(self.period);
        if !is_time || !(is_quick || self.events.is_power_of_two()) {
            return;
        }
        let state = self.shards[0].snapshot();
        assert_eq!(state, self.shards[1].snapshot(), "the snapshot depends on the hash seed");
        if let Some(RestoredCopy { shard, .. }) = &self.copy {
            assert_eq!(shard.snapshot(), state, "the restored copy has another state");
        }
        let types = self.shards[0].types.clone();
        let mut receiver = Shard::new(SHARD, self.events, types);
        receiver.reads = self.shards[0].reads;
        let shard = receiver.restored(&state).expect("a snapshot is valid");
        assert_eq!(shard.snapshot(), state, "the restored shard has the same state");
        assert_eq!(shard.digest(), self.shards[0].digest());
        let unheard = self.parked.keys().copied().collect();
        self.copy = Some(RestoredCopy { shard, unheard });
    }

    /// Takes some steps of a snapshot of one of the shards, and restores it when it is complete.
    fn continue_snapshot(&mut self) {
        let shard = &mut self.shards[0];
        let Some(mut stepwise) = self.stepwise.take() else {
            if shard.bytes() <= QUICK_BYTES || self.events.is_power_of_two() {
                let (digest, seq, bytes) = (shard.digest(), shard.seq().0, Vec::new());
                shard.begin_snapshot();
                self.stepwise = Some(StepwiseSnapshot { digest, seq, bytes });
            }
            return;
        };
        // Long and short ones, in pieces that end anywhere.
        let steps = usize::try_from(self.events % 23).expect("it is small");
        shard.continue_snapshot(steps, usize::MAX);
        let (bytes, is_over) = shard.snapshot_bytes().expect("it was begun");
        stepwise.bytes.extend_from_slice(bytes);
        let count = bytes.len();
        shard.take_snapshot_bytes(count);
        if !is_over {
            self.stepwise = Some(stepwise);
            return;
        }
        shard.end_snapshot();
        let mut restoration =
            Restoration::new(&Shard::new(SHARD, self.events, shard.types.clone()));
        for piece in stepwise.bytes.chunks(1 + steps * steps * steps) {
            restoration.take(piece).expect("a snapshot is valid");
        }
        let restored = restoration.finish().expect("a snapshot is complete");
        restored.check_invariants();
        let found = (restored.digest(), restored.seq().0);
        assert_eq!(found, (stepwise.digest, stepwise.seq), "a snapshot in steps has another state");
    }

    /// Records the end of a wait.
    fn released(&mut self, sent: &Sent) {
        let key = (sent.header.session, sent.header.number);
        let waited = self.parked.remove(&key);
        assert_eq!(
            waited,
            Some((sent.conn, sent.header.op)),
            "only a waiting request gets {sent:?}"
        );
        if !matches!(sent.status, Status::SessionUnknown | Status::ShuttingDown) {
            self.kept.insert(key, (sent.status, sent.body.bytes().to_vec()));
        }
    }

    /// Checks the reply to an update that did not wait; the shard was at `seq` before.
    fn answered(&mut self, key: RequestKey, own: &Sent, seq: u64) {
        let answer = (own.status, own.body.bytes());
        match self.kept.get(&key) {
            Some((status, body)) if (*status, &body[..]) == answer => {
                assert_eq!(self.seq(), seq, "a retry changes nothing");
            }
            Some(kept) => {
                let refused = matches!(
                    own.status,
                    Status::Stale
                        | Status::SessionUnknown
                        | Status::BadArgument
                        | Status::BadFlags
                        | Status::WrongEpoch
                        | Status::BadBody
                );
                assert!(refused, "{own:?} is not the earlier reply: {kept:?}");
            }
            None if own.status == Status::Ok => {
                self.kept.insert(key, (own.status, own.body.bytes().to_vec()));
            }
            None => assert_eq!(self.seq(), seq, "a refusal changes nothing"),
        }
    }

    /// Returns the state that replies of the first shard may depend on.
    fn state(&self) -> String {
        let Shard { seq, objects, directory, sessions, watchers, object_bytes, workspace, .. } =
            &self.shards[0];
        let (sessions, holds) = (sessions.memory(), &workspace.holds);
        format!(
            "{seq:?} {objects:?} {directory:?} {sessions:?} {watchers:?} {object_bytes} {holds:?}"
        )
    }

    fn check(&mut self) {
        self.compare_copy();
        let [one, other] = &self.shards;
        assert_eq!(one.census(), other.census());
        assert_eq!((one.seq(), one.next_due()), (other.seq(), other.next_due()));
        let (waiting, known) = (one.census().waiters, self.parked.len() as u64);
        match self.has_unheard {
            true => assert!(waiting >= known, "requests with a connection wait"),
            false => assert!(self.stopped || waiting == known, "every waiting request is known"),
        }
        self.shards.iter().for_each(Shard::check_invariants);
        if let Some(RestoredCopy { shard, .. }) = &self.copy {
            assert_eq!((one.census(), one.seq()), (shard.census(), shard.seq()));
            shard.check_invariants();
        }
    }
}

/// Recognizes no reply as one to a request.
fn no_own(_: &Sent) -> bool {
    false
}

fn is_update(op: u16) -> bool {
    OpCode::from_wire(op).is_some_and(|code| !code.is_read() && code.kind() != Kind::Session)
}

/// Encodes replies and decodes them again.
#[derive(Debug, Default)]
struct Sink(Vec<Sent>);

impl Outbox for Sink {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        let bytes = Aligned::copy_of(&bytes);
        let Ok(Next::Frame(frame)) = frame::next(bytes.bytes(), FRAME_BYTES_MAX) else {
            unreachable!("a reply is one frame")
        };
        assert_eq!(frame.header.kind, FrameKind::Reply);
        let status = Status::from_wire(frame.header.flags).expect("a known status");
        assert_eq!(frame.header, to.reply(status), "a reply repeats the header of its request");
        let body = Aligned::copy_of(frame.body);
        self.0.push(Sent { conn, header: frame.header, status, body });
    }
}

impl Aligned {
    pub(in crate::shard) fn copy_of(bytes: &[u8]) -> Aligned {
        let mut aligned = AlignedVec::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        Aligned(aligned)
    }

    pub(in crate::shard) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Aligned {
    fn eq(&self, other: &Aligned) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Aligned {}
