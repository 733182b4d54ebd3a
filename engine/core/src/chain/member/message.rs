//! What nodes say to each other beside the data: small and rare, a few a second and peer.

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

use crate::chain::record::{NodeInfo, Record};

/// A message between the control threads of two nodes.
///
/// Whoever carries it names sender and receiver by their ids, and drops it if the receiver is not
/// the one that it was meant for: at the same address there may be another life of the node. It may
/// be late, lost, repeated or overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerMessage {
    /// "I am in this epoch; promise not to act in a later one without me for the time of a lease."
    LeaseRequest {
        /// The sender's epoch: it uses no grant of an older one any more.
        epoch: u32,
        /// The sender's clock when it asked, in microseconds.
        asked_at_us: u64,
    },
    /// "I promise", with what was asked.
    Grant {
        /// The granter's epoch.
        epoch: u32,
        /// The asker's clock when it asked.
        asked_at_us: u64,
    },
    /// "This is the newest record I know."
    Config(Box<Record>),
    /// "You are not a member; see for yourself."
    NotMember(Box<Record>),
    /// "I am a node that wants in." To the tail of all chains, which teaches, and to the first member,
    /// which sees to it that there is such a tail.
    Join {
        /// The epoch of the record that the sender goes by.
        epoch: u32,
        /// Whether the sender's cores take what the receiver's send.
        ready: bool,
        /// How the sender is reached.
        info: NodeInfo,
    },
    /// "I will teach you." The tail's answer to [`PeerMessage::Join`], as often as that comes.
    Sync {
        /// The epoch of both.
        epoch: u32,
    },
    /// "I heard you; somebody will teach you when a place is free." The answer to
    /// [`PeerMessage::Join`] of a member that does not teach the sender now.
    Wait {
        /// The epoch of both.
        epoch: u32,
    },
    /// "Take no more updates in this epoch, and say when all members have what you took." The first
    /// member is about to change the order of the chains.
    Rest {
        /// The epoch of both.
        epoch: u32,
    },
    /// "I take none any more, and all members have what I took." The answer to [`PeerMessage::Rest`],
    /// as often as that comes; it holds until the epoch ends.
    AtRest {
        /// The epoch of both.
        epoch: u32,
    },
    /// "Remove me": the sender is told to stop, or cannot go on.
    Leaving,
}
