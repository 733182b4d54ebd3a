//! The thesis's shared number, a user-defined type: one multiplication of it is the *simple*
//! operation, ten thousand are the *complex* one.

use catena_engine::rkyv::{Archive, Archived, Serialize};
use catena_engine::{BadSnapshot, Context, Object, Rejection, UserType};

/// A number that is multiplied.
#[derive(Debug)]
pub(crate) struct Multiplied(f64);

/// Multiplies it `times` times by `factor`, one multiplication after the other.
#[derive(Archive, Serialize, Clone, Copy, Debug)]
#[rkyv(crate = catena_engine::rkyv)]
pub(crate) struct Multiply {
    pub(crate) factor: f64,
    pub(crate) times: u32,
}

/// The complex operation.
pub(crate) const COMPLEX_TIMES: u32 = 10_000;

/// An operation holds up its core, so its length is bounded.
const TIMES_MAX: u32 = 1_000_000;
const TOO_LONG: Rejection = Rejection(1);

impl UserType for Multiplied {
    const TYPE_ID: u32 = 1;
    const NAME: &'static str = "multiplied number";
    type Op = Multiply;
    type Reply = f64;
}

impl Default for Multiplied {
    fn default() -> Multiplied {
        Multiplied(1.0)
    }
}

impl Object for Multiplied {
    fn check(&self, op: &Archived<Multiply>) -> Result<(), Rejection> {
        if op.times.to_native() > TIMES_MAX { Err(TOO_LONG) } else { Ok(()) }
    }

    fn apply(&mut self, op: &Archived<Multiply>, _: &mut Context) -> f64 {
        let factor = op.factor.to_native();
        // Floats, because the compiler must not contract the loop: each product is rounded.
        for _ in 0..op.times.to_native() {
            self.0 *= factor;
        }
        self.0
    }

    fn read(&self, _: &Archived<Multiply>) -> Result<f64, Rejection> {
        Ok(self.0)
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn restore(bytes: &[u8]) -> Result<Multiplied, BadSnapshot> {
        let number = bytes.try_into().map_err(|_| BadSnapshot("a number"))?;
        Ok(Multiplied(f64::from_le_bytes(number)))
    }

    fn describe(&self) -> String {
        self.0.to_string()
    }
}
