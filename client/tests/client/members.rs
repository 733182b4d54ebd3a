//! A scripted cluster: members that greet, count, refuse and fall silent as a test sets them.
//!
//! They share one log of executed requests, as the members of a chain do. Each member has its own
//! view of the cluster, which a test sets.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CounterOp, SessionOp};
use catena_protocol::{
    FrameKind, Header, Members, Op, OpCode, Reply, ShardId, Status, Welcome, features, frame,
};

use crate::LONG;
use crate::peer::{Asked, Conn, fault};

/// The members, and their state, which a test can read and change.
pub(crate) struct Cluster {
    pub(crate) addresses: Vec<SocketAddr>,
    shared: Arc<Mutex<State>>,
}

/// The behaviour of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Correct.
    #[default]
    Serves,
    /// It sends a Welcome and nothing else, like a member that is cut off from the others.
    CutOff,
    /// It executes requests, and breaks the connection instead of replying.
    Breaks,
    /// It accepts connections and sends nothing, like a stopped process.
    Frozen,
    /// It refuses reads as busy.
    Busy,
    /// It is not a member.
    Outside,
}

pub(crate) struct State {
    pub(crate) modes: Vec<Mode>,
    /// The view of each member.
    pub(crate) views: Vec<Welcome>,
    /// The requests that each member received, without Hellos.
    pub(crate) asked: Vec<(usize, Header)>,
    /// The number of connections to each member.
    pub(crate) connections: Vec<usize>,
    /// How far the clock of each member is behind, in microseconds.
    pub(crate) behind_us: Vec<u64>,
    /// Whether to refuse opening sessions, as if they were forgotten.
    pub(crate) forgets: bool,
    streams: Vec<Vec<TcpStream>>,
    listens: Vec<bool>,
    listeners: Vec<Option<JoinHandle<()>>>,
    sessions: HashSet<(ShardId, u64)>,
    answers: HashMap<(ShardId, u64, u64), i64>,
    counts: HashMap<ShardId, i64>,
    began: Instant,
}

/// The time of the members' clocks at the start, above 0 so that sessions can be born before.
const CLOCK_US: u64 = 1_000_000_000;

