//! A proxy between clients and an engine that cuts connections at random.
//!
//! It listens on the engine's port at another loopback address, so that the port in the engine's
//! Welcome also leads to the proxy.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cuts: Arc<AtomicU64>,
    /// Both ends of all connections.
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

/// Random numbers that depend only on the seed.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(SplitMix64::seed_from_u64(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }
}

impl Proxy {
    /// Starts a proxy for `engine` that cuts each direction of each connection after up to
    /// `bytes_max`.
    pub(crate) fn start(engine: SocketAddr, seed: u64, bytes_max: u64) -> Proxy {
        // Proxies of earlier tests still listen, perhaps on the same port.
        let places = (2..=254).map(|host| IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)));
        let mut listeners =
            places.filter_map(|place| TcpListener::bind((place, engine.port())).ok());
        let listener = listeners.next().expect("the port is free at another address");
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&cuts);
        let streams = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&streams);
        std::thread::spawn(move || {
            let mut random = Random::new(seed);
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(node) = TcpStream::connect(engine) else { return };
                for stream in [&client, &node] {
                    stream.set_nodelay(true).unwrap();
                }
                all.lock()
                    .unwrap()
                    .extend([client.try_clone().unwrap(), node.try_clone().unwrap()]);
                let there = random.below(bytes_max);
                let back = random.below(bytes_max);
                let pump = |from: &TcpStream, to: &TcpStream, bytes| {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let cuts = Arc::clone(&count);
                    std::thread::spawn(move || pump(from, to, bytes, &cuts));
                };
                pump(&client, &node, there);
                pump(&node, &client, back);
            }
        });
        Proxy { address, cuts, streams }
    }

    /// Starts a proxy that cuts no connection by itself.
    pub(crate) fn calm(engine: SocketAddr) -> Proxy {
        // No client sends that much.
        Proxy::start(engine, 0, u64::MAX)
    }

    /// Cuts every connection that is open now.
    pub(crate) fn cut_all(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The number of cut connections.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Forwards this many bytes, then cuts the connection in both directions.
fn pump(mut from: TcpStream, mut to: TcpStream, mut bytes: u64, cuts: &AtomicU64) {
    let mut buffer = [0; 16 * 1024];
    let mut cut = false;
    while !cut {
        let received = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let passed = received.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        bytes -= passed as u64;
        cut = bytes == 0;
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
    }
    if cut {
        cuts.fetch_add(1, Ordering::Relaxed);
        // Sometimes lets the other direction deliver what is in flight.
        std::thread::sleep(Duration::from_micros(u64::from(buffer[63]) * 4));
    }
    for stream in [&from, &to] {
        _ = stream.shutdown(Shutdown::Both);
    }
}
