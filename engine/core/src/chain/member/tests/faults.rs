//! The rates of faults.

use super::cluster::ProposalFate;
use super::random::TestRandom;

/// How many of a thousand messages, requests or intervals (five a second) have a fault.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultRates {
    /// Messages that are lost.
    pub(super) lost: u64,
    /// Messages with a record that are lost.
    pub(super) record_lost: u64,
    /// Messages that arrive twice.
    pub(super) repeated: u64,
    /// Messages that are up to three seconds late.
    pub(super) late: u64,
    /// Links that are cut, in one direction or both, for up to four seconds.
    pub(super) cut: u64,
    /// Nodes that are paused for up to three seconds.
    pub(super) paused: u64,
    /// Nodes whose cores take no views for up to five seconds.
    pub(super) stuck: u64,
    /// The same at the moment of a proposal.
    pub(super) stuck_then: u64,
    /// Nodes that crash and start again.
    pub(super) crashed: u64,
    /// Suspicions without a reason: links, stalls, operators, nodes that leave.
    pub(super) suspected: u64,
    /// Requests to the register that are lost.
    pub(super) access_lost: u64,
    /// Requests whose reply is lost.
    pub(super) reply_lost: u64,
    /// Requests that are up to four seconds late.
    pub(super) access_late: u64,
    /// Requests that an intermediary retries, so that the reply is that to the retry.
    pub(super) access_repeated: u64,
    /// Requests that are refused without being compared, or not permitted.
    pub(super) conflict: u64,
    /// Nodes that do not reach the register for up to six seconds.
    pub(super) outage: u64,
    /// Changes after which some nodes are cut off from the others and from the register for
    /// seconds.
    pub(super) isolated_after_change: u64,
    /// Changes after which a node, the new one if there is one, removes all others.
    pub(super) removed_after_change: u64,
    /// Proposals to append that arrive late, after their sender restarts.
    pub(super) restarted_during_append: u64,
}

impl FaultRates {
    /// Draws rates for a seed. The seeds differ, so that no fault hides what another would show;
    /// and some only attack the most vulnerable moments.
    pub(super) fn random(random: &mut TestRandom) -> FaultRates {
        let attack = FaultRates {
            removed_after_change: 500,
            isolated_after_change: 700,
            ..FaultRates::default()
        };
        match random.between(0, 5) {
            0 => FaultRates { record_lost: 950, ..attack },
            1 => FaultRates { access_repeated: 500, ..attack },
            2 => FaultRates { restarted_during_append: 700, ..attack },
            _ => FaultRates::mixture(random),
        }
    }

    fn mixture(random: &mut TestRandom) -> FaultRates {
        let record_lost = random.pick(&[0, 0, 300, 950]);
        let mut some = |most: u64| if random.happens(500) { random.between(0, most) } else { 0 };
        FaultRates {
            lost: some(300),
            record_lost,
            repeated: some(200),
            late: some(100),
            cut: some(30),
            paused: some(15),
            stuck: some(15),
            stuck_then: some(300),
            crashed: some(8),
            suspected: some(40),
            access_lost: some(150),
            reply_lost: some(300),
            access_late: some(200),
            access_repeated: some(200),
            conflict: some(200),
            outage: some(20),
            isolated_after_change: some(900),
            removed_after_change: some(900),
            restarted_during_append: some(900),
        }
    }

    /// Draws what happens to a proposal.
    pub(super) fn fate(&self, random: &mut TestRandom) -> ProposalFate {
        if random.happens(self.access_late) {
            ProposalFate::Late(random.between(20, 4_000))
        } else if random.happens(self.conflict) {
            random.pick(&[ProposalFate::Conflict, ProposalFate::Failed])
        } else if random.happens(self.access_repeated) {
            ProposalFate::Repeated
        } else {
            ProposalFate::Plain
        }
    }
}