impl Cluster {
    /// Starts a cluster of this many members with one core each, each chain beginning at another
    /// member.
    pub(crate) fn start(members: usize, shards: u32) -> Cluster {
        let listeners: Vec<TcpListener> =
            (0..members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let view = |at: usize| {
            let order: Vec<usize> = (0..members).collect();
            view(&addresses, 1, shards, &order, at)
        };
        let state = State {
            modes: vec![Mode::Serves; members],
            views: (0..members).map(view).collect(),
            asked: Vec::new(),
            connections: vec![0; members],
            behind_us: vec![0; members],
            forgets: false,
            streams: (0..members).map(|_| Vec::new()).collect(),
            listens: vec![true; members],
            listeners: Vec::new(),
            sessions: HashSet::new(),
            answers: HashMap::new(),
            counts: HashMap::new(),
            began: Instant::now(),
        };
        let shared = Arc::new(Mutex::new(state));
        for (at, listener) in listeners.into_iter().enumerate() {
            let for_it = Arc::clone(&shared);
            let listener = std::thread::spawn(move || listen(at, &listener, &for_it));
            lock(&shared).listeners.push(Some(listener));
        }
        Cluster { addresses, shared }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    pub(crate) fn set(&self, member: usize, mode: Mode) {
        self.state().modes[member] = mode;
    }

    /// Gives the members in `told` the view that the cluster has these members since `epoch`.
    pub(crate) fn tell(&self, told: &[usize], epoch: u32, members: &[usize]) {
        let mut state = self.state();
        let shards = state.views[0].shards;
        for at in told {
            state.views[*at] = view(&self.addresses, epoch, shards, members, *at);
        }
    }

    /// Replaces the cluster by a later one of the same members, which has nothing of what it had.
    pub(crate) fn create_anew(&self, epoch: u32) {
        let everyone: Vec<usize> = (0..self.addresses.len()).collect();
        let incarnation = self.state().views[0].incarnation + 1;
        self.tell(&everyone, epoch, &everyone);
        let mut state = self.state();
        state.views.iter_mut().for_each(|view| view.incarnation = incarnation);
        state.sessions.clear();
        state.answers.clear();
        state.counts.clear();
        drop(state);
        everyone.into_iter().for_each(|at| self.cut(at));
    }

    /// Stops a member: it no longer listens, and its connections break.
    pub(crate) fn kill(&self, member: usize) {
        self.state().listens[member] = false;
        self.cut(member);
        // Wakes the listener, so that it stops.
        _ = TcpStream::connect(self.addresses[member]);
        let listener = self.state().listeners[member].take();
        listener.expect("it listened").join().unwrap();
    }

    /// Breaks all connections to a member.
    pub(crate) fn cut(&self, member: usize) {
        for stream in self.state().streams[member].drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The addresses of all members, as seeds.
    pub(crate) fn seeds(&self) -> String {
        self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }

    /// The members that received an op, each with session and number, in order; without Opens.
    pub(crate) fn asked(&self, op: OpCode) -> Vec<(usize, (u64, u64))> {
        let state = self.state();
        let is_it = |(_, header): &&(usize, Header)| header.op == op.to_wire();
        let ticket =
            |(member, header): &(usize, Header)| (*member, (header.session, header.number));
        state.asked.iter().filter(is_it).map(ticket).collect()
    }

    /// Waits until a member has received an op.
    pub(crate) fn await_asked(&self, member: usize, op: OpCode) {
        let start = Instant::now();
        while !self.asked(op).iter().any(|(asked, _)| *asked == member) {
            assert!(start.elapsed() < LONG, "{member} receives no {op:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.addresses.len() {
            if self.state().listens[member] {
                self.kill(member);
            }
        }
    }
}

/// Locks the state, even if a test that held it has failed.
fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The view that the member `at`, which need not be in the cluster, has of a cluster of `members`.
fn view(
    addresses: &[SocketAddr],
    epoch: u32,
    shards: u32,
    members: &[usize],
    at: usize,
) -> Welcome {
    // When members leave a chain, the others keep their order.
    let chain = |shard: u32| {
        let all = (0..addresses.len()).map(move |at| (at + shard as usize) % addresses.len());
        let place = |at: usize| members.iter().position(|member| *member == at);
        all.filter_map(place).map(|place| u16::try_from(place).unwrap())
    };
    let every = |what: &dyn Fn(usize) -> String| members.iter().map(|at| what(*at)).collect();
    let members = Members {
        names: every(&|at| format!("node-{at}")),
        controls: every(&|_| "127.0.0.1:9".to_owned()),
        cores: vec![1; members.len()],
        addresses: every(&|at| addresses[at].to_string()),
        chains: (0..shards).flat_map(chain).collect(),
    };
    Welcome {
        features: features::ALL,
        now_us: CLOCK_US,
        incarnation: 1,
        epoch,
        shards,
        frame_bytes_max: FRAME_BYTES_MAX,
        session_window: 256,
        core: 0,
        ports: vec![addresses[at].port()],
        engine: "a pretended engine".to_owned(),
        members,
    }
}

fn listen(member: usize, listener: &TcpListener, shared: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let mut state = lock(shared);
        if !state.listens[member] {
            return;
        }
        state.connections[member] += 1;
        state.streams[member].push(stream.try_clone().unwrap());
        drop(state);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(member, Conn::new(stream), &shared));
    }
}

fn serve(member: usize, mut conn: Conn, shared: &Mutex<State>) {
    while let Some(asked) = conn.next() {
        let mut state = lock(shared);
        let mode = state.modes[member];
        if mode == Mode::Frozen {
            continue;
        }
        if asked.header.kind == FrameKind::Hello {
            let mut welcome = state.views[member].clone();
            welcome.now_us = state.clock_us(member);
            drop(state);
            let mut out = Vec::new();
            welcome.write(&mut out);
            _ = conn.stream.write_all(&out);
            continue;
        }
        state.asked.push((member, asked.header));
        if mode == Mode::CutOff {
            continue;
        }
        let answer = state.answer(member, mode, &asked);
        let header = Header { epoch: state.views[member].epoch, ..asked.header };
        drop(state);
        if mode == Mode::Breaks && asked.header.op != OpCode::SessionOpen.to_wire() {
            _ = conn.stream.shutdown(Shutdown::Both);
            return;
        }
        let mut out = Vec::new();
        let refusal = answer.as_ref().err().map(|status| fault(*status, 1).into());
        let answer = answer.as_ref().map_err(|_| refusal.as_ref().expect("it is one"));
        frame::write_reply(&mut out, &header, answer);
        // The client may have closed the connection.
        _ = conn.stream.write_all(&out);
    }
}

impl State {
    fn clock_us(&self, member: usize) -> u64 {
        let elapsed_us = u64::try_from(self.began.elapsed().as_micros()).unwrap();
        CLOCK_US + elapsed_us - self.behind_us[member]
    }

    /// The sum of all counters of a shard.
    pub(crate) fn count(&self, shard: u16) -> i64 {
        self.counts.get(&ShardId(shard)).copied().unwrap_or_default()
    }

    /// Whether a member is the head of a shard in its own view.
    fn is_head(&self, member: usize, shard: ShardId) -> bool {
        let view = &self.views[member];
        let head = view.members.chain(shard)[0];
        view.members.names[usize::from(head)] == format!("node-{member}")
    }

    fn answer(
        &mut self,
        member: usize,
        mode: Mode,
        asked: &Asked,
    ) -> Result<Reply<'static>, Status> {
        let Header { shard, session, number, .. } = asked.header;
        if mode == Mode::Outside {
            return Err(Status::WrongEpoch);
        }
        let op = asked.op();
        if op.code().is_read() {
            return match mode {
                Mode::Busy => Err(Status::Busy),
                _ => Ok(Reply::Int(self.count(shard.0))),
            };
        }
        if !self.is_head(member, shard) {
            return Err(Status::NotHead);
        }
        if let Op::Session(SessionOp::Open { born_us, .. }) = op {
            let known = self.sessions.contains(&(shard, session));
            if self.forgets || (!known && born_us > self.clock_us(member)) {
                return Err(Status::SessionUnknown);
            }
            self.sessions.insert((shard, session));
            return Ok(Reply::Unit);
        }
        if !self.sessions.contains(&(shard, session)) {
            return Err(Status::SessionUnknown);
        }
        match op {
            Op::Counter(CounterOp::Add { delta }) => {
                let ticket = (shard, session, number);
                if !self.answers.contains_key(&ticket) {
                    let count = self.counts.entry(shard).or_default();
                    *count += delta;
                    self.answers.insert(ticket, *count);
                }
                Ok(Reply::Int(self.answers[&ticket]))
            }
            Op::Session(SessionOp::Close) => Ok(Reply::Unit),
            Op::Latch(_) => Ok(Reply::Number(0)),
            other => panic!("the script has no {other:?}"),
        }
    }
}
