//! A user-defined type for fuzz runs: it stores numbers, refuses some, and has short, long and too
//! long replies.

use alloc::vec;
use alloc::vec::Vec;
use catena_protocol::UserType;
use catena_protocol::rkyv::Archived;

use crate::config::STORED_REPLY_BYTES_MAX;
use crate::objects::user::{BadSnapshot, Context, Object, Rejection};

/// The numbers. Types of all ids are alike.
#[derive(Default)]
pub(super) struct Tally<const ID: u32> {
    numbers: Vec<i64>,
}

impl<const ID: u32> UserType for Tally<ID> {
    const TYPE_ID: u32 = ID;
    const NAME: &'static str = "tally";
    type Op = i64;
    type Reply = Vec<u8>;
}

/// Returns the length of a reply.
fn len(number: i64) -> usize {
    [0, 4, 12, 900, STORED_REPLY_BYTES_MAX][usize::from(number.rem_euclid(5).to_le_bytes()[0])]
}

impl<const ID: u32> Object for Tally<ID> {
    fn check(&self, op: &Archived<i64>) -> Result<(), Rejection> {
        match op.to_native() {
            number @ -20..0 => Err(Rejection(number.unsigned_abs())),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &Archived<i64>, context: &mut Context) -> Vec<u8> {
        match op.to_native() {
            number if number % 7 == 0 => context.unchanged(),
            number if number % 11 == 0 => self.numbers.clear(),
            number => self.numbers.push(number),
        }
        vec![7; len(op.to_native())]
    }

    fn read(&self, op: &Archived<i64>) -> Result<Vec<u8>, Rejection> {
        self.check(op)?;
        Ok(self.numbers.iter().map(|number| number.to_le_bytes()[0]).collect())
    }

    fn reply_bytes_max(&self, op: &Archived<i64>) -> usize {
        // Half of the ops do not announce the length.
        if op.to_native() % 2 == 0 { len(op.to_native()) + 16 } else { 0 }
    }

    fn bytes(&self) -> u64 {
        self.numbers.len() as u64 * 8
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn restore(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let (numbers, []) = bytes.as_chunks() else { return Err(BadSnapshot("whole numbers")) };
        Ok(Tally { numbers: numbers.iter().map(|number| i64::from_le_bytes(*number)).collect() })
    }
}
