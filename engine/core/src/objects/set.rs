//! Byte strings, each at most once, in the order of their bytes.

use alloc::collections::BTreeMap;
use alloc::format;

use catena_protocol::limits::KEY_BYTES_MAX;
use catena_protocol::op::{ScanWhat, SetOp};
use catena_protocol::{Fault, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::byte_string::ByteString;
use super::discarded::DiscardedItems;
use super::kind::{Growth, ItemPlace, ObjectKind, SharedObject, read_some, write_some};
use super::map::{behind, range, scan_page};
use super::state::check;
use super::tree::tree_bytes;
use super::{Applied, Description, Reader, Turn, Writer, check_len};
use crate::config::FILTERED_MAX;

/// A set; empty before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Set {
    members: BTreeMap<ByteString, ()>,
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
            SetOp::Contains { bytes } => Reply::Bool(self.members.contains_key(bytes)),
            SetOp::ContainsAll { items } => {
                Reply::Bool(items.iter().all(|member| self.members.contains_key(member)))
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
            SetOp::Remove { bytes } => self.remove(bytes),
            SetOp::RemoveAll { items } => items.iter().for_each(|member| self.remove(member)),
            SetOp::RetainAll { items } => {
                let mut stay = BTreeMap::new();
                self.member_bytes = 0;
                for member in items.iter() {
                    if let Some((member, ())) = self.members.remove_entry(member) {
                        self.member_bytes += cost(&member);
                        stay.insert(member, ());
                    }
                }
                turn.discard(DiscardedItems::Set(core::mem::replace(&mut self.members, stay)));
            }
            SetOp::Clear => {
                self.member_bytes = 0;
                turn.discard(DiscardedItems::Set(core::mem::take(&mut self.members)));
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
        for member in self.members.keys() {
            check(member.len() <= KEY_BYTES_MAX, "a member is too large")?;
            self.member_bytes += cost(member);
        }
        Ok(())
    }
}

impl SharedObject for Set {
    fn describe(&self) -> Description {
        Description { detail: format!("{} members", self.members.len()), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        let members = tree_bytes::<ByteString, ()>(self.members.len());
        size_of::<Set>() as u64 + members + self.member_bytes
    }

    fn has_items(&self) -> bool {
        true
    }

    fn write_without_items(&self, out: &mut Writer) {
        out.put(&Set::default());
    }

    fn write_items(&self, after: Option<&ItemPlace>, out: &mut Writer) -> Option<ItemPlace> {
        let members = behind(&self.members, after).map(|(member, ())| member);
        let last = write_some(members, out, |member, out| out.put(member));
        last.map(|member| ItemPlace::Key(member.to_vec()))
    }

    fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        read_some(input, |input| {
            let member: ByteString = input.take()?;
            check(member.len() <= KEY_BYTES_MAX, "a member is too large")?;
            self.member_bytes += cost(&member);
            let is_new = self.members.insert(member, ()).is_none();
            check(is_new, "a member of a set is listed twice")
        })
    }
}

impl Set {
    /// Takes the members of a set that is deleted.
    pub(super) fn into_items(self) -> DiscardedItems {
        DiscardedItems::Set(self.members)
    }

    fn add(&mut self, member: &[u8]) {
        if !self.members.contains_key(member) {
            let member = ByteString::from(member);
            self.member_bytes += cost(&member);
            self.members.insert(member, ());
        }
    }

    fn remove(&mut self, member: &[u8]) {
        if let Some((member, ())) = self.members.remove_entry(member) {
            self.member_bytes -= cost(&member);
        }
    }
}

/// Returns the heap of a member beyond its place in the tree, in bytes.
fn cost(member: &ByteString) -> u64 {
    member.heap_bytes()
}
