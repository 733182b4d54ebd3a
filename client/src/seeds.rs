//! Where to find a node: several addresses and places of records.

use std::net::SocketAddr;
use std::time::Instant;

use crate::config::Config;
use crate::node::share;
use crate::register::Seed;

/// Where to find the node: `host:port` and places where a cluster keeps its record, one or several.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(Vec<Seed>);

impl Seeds {
    /// Splits a list at its commas.
    pub(crate) fn parse(list: &str) -> Seeds {
        Seeds(list.split(',').map(|seed| Seed::new(seed.trim())).collect())
    }

    /// The addresses in a cluster's record.
    #[cfg(feature = "register")]
    pub(crate) fn in_record(record: &str) -> std::io::Result<Seeds> {
        let names = crate::register::names_in(record)?;
        Ok(Seeds(names.iter().map(|name| Seed::new(name)).collect()))
    }

    /// Resolves all of them. Seeds that do not resolve are left out, as long as others do.
    pub(crate) fn addresses(
        &mut self,
        config: &Config,
        deadline: Instant,
    ) -> std::io::Result<Vec<SocketAddr>> {
        let (mut addresses, mut failure) = (Vec::new(), None);
        let count = self.0.len();
        for (nth, seed) in self.0.iter_mut().enumerate() {
            match seed.addresses(config, share(deadline, count - nth)) {
                Ok(found) => addresses.extend(found),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }
}
