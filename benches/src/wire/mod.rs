//! What a load generator sends and understands, one file a protocol.

pub(crate) mod catena;
pub(crate) mod redis;

/// One connection's side of a protocol: requests out, replies in, in order.
pub(crate) trait Wire {
    /// Appends what has to be said before the first request, and takes the answer to it.
    fn greet(&mut self, socket: &mut std::net::TcpStream) -> anyhow::Result<()>;

    /// Appends one more request.
    fn request(&mut self, out: &mut Vec<u8>);

    /// Takes the next reply off the front of `bytes`; answers its length, or `None` if it is not
    /// all there.
    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>>;
}

/// Small and good enough numbers to spread requests over keys (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Spread(u64);

impl Spread {
    /// Different seeds give different sequences; 0 is as good as any.
    pub(crate) fn new(seed: u64) -> Spread {
        Spread(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        (high * end) >> 32
    }
}
