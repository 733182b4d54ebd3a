//! Parties that meet at one object, each a connection of its own with one request under way.

use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Context, bail};
use catena_protocol::frame;
use catena_protocol::op::{
    Arrival, BarrierOp, Contribution, FutureOp, LockOp, Loss, ObjectOp, OpCode, Permit, ReduceOp,
    ReductionOp, SemaphoreOp,
};
use catena_protocol::{Elements, FrameKind, HEADER_BYTES, Header, ObjectId, Op, Reply, ShardId};

use super::{Node, Wire, Wires, open_sessions, reply_len, session};

/// Where parties meet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meeting {
    /// A barrier.
    Barrier,
    /// A sum of so many f64 from each.
    Reduction { elements: usize },
    /// A semaphore with half as many permits as parties: whoever has one gives it back and queues
    /// for the next, in one go.
    Semaphore,
    /// The same with a single permit.
    Lock,
    /// A future that the last party sets once all others wait for it, and then the next one.
    Future,
}

impl Node {
    /// One connection for each of so many parties that meet at one object.
    pub(crate) fn parties(&self, meeting: Meeting, name: &str, parties: u32) -> Wires {
        let object = ObjectId::of(name);
        let shard = self.map.shard_of(object);
        let address = self.core_address(self.map.core_of(shard).into());
        // One more, in the same shard.
        let others = (0..).map(|i| ObjectId::of(&format!("{name}/{i}")));
        let other = others.into_iter().find(|other| self.map.shard_of(*other) == shard);
        let objects = [object, other.expect("shards are few")];
        let waiting = Rc::new(Cell::new(0));
        let role = |party| match meeting {
            Meeting::Barrier => {
                Role::Arrive { name: format!("party-{party}"), parties, generation: 0 }
            }
            Meeting::Reduction { elements } => {
                Role::Contribute { party, parties, round: 0, elements: vec![1.0; elements] }
            }
            Meeting::Semaphore => Role::Hold { permits: Some((parties / 2).max(1)), token: None },
            Meeting::Lock => Role::Hold { permits: None, token: None },
            // The last one, for requests that go out together arrive in the order of the parties.
            Meeting::Future if party + 1 == parties => {
                Role::Set { round: 0, waiting: waiting.clone(), waiters: parties - 1 }
            }
            Meeting::Future => Role::Await { round: 0, waiting: waiting.clone() },
        };
        let party = |party| Party {
            role: role(party),
            objects,
            shard,
            now_us: self.now_us,
            session: session(),
            number: 0,
            under_way: Vec::new(),
        };
        (0..parties).map(|i| (Box::new(party(i)) as Box<dyn Wire>, address)).collect()
    }
}

/// What a party does, over and over.
#[derive(Debug)]
enum Role {
    /// Arrives at a barrier.
    Arrive { name: String, parties: u32, generation: u64 },
    /// Contributes to a reduction.
    Contribute { party: u32, parties: u32, round: u64, elements: Vec<f64> },
    /// Gives back what it has, and asks again. Without permits it is a lock.
    Hold { permits: Option<u32>, token: Option<u64> },
    /// Waits for a future.
    Await { round: u64, waiting: Rc<Cell<u32>> },
    /// Sets a future, and deletes the one before: two objects take turns.
    Set { round: u64, waiting: Rc<Cell<u32>>, waiters: u32 },
}

/// How long a request may wait inside the engine.
const DEADLINE_MS: u32 = 60_000;

/// One connection.
struct Party {
    role: Role,
    objects: [ObjectId; 2],
    shard: ShardId,
    now_us: u64,
    session: u64,
    /// The last number used.
    number: u64,
    /// What the replies to come are to.
    under_way: Vec<OpCode>,
}

impl Party {
    /// Writes the next request of a turn.
    fn put(
        out: &mut Vec<u8>,
        header: &mut Header,
        under_way: &mut Vec<OpCode>,
        object: ObjectId,
        op: &Op<'_>,
    ) {
        under_way.push(op.code());
        header.op = op.code().to_wire();
        header.object = object;
        header.number += 1;
        header.acked_gap += 1;
        header.deadline_ms = if op.code().may_wait() { DEADLINE_MS } else { 0 };
        frame::write(out, header, |out| op.encode(out)).expect("contributions are below 16 MiB");
    }
}

