//! The connections of a core that have not said Hello, by age and by source.
//!
//! They are the ones that may be closed in favour of others: a client says Hello at once, so a
//! connection that stays here is most likely one that never will.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use catena_core::shard::ConnId;

/// The connections that have not said Hello. Ids grow with every connection, so the smallest is the
/// oldest.
#[derive(Default)]
pub(super) struct Newcomers {
    all: BTreeMap<ConnId, IpAddr>,
    by_source: BTreeMap<IpAddr, BTreeSet<ConnId>>,
}

impl Newcomers {
    pub(super) fn insert(&mut self, conn: ConnId, source: IpAddr) {
        self.all.insert(conn, source);
        self.by_source.entry(source).or_default().insert(conn);
    }

    /// Removes a connection that has said Hello or ended, if it is still here.
    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some(source) = self.all.remove(&conn) else { return };
        let of_source = self.by_source.get_mut(&source).expect("each is in both maps");
        of_source.remove(&conn);
        if of_source.is_empty() {
            self.by_source.remove(&source);
        }
    }

    /// Removes the oldest connection.
    pub(super) fn pop_oldest(&mut self) -> Option<ConnId> {
        let oldest = *self.all.first_key_value()?.0;
        self.remove(oldest);
        Some(oldest)
    }

    /// Removes the oldest connection of a source, if the source has at least `share`.
    pub(super) fn pop_oldest_of(&mut self, source: IpAddr, share: usize) -> Option<ConnId> {
        let of_source = self.by_source.get(&source)?;
        let oldest = *of_source.first().filter(|_| of_source.len() >= share)?;
        self.remove(oldest);
        Some(oldest)
    }
}

/// Returns what counts as one source: an IPv4 address, or the network of an IPv6 address, all of which
/// one host may have.
pub(super) fn source_of(from: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_oldest_goes_first_and_a_source_has_a_share() {
        let mut newcomers = Newcomers::default();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(ip);
        for (id, from) in [(1, one), (2, other), (3, one), (4, one), (5, other)] {
            newcomers.insert(ConnId(id), from);
        }
        assert_eq!(newcomers.pop_oldest_of(other, 3), None, "it has two");
        assert_eq!(newcomers.pop_oldest_of(other, 2), Some(ConnId(2)));
        assert_eq!(newcomers.pop_oldest(), Some(ConnId(1)));
        newcomers.remove(ConnId(3));
        newcomers.remove(ConnId(3));
        assert_eq!(newcomers.pop_oldest(), Some(ConnId(4)));
        assert_eq!(newcomers.pop_oldest(), Some(ConnId(5)));
        assert_eq!(newcomers.pop_oldest(), None);
        assert!(newcomers.by_source.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        assert_eq!(source_of(ip("2001:db8::1")), source_of(ip("2001:db8::ffff:2")));
        assert_ne!(source_of(ip("2001:db8:0:1::1")), source_of(ip("2001:db8:0:2::1")));
        assert_eq!(source_of(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
