//! The connections of a core, by their ids.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;

use super::conn::Conn;
use crate::config::CONNECTIONS_MAX;
use catena_core::shard::ConnId;

/// The connections of a core.
#[derive(Default)]
pub(super) struct ConnTable {
    slots: RefCell<Slab<Rc<Conn>>>,
    /// Connections inserted so far: the upper half of the next id, so that no id is used twice.
    inserted: Cell<u64>,
}

/// The id of no connection: no core ever has that many.
pub(super) const NO_CONN: ConnId = ConnId::NONE;

/// Bits of an id that are the connection's slot.
const SLOT_BITS: u32 = 20;
const _: () = assert!(CONNECTIONS_MAX <= 1 << SLOT_BITS);

impl ConnTable {
    pub(super) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Inserts the connection that `make` creates for an id.
    pub(super) fn insert(&self, make: impl FnOnce(ConnId) -> Conn) -> Rc<Conn> {
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let generation = self.inserted.replace(self.inserted.get() + 1);
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

    /// Returns the connection with the most unsent replies, of those that are not broken.
    pub(super) fn most_unsent(&self) -> Option<Rc<Conn>> {
        let slots = self.slots.borrow();
        let conns = slots.iter().map(|(_, conn)| conn).filter(|conn| !conn.is_broken());
        conns.max_by_key(|conn| conn.unsent_bytes()).filter(|conn| conn.unsent_bytes() > 0).cloned()
    }

    pub(super) fn for_each(&self, act: impl Fn(&Conn)) {
        self.slots.borrow().iter().for_each(|(_, conn)| act(conn));
    }
}

fn slot(conn: ConnId) -> usize {
    usize::try_from(conn.0 & ((1 << SLOT_BITS) - 1)).expect("20 bits")
}