impl Wire for Party {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        open_sessions(socket, self.session, self.now_us, &[self.shard])
    }

    fn is_ready(&self) -> bool {
        match &self.role {
            Role::Set { waiting, waiters, .. } => waiting.get() == *waiters,
            _ => true,
        }
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        let mut header = Header {
            shard: self.shard,
            session: self.session,
            number: self.number,
            ..Header::new(FrameKind::Request)
        };
        let [object, _] = self.objects;
        let of_round = |round: u64| self.objects[usize::from(round % 2 == 1)];
        let mut ask = |object, op| Party::put(out, &mut header, &mut self.under_way, object, &op);
        let (hold_ms, loss) = (0, Loss::Wait);
        match &mut self.role {
            Role::Arrive { name, parties, generation } => {
                let (parties, generation) = (*parties, *generation);
                let arrival = Arrival { party: name, parties, generation, hold_ms, loss };
                ask(object, Op::Barrier(BarrierOp::ArriveAndWait(arrival)));
            }
            Role::Contribute { party, parties, round, elements } => {
                let (party, parties, round) = (*party, *parties, *round);
                let (op, elements) = (ReduceOp::Sum, Elements::F64(elements));
                let part = Contribution { party, parties, round, op, hold_ms, loss, elements };
                ask(object, Op::Reduction(ReductionOp::Contribute(part)));
            }
            Role::Hold { permits: Some(permits), token } => {
                if let Some(token) = token.take() {
                    ask(object, Op::Semaphore(SemaphoreOp::Release { token }));
                }
                let permit = Permit { permits: *permits, count: 1, hold_ms };
                ask(object, Op::Semaphore(SemaphoreOp::Acquire(permit)));
            }
            Role::Hold { permits: None, token } => {
                if let Some(token) = token.take() {
                    ask(object, Op::Lock(LockOp::Release { token }));
                }
                ask(object, Op::Lock(LockOp::Acquire { hold_ms }));
            }
            Role::Await { round, waiting } => {
                ask(of_round(*round), Op::Future(FutureOp::Get));
                waiting.set(waiting.get() + 1);
            }
            Role::Set { round, waiting, .. } => {
                if *round > 0 {
                    ask(of_round(*round - 1), Op::Object(ObjectOp::Delete));
                }
                let bytes = &round.to_le_bytes();
                ask(of_round(*round), Op::Future(FutureOp::Set { bytes }));
                waiting.set(0);
            }
        }
        self.number = header.number;
    }

    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let mut end = 0;
        let mut last = &bytes[..0];
        for _ in &self.under_way {
            let Some(len) = reply_len(&bytes[end..])? else { return Ok(None) };
            last = &bytes[end..end + len];
            end += len;
        }
        let asked = self.under_way.last().copied().context("a reply to nothing")?;
        self.under_way.clear();
        match &mut self.role {
            Role::Arrive { generation: round, .. }
            | Role::Contribute { round, .. }
            | Role::Await { round, .. }
            | Role::Set { round, .. } => *round += 1,
            Role::Hold { token, .. } => *token = Some(granted(asked, last)?),
        }
        Ok(Some(end))
    }
}

/// The token in the reply to a wait for a permit.
fn granted(asked: OpCode, frame: &[u8]) -> anyhow::Result<u64> {
    // In a place of its own, as a receive buffer need not be aligned.
    let mut body = [0_u128; 1];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut body);
    let bytes = frame.get(HEADER_BYTES as usize..).context("a grant without a body")?;
    let bytes = bytes.get(..aligned.len()).context("a grant without a token")?;
    aligned.copy_from_slice(bytes);
    match Reply::decode(asked, aligned)? {
        Reply::Granted { granted: true, token } => Ok(token),
        other => bail!("the engine answered {other:?}"),
    }
}
