//! Parties that meet at one object. Each is a connection of its own with one request under way,
//! like a thread that waits for every reply.

use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use catena_protocol::frame;
use catena_protocol::op::{
    Arrival, BarrierOp, Contribution, FutureOp, GENERATION_CURRENT, LockOp, Loss, ObjectOp, OpCode,
    Permit, ReduceOp, ReductionOp, SemaphoreOp,
};
use catena_protocol::{Elements, HEADER_BYTES, ObjectId, Op, Reply, ShardId, Status};

use super::super::{TakenReply, Wire, Wires};
use super::{NodeTopology, hello, open_sessions, session};
use crate::client_frames::{RequestHead, SessionNumbers, put_request};

/// What parties meet at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MeetingKind {
    /// A barrier.
    Barrier,
    /// A sum of this many f64 from each party.
    Reduction { elements: usize },
    /// A semaphore with half as many permits as parties: a party releases the permit that it holds,
    /// and acquires the next.
    Semaphore,
    /// A lock, used in the same way.
    Lock,
    /// A future that the last party sets once all others wait for it, and then the next one.
    Future,
}

impl NodeTopology {
    /// Makes a connection for each of these parties, which meet at one object.
    pub(crate) fn parties(&self, meeting: MeetingKind, name: &str, parties: u32) -> Wires {
        let shard = self.map.shard_of(ObjectId::of(name));
        let address = self.core_address(self.map.core_of(shard).into());
        // Two futures take turns. Both are in one shard, so that one session does.
        let others = (0..).map(|i| format!("{name}/{i}"));
        let is_near = |other: &String| self.map.shard_of(ObjectId::of(other)) == shard;
        let other = others.into_iter().find(is_near).expect("shards are few");
        let objects = Rc::new([name.to_owned(), other]);
        let waiting = Rc::new(Cell::new(0));
        let role = |party| match meeting {
            MeetingKind::Barrier => PartyRole::Arrive {
                name: format!("party-{party}"),
                parties,
                generation: GENERATION_CURRENT,
            },
            MeetingKind::Reduction { elements } => {
                PartyRole::Contribute { party, parties, round: 0, elements: vec![1.0; elements] }
            }
            MeetingKind::Semaphore => {
                PartyRole::Hold { permits: Some((parties / 2).max(1)), token: None }
            }
            MeetingKind::Lock => PartyRole::Hold { permits: None, token: None },
            // The last one, because requests that are sent together arrive in the order of the
            // parties.
            MeetingKind::Future if party + 1 == parties => {
                PartyRole::Set { round: 0, value: [0; 8], waiting: waiting.clone(), waiters: party }
            }
            MeetingKind::Future => PartyRole::Await { round: 0, waiting: waiting.clone() },
        };
        let party = |party| PartyConnection {
            role: role(party),
            objects: objects.clone(),
            shard,
            now_us: self.now_us,
            epoch: self.epoch,
            session: session(),
            numbers: SessionNumbers::new(),
            under_way: None,
        };
        (0..parties).map(|i| (Box::new(party(i)) as Box<dyn Wire>, address)).collect()
    }
}

/// What a party does in every round.
#[derive(Debug)]
enum PartyRole {
    /// Arrives at a barrier.
    Arrive { name: String, parties: u32, generation: u64 },
    /// Contributes to a reduction.
    Contribute { party: u32, parties: u32, round: u64, elements: Vec<f64> },
    /// Releases what it holds, and acquires it again. Without permits it is a lock.
    Hold { permits: Option<u32>, token: Option<u64> },
    /// Waits for a future.
    Await { round: u64, waiting: Rc<Cell<u32>> },
    /// Deletes the future of the last round and sets the one of this round.
    Set { round: u64, value: [u8; 8], waiting: Rc<Cell<u32>>, waiters: u32 },
}

/// How long a request may wait on the server.
pub(super) const DEADLINE_MS: u32 = 60_000;

/// One connection.
struct PartyConnection {
    role: PartyRole,
    /// The names of the objects, which take turns if there is more than one.
    objects: Rc<[String; 2]>,
    shard: ShardId,
    now_us: u64,
    epoch: u32,
    session: u64,
    numbers: SessionNumbers,
    under_way: Option<PartyRequest>,
}

/// The request of a party that is under way.
#[derive(Clone, Copy, Debug)]
struct PartyRequest {
    step: PartyStep,
    code: OpCode,
    number: u64,
    is_named: bool,
}

/// A round has one or two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartyStep {
    /// Tidies up after the last round.
    Before,
    /// The one that the round is about.
    Main,
}

