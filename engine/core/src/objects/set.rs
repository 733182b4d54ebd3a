//! Byte strings, each at most once, in the order of their bytes.

use alloc::format;
use alloc::vec::Vec;

use catena_protocol::limits::KEY_BYTES_MAX;
use catena_protocol::op::{ScanWhat, SetOp};
use catena_protocol::{Fault, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::byte_string::ByteString;
use super::discarded::DiscardedItems;
use super::entries::{Entries, cost};
use super::kind::{Growth, ObjectKind, SharedObject};
use super::map::{range, scan_page};
use super::state::check;
use super::walked_items::{WalkedItems, read_some};
use super::{Applied, Description, Reader, Turn, Writer, check_len};
use crate::config::FILTERED_MAX;

/// A set; empty before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Set {
    members: Entries<()>,
    /// Bytes that the members take.
    #[serde(skip)]
    member_bytes: u64,
}

impl ObjectKind for Set {
    type Op<'o> = SetOp<'o>;

    fn growth(op: &SetOp<'_>) -> Growth {
        match op {
            SetOp::AddAll { items } => Growth::Items(items.len()),
            SetOp::Remove { .. } | SetOp::RemoveAll { .. } | SetOp::RetainAll { .. } => {
                Growth::None
            }
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &SetOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        Ok(match *op {
            SetOp::Len => Reply::Number(self.members.len() as u64),
            SetOp::Contains { bytes } => Reply::Bool(self.members.contains(bytes)),
            SetOp::ContainsAll { items } => {
                Reply::Bool(items.iter().all(|member| self.members.contains(member)))
            }
            SetOp::Scan(ref scan) => {
                if scan.what != ScanWhat::Keys {
                    let (expected, got) = (ScanWhat::Keys.to_wire(), scan.what.to_wire());
                    let fault = Fault::expected(Status::BadArgument, expected.into(), got.into());
                    return Err(fault.into());
                }
                let members = range(&self.members, scan).map(|(member, ())| (&**member, &[][..]));
                scan_page(members, scan)
            }
            _ => unreachable!("{op:?} is not a read"),
        })
    }

    fn check(&self, op: &SetOp<'_>) -> Result<(), Refusal> {
        let check = |member: &[u8]| check_len(member.len(), KEY_BYTES_MAX);
        match *op {
            SetOp::Add { bytes } => check(bytes)?,
            SetOp::AddAll { items } => items.iter().try_for_each(check)?,
            SetOp::RetainAll { .. } => check_len(self.members.len(), FILTERED_MAX)?,
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, op: &SetOp<'_>, turn: &mut Turn<'_>) -> Applied {
        let before = self.members.len();
        match *op {
            SetOp::Add { bytes } => self.add(bytes),
            SetOp::AddAll { items } => items.iter().for_each(|member| self.add(member)),
            SetOp::Remove { bytes } => _ = self.take_out(bytes),
            SetOp::RemoveAll { items } => items.iter().for_each(|member| _ = self.take_out(member)),
            SetOp::RetainAll { items } => {
                let mut stay = Vec::new();
                for member in items.iter() {
                    stay.extend(self.take_out(member));
                }
                turn.discard(self.take_all());
                stay.into_iter().for_each(|member| self.put(member));
            }
            SetOp::Clear => {
                turn.discard(self.take_all());
            }
            SetOp::Len | SetOp::Contains { .. } | SetOp::ContainsAll { .. } | SetOp::Scan(_) => {
                unreachable!("a read is not applied")
            }
        }
        let changed = before.abs_diff(self.members.len());
        if changed == 0 {
            turn.unchanged();
        }
        turn.done(&match op {
            SetOp::Add { .. } | SetOp::Remove { .. } => Reply::Bool(changed == 1),
            _ => Reply::Number(changed as u64),
        })
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        for (member, ()) in self.members.iter() {
            check(member.len() <= KEY_BYTES_MAX, "a member is too large")?;
            self.member_bytes += cost(member, &());
        }
        Ok(())
    }
}

impl SharedObject for Set {
    fn describe(&self) -> Description {
        Description { detail: format!("{} members", self.members.len()), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        size_of::<Set>() as u64 + self.members.table_bytes() + self.member_bytes
    }

    fn items(&self) -> Option<&dyn WalkedItems> {
        Some(&self.members)
    }

    fn items_mut(&mut self) -> Option<&mut dyn WalkedItems> {
        Some(&mut self.members)
    }

    fn write_without_items(&self, out: &mut Writer) {
        out.put(&Set::default());
    }

    fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        read_some(input, |input| {
            let member: ByteString = input.take()?;
            check(member.len() <= KEY_BYTES_MAX, "a member is too large")?;
            self.member_bytes += cost(&member, &());
            let is_new = self.members.insert(member, ()).is_none();
            check(is_new, "a member of a set is listed twice")
        })
    }
}

impl Set {
    /// Takes the members of a set that is deleted.
    pub(super) fn into_items(self) -> DiscardedItems {
        DiscardedItems::Set(self.members.into_map())
    }

    fn add(&mut self, member: &[u8]) {
        if !self.members.contains(member) {
            self.put(member.into());
        }
    }

    /// Adds a member that it does not have.
    fn put(&mut self, member: ByteString) {
        self.member_bytes += cost(&member, &());
        self.members.insert(member, ());
    }

    fn take_out(&mut self, member: &[u8]) -> Option<ByteString> {
        let (member, ()) = self.members.remove(member)?;
        self.member_bytes -= cost(&member, &());
        Some(member)
    }

    fn take_all(&mut self) -> DiscardedItems {
        DiscardedItems::Set(self.members.take(core::mem::take(&mut self.member_bytes)))
    }
}
