//! Messages between nodes beside the data: small, and a few a second for each peer.

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

use crate::chain::record::{NodeInfo, Record};

/// A message between the control threads of two nodes, sent as JSON.
///
/// The transport names sender and recipient by their ids, and drops a message for another id,
/// because another incarnation of the node may have the same address. A message may be late, lost,
/// repeated or overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerMessage {
    /// Asks for a lease: the recipient shall not act in a later epoch without the sender until it
    /// expires.
    LeaseRequest {
        /// The sender's epoch. The sender has given up the leases of older ones.
        epoch: u32,
        /// The sender's clock when it asked, in microseconds.
        asked_at_us: u64,
        /// Whether the sender is active in that epoch: no lease of an older one holds any more.
        active: bool,
    },
    /// Grants a lease.
    Grant {
        /// The granter's epoch.
        epoch: u32,
        /// `asked_at_us` of the request.
        asked_at_us: u64,
    },
    /// The newest record that the sender knows.
    Config(Box<Record>),
    /// Tells the recipient that it is not a member of this record.
    NotMember(Box<Record>),
    /// Asks to join. It is sent to the tail of all chains, which is the source of the state
    /// transfer, and to the first member, which aligns the chains so that there is such a tail.
    Join {
        /// The epoch of the record that the sender follows.
        epoch: u32,
        /// Whether the sender's cores are ready to receive.
        ready: bool,
        /// Whether the state transfer to the sender broke off.
        lost: bool,
        /// The sender's name and addresses.
        info: NodeInfo,
    },
    /// The tail's reply to each [`PeerMessage::Join`]: it is the source of the sender's state
    /// transfer.
    Sync {
        /// The epoch of both.
        epoch: u32,
    },
    /// The reply to [`PeerMessage::Join`] of a member that does not sync the sender now: the sender
    /// has to wait. If the member did before, it does not append the sender in this epoch.
    Wait {
        /// The epoch of both.
        epoch: u32,
    },
    /// Asks the recipient to accept no more updates in this epoch, and to reply when all members
    /// have those that it accepted. The first member is about to reorder the chains.
    #[serde(rename = "rest")]
    Quiesce {
        /// The epoch of both.
        epoch: u32,
    },
    /// The reply to each [`PeerMessage::Quiesce`]: the sender accepts no updates, and all members
    /// have those that it accepted. It holds until the epoch ends.
    #[serde(rename = "at_rest")]
    Quiesced {
        /// The epoch of both.
        epoch: u32,
    },
    /// Asks the recipient to remove the sender, which is to stop or cannot continue.
    Leaving,
    /// The sender is not a member in this epoch, and its cores have left all epochs before it: the
    /// leases that it was granted there are over.
    Left {
        /// The epoch.
        epoch: u32,
    },
}

impl PeerMessage {
    /// Returns the epoch that the sender says it is in; [`None`] for records, which are checked as
    /// a whole.
    pub(super) fn epoch(&self) -> Option<u32> {
        match *self {
            PeerMessage::LeaseRequest { epoch, .. }
            | PeerMessage::Grant { epoch, .. }
            | PeerMessage::Join { epoch, .. }
            | PeerMessage::Sync { epoch }
            | PeerMessage::Wait { epoch }
            | PeerMessage::Quiesce { epoch }
            | PeerMessage::Quiesced { epoch }
            | PeerMessage::Left { epoch } => Some(epoch),
            PeerMessage::Config(_) | PeerMessage::NotMember(_) | PeerMessage::Leaving => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_message_is_fixed() {
        let info = NodeInfo {
            name: "a".into(),
            peer: ([127, 0, 0, 1], 1).into(),
            clients: [([127, 0, 0, 1], 2).into()].into(),
            az: None,
        };
        let lease = |epoch| PeerMessage::LeaseRequest { epoch, asked_at_us: 7, active: true };
        let join = PeerMessage::Join { epoch: 2, ready: true, lost: false, info };
        let messages = [
            (lease(1), r#"{"lease_request":{"epoch":1,"asked_at_us":7,"active":true}}"#),
            (
                PeerMessage::Grant { epoch: 1, asked_at_us: 7 },
                r#"{"grant":{"epoch":1,"asked_at_us":7}}"#,
            ),
            (
                join,
                concat!(
                    r#"{"join":{"epoch":2,"ready":true,"lost":false,"info":{"name":"a","#,
                    r#""peer":"127.0.0.1:1","clients":["127.0.0.1:2"]}}}"#
                ),
            ),
            (PeerMessage::Sync { epoch: 3 }, r#"{"sync":{"epoch":3}}"#),
            (PeerMessage::Wait { epoch: 3 }, r#"{"wait":{"epoch":3}}"#),
            (PeerMessage::Quiesce { epoch: 4 }, r#"{"rest":{"epoch":4}}"#),
            (PeerMessage::Quiesced { epoch: 4 }, r#"{"at_rest":{"epoch":4}}"#),
            (PeerMessage::Leaving, r#""leaving""#),
            (PeerMessage::Left { epoch: 5 }, r#"{"left":{"epoch":5}}"#),
        ];
        for (message, json) in messages {
            assert_eq!(serde_json::to_string(&message).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<PeerMessage>(json).expect("a message"), message);
        }
    }
}