impl PartyConnection {
    /// Returns the object and the op of a step, if the round has it.
    fn op(&self, step: PartyStep) -> Option<(usize, Op<'_>)> {
        let (hold_ms, loss) = (0, Loss::Wait);
        let of_round = |round: u64| usize::from(round % 2 == 1);
        Some(match (step, &self.role) {
            (PartyStep::Before, PartyRole::Hold { permits, token }) => {
                let token = (*token)?;
                let release = match permits {
                    Some(_) => Op::Semaphore(SemaphoreOp::Release { token }),
                    None => Op::Lock(LockOp::Release { token }),
                };
                (0, release)
            }
            (PartyStep::Before, PartyRole::Set { round, .. }) => {
                (of_round(round.checked_sub(1)?), Op::Object(ObjectOp::Delete))
            }
            (PartyStep::Before, _) => return None,
            (PartyStep::Main, PartyRole::Arrive { name, parties, generation }) => {
                let (parties, generation) = (*parties, *generation);
                let arrival = Arrival { party: name, parties, generation, hold_ms, loss };
                (0, Op::Barrier(BarrierOp::ArriveAndWait(arrival)))
            }
            (PartyStep::Main, PartyRole::Contribute { party, parties, round, elements }) => {
                let (party, parties, round) = (*party, *parties, *round);
                let (op, elements) = (ReduceOp::Sum, Elements::F64(elements));
                let part = Contribution { party, parties, round, op, hold_ms, loss, elements };
                (0, Op::Reduction(ReductionOp::Contribute(part)))
            }
            (PartyStep::Main, PartyRole::Hold { permits: Some(permits), .. }) => {
                let permit = Permit { permits: *permits, count: 1, hold_ms };
                (0, Op::Semaphore(SemaphoreOp::Acquire(permit)))
            }
            (PartyStep::Main, PartyRole::Hold { permits: None, .. }) => {
                (0, Op::Lock(LockOp::Acquire { hold_ms }))
            }
            (PartyStep::Main, PartyRole::Await { round, .. }) => {
                (of_round(*round), Op::Future(FutureOp::Get))
            }
            (PartyStep::Main, PartyRole::Set { round, value, .. }) => {
                (of_round(*round), Op::Future(FutureOp::Set { bytes: value }))
            }
        })
    }

    /// Appends the request of a step; `false` if the round has no such step.
    fn begin(&mut self, out: &mut Vec<u8>, step: PartyStep) -> bool {
        let Some(code) = self.op(step).map(|(_, op)| op.code()) else { return false };
        let number = self.numbers.draw();
        self.send(out, PartyRequest { step, code, number, is_named: false });
        true
    }

    /// Appends a request and notes that it is under way.
    fn send(&mut self, out: &mut Vec<u8>, request: PartyRequest) {
        let PartyRequest { step, number, is_named, .. } = request;
        let (object, op) = self.op(step).expect("the round has the step");
        let name = &*self.objects[object];
        let head = RequestHead {
            epoch: self.epoch,
            shard: self.shard,
            object: ObjectId::of(name),
            session: self.session,
            number,
            acked_gap: self.numbers.acked_gap(number),
            deadline_ms: if op.code().may_wait() { DEADLINE_MS } else { 0 },
        };
        put_request(out, &head, is_named.then_some(name), &op);
        self.under_way = Some(request);
    }

    /// Takes the reply to the main request, and goes on to the next round.
    fn finish(&mut self, code: OpCode, frame: &[u8]) -> anyhow::Result<()> {
        match &mut self.role {
            PartyRole::Arrive { generation, .. } => {
                *generation = short_reply(code, frame, |reply| match reply {
                    Reply::Number(completed) => Some(completed + 1),
                    _ => None,
                })?;
            }
            PartyRole::Hold { token, .. } => {
                let granted = short_reply(code, frame, |reply| match reply {
                    Reply::Granted { granted: true, token } => Some(token),
                    _ => None,
                })?;
                *token = Some(granted);
            }
            PartyRole::Contribute { round, .. } | PartyRole::Await { round, .. } => *round += 1,
            PartyRole::Set { round, value, .. } => {
                *round += 1;
                *value = round.to_le_bytes();
            }
        }
        Ok(())
    }
}

impl Wire for PartyConnection {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        hello(socket)?;
        open_sessions(socket, self.epoch, self.session, self.now_us, &[self.shard])
    }

    fn is_ready(&self) -> bool {
        match &self.role {
            PartyRole::Set { waiting, waiters, .. } => waiting.get() == *waiters,
            _ => true,
        }
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        match &self.role {
            PartyRole::Await { waiting, .. } => waiting.set(waiting.get() + 1),
            PartyRole::Set { waiting, .. } => waiting.set(0),
            _ => {}
        }
        let _ = self.begin(out, PartyStep::Before) || self.begin(out, PartyStep::Main);
    }

    fn reply(&mut self, bytes: &[u8], again: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some((header, len)) = frame::peek(bytes) else { return Ok(None) };
        let request = self.under_way.take().context("a reply without a request")?;
        ensure!(header.number == request.number, "a reply to another request");
        let is_final = match Status::from_wire(header.flags) {
            Some(Status::NameNeeded) if !request.is_named => {
                self.send(again, PartyRequest { is_named: true, ..request });
                false
            }
            Some(Status::Ok) => {
                self.numbers.answered(request.number);
                match request.step {
                    PartyStep::Before => _ = self.begin(again, PartyStep::Main),
                    PartyStep::Main => self.finish(request.code, &bytes[..len])?,
                }
                request.step == PartyStep::Main
            }
            status => bail!("the engine replied {status:?}"),
        };
        Ok(Some(TakenReply { len, is_final }))
    }
}

/// Returns a number in a reply of at most 16 bytes.
fn short_reply(
    code: OpCode,
    frame: &[u8],
    read: impl FnOnce(Reply<'_>) -> Option<u64>,
) -> anyhow::Result<u64> {
    // Copied, because a receive buffer need not be aligned.
    let mut aligned = [0_u128; 1];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    let body_bytes = frame.get(16..20).and_then(|bytes| bytes.try_into().ok());
    let body_bytes = u32::from_le_bytes(body_bytes.context("a frame has a header")?) as usize;
    let body = frame.get(HEADER_BYTES as usize..).and_then(|body| body.get(..body_bytes));
    let body =
        body.filter(|body| body.len() <= aligned.len()).context("a reply of another size")?;
    aligned[..body.len()].copy_from_slice(body);
    let number = read(Reply::decode(code, &aligned[..body.len()])?);
    number.context("a reply of another type")
}
