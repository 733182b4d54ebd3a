//! A scripted node: one thread that accepts connections, reads frames and sends replies.
//!
//! The script panics if the client misbehaves; [`Peer::join`] passes the panic on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::SessionOp;
use catena_protocol::{
    Fault, FrameKind, Header, Hello, ObjectId, Op, Refusal, Reply, ShardMap, Status, Welcome,
    features, flags, named,
};

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    script: JoinHandle<()>,
}

/// The means of a script: a port to accept on.
pub(crate) struct Stage {
    listener: TcpListener,
    pub(crate) welcome: Welcome,
}

/// A connection as the node sees it.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    words: Vec<u128>,
    filled: usize,
}

/// A frame that was read.
pub(crate) struct Asked {
    pub(crate) header: Header,
    words: Vec<u128>,
}

impl Peer {
    /// Starts a node of one core.
    pub(crate) fn start(script: impl FnOnce(Stage) + Send + 'static) -> Peer {
        Peer::of_cores([script]).pop().unwrap()
    }

    /// Starts a node with a core for each script. Each of them names the ports of all.
    pub(crate) fn of_cores<S>(scripts: impl IntoIterator<Item = S>) -> Vec<Peer>
    where
        S: FnOnce(Stage) + Send + 'static,
    {
        let scripts: Vec<S> = scripts.into_iter().collect();
        let listeners: Vec<_> =
            scripts.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| address(listener).port()).collect();
        let start = |((core, listener), script): ((u16, TcpListener), S)| {
            let welcome = Welcome {
                features: features::ALL,
                now_us: 1_000_000,
                incarnation: 0,
                epoch: 0,
                shards: u32::try_from(ports.len()).unwrap().next_power_of_two(),
                frame_bytes_max: FRAME_BYTES_MAX,
                session_window: 256,
                core,
                ports: ports.clone(),
                engine: "a script".to_owned(),
                members: Default::default(),
            };
            let address = address(&listener);
            let stage = Stage { listener, welcome };
            Peer { address, script: std::thread::spawn(move || script(stage)) }
        };
        (0..).zip(listeners).zip(scripts).map(start).collect()
    }

    /// Waits for the script to end.
    pub(crate) fn join(self) {
        if let Err(panic) = self.script.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Stage {
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Accepts the next connection, before its Hello.
    pub(crate) fn accept(&self) -> Conn {
        let (stream, _) = self.listener.accept().unwrap();
        // A script that waits in vain must not hang the tests.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Conn::new(stream)
    }

    /// Accepts the next connection, and exchanges Hello and Welcome.
    pub(crate) fn greet(&self) -> Conn {
        let mut conn = self.accept();
        conn.expect_hello();
        conn.welcome(&self.welcome);
        conn
    }
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Conn {
        Conn { stream, words: vec![0; 2 << 20 >> 4], filled: 0 }
    }

    /// Reads the next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Asked> {
        loop {
            let bytes: &[u8] = &bytemuck::cast_slice(&self.words)[..self.filled];
            let next = frame::next(bytes, FRAME_BYTES_MAX).expect("the client sends frames");
            if let Next::Frame(frame) = next {
                let (header, len) = (frame.header, frame.bytes.len());
                let asked = Asked { header, words: bytemuck::cast_slice(frame.bytes).to_vec() };
                bytemuck::cast_slice_mut::<_, u8>(&mut self.words).copy_within(len..self.filled, 0);
                self.filled -= len;
                return Some(asked);
            }
            let spare = &mut bytemuck::cast_slice_mut(&mut self.words)[self.filled..];
            match self.stream.read(spare) {
                Ok(0) => return None,
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the client sends nothing more: {error}"),
            }
        }
    }

    pub(crate) fn expect_hello(&mut self) {
        let asked = self.next().expect("a Hello");
        assert_eq!(asked.header.kind, FrameKind::Hello);
        assert_eq!(Hello::decode(asked.body()), Ok(Hello { features: features::ALL }));
    }

    pub(crate) fn welcome(&mut self, welcome: &Welcome) {
        let mut out = Vec::new();
        welcome.write(&mut out);
        self.send(&out);
    }

    /// Reads the next request, and replies to Opens in front of it.
    pub(crate) fn request(&mut self) -> Asked {
        self.request_and_open().1
    }

    /// Reads the next request, and returns it with the Open in front of it, if there is one.
    pub(crate) fn request_and_open(&mut self) -> (Option<Asked>, Asked) {
        let mut open = None;
        loop {
            let asked = self.next().expect("a request");
            if !matches!(asked.op(), Op::Session(SessionOp::Open { .. })) {
                return (open, asked);
            }
            self.reply(&asked, &Reply::Unit);
            open = Some(asked);
        }
    }

    pub(crate) fn reply(&mut self, to: &Asked, reply: &Reply<'_>) {
        let mut out = Vec::new();
        frame::write_reply(&mut out, &to.header, Ok(reply));
        self.send(&out);
    }

    pub(crate) fn refuse(&mut self, to: &Asked, refusal: impl Into<Refusal>) {
        let mut out = Vec::new();
        frame::write_reply(&mut out, &to.header, Err(&refusal.into()));
        self.send(&out);
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Replies to requests with their number, until the client closes the connection. Returns how
    /// many there were.
    pub(crate) fn serve(&mut self) -> u64 {
        let mut served = 0;
        while let Some(asked) = self.next() {
            match asked.op() {
                Op::Session(_) => self.reply(&asked, &Reply::Unit),
                _ => {
                    served += 1;
                    let number = i64::try_from(asked.header.number).unwrap();
                    self.reply(&asked, &Reply::Int(number));
                }
            }
        }
        served
    }
}

impl Asked {
    pub(crate) fn body(&self) -> &[u8] {
        match frame::next(bytemuck::cast_slice(&self.words), FRAME_BYTES_MAX) {
            Ok(Next::Frame(frame)) => frame.body,
            other => panic!("a frame is still a frame: {other:?}"),
        }
    }

    /// The name in front of the op.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = self.header.flags & flags::NAMED != 0;
        named.then(|| named::split(self.body()).expect("the client sends names").0)
    }

    pub(crate) fn op(&self) -> Op<'_> {
        let body = match self.header.flags & flags::NAMED {
            0 => self.body(),
            _ => named::split(self.body()).expect("the client sends names").1,
        };
        Op::decode(self.header.op, body).expect("the client sends archives")
    }

    /// Session and number.
    pub(crate) fn ticket(&self) -> (u64, u64) {
        (self.header.session, self.header.number)
    }
}

pub(crate) fn fault(status: Status, expected: u64) -> Fault {
    Fault::expected(status, expected, 0)
}

/// A name of an object whose shard is `shard` of `shards`.
pub(crate) fn name_in(shard: u16, shards: u32) -> String {
    let map = ShardMap::new(shards, 1).unwrap();
    let names = (0..).map(|n| format!("object {n}"));
    names.into_iter().find(|name| map.shard_of(ObjectId::of(name)).0 == shard).unwrap()
}
