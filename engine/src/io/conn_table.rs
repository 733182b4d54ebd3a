//! The connections of a core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;

use super::conn::Conn;
use crate::config::CONNECTIONS_MAX;
use catena_core::shard::ConnId;

/// The connections of a core.
#[derive(Default)]
pub(super) struct Conns {
    slots: RefCell<Slab<Rc<Conn>>>,
    /// How many there ever were: the upper half of the next id, so that no id is used twice.
    ever: Cell<u64>,
}

/// The id of no connection: no core ever has that many.
pub(super) const NOBODY: ConnId = ConnId(u64::MAX);

const SLOT_BITS: u32 = 20;
const _: () = assert!(CONNECTIONS_MAX <= 1 << SLOT_BITS);

impl Conns {
    pub(super) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    pub(super) fn insert(&self, make: impl FnOnce(ConnId) -> Conn) -> Rc<Conn> {
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let generation = self.ever.replace(self.ever.get() + 1);
        let conn = Rc::new(make(ConnId(generation << SLOT_BITS | entry.key() as u64)));
        entry.insert(conn).clone()
    }

    pub(super) fn remove(&self, conn: ConnId) {
        let removed = self.slots.borrow_mut().remove(slot(conn));
        assert_eq!(removed.id, conn, "a connection is removed once");
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<Rc<Conn>> {
        self.slots.borrow().get(slot(conn)).filter(|found| found.id == conn).cloned()
    }

    pub(super) fn for_each(&self, act: impl Fn(&Conn)) {
        self.slots.borrow().iter().for_each(|(_, conn)| act(conn));
    }
}

fn slot(conn: ConnId) -> usize {
    usize::try_from(conn.0 & ((1 << SLOT_BITS) - 1)).expect("20 bits")
}
