//! How much goes wrong.

use super::cluster::Fate;
use super::random::Chance;

/// Of a thousand messages, accesses or turns (five a second), how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Messages that are lost …
    pub(super) lost: u64,
    /// … those with a record in particular …
    pub(super) record_lost: u64,
    /// … that arrive twice …
    pub(super) repeated: u64,
    /// … or up to three seconds late.
    pub(super) late: u64,
    /// Links cut, in one direction or both, for up to four seconds.
    pub(super) cut: u64,
    /// Nodes that do not run for up to three seconds.
    pub(super) paused: u64,
    /// Nodes whose cores do not look at what they are told for up to five seconds.
    pub(super) stuck: u64,
    /// The same at the moment of a proposal.
    pub(super) stuck_then: u64,
    /// Nodes that end without a word; they come back.
    pub(super) crashed: u64,
    /// Suspicions without a reason: links, stalls, operators, nodes that leave.
    pub(super) suspected: u64,
    /// Accesses to the register that do not reach it …
    pub(super) access_lost: u64,
    /// … whose answer is lost …
    pub(super) answer_lost: u64,
    /// … that arrive up to four seconds late …
    pub(super) access_late: u64,
    /// … that somebody on the way repeats, so that the answer is that to the repetition …
    pub(super) access_repeated: u64,
    /// … or that are refused unseen, or not allowed.
    pub(super) conflict: u64,
    /// Nodes that do not reach the register for up to six seconds.
    pub(super) outage: u64,
    /// Changes upon which some nodes are cut off from the others and from the register for seconds.
    pub(super) ambushed: u64,
    /// Changes after which a node, the new one if there is one, removes whomever it can.
    pub(super) purged: u64,
    /// Proposals that arrive late, while their sender restarts.
    pub(super) amnesia: u64,
}

impl Faults {
    /// Another mixture for every seed, so that none hides what another would show; and often one that
    /// does nothing but attack where it hurts.
    pub(super) fn random(chance: &mut Chance) -> Faults {
        let attack = Faults { purged: 500, ambushed: 700, ..Faults::default() };
        match chance.between(0, 5) {
            0 => Faults { record_lost: 950, ..attack },
            1 => Faults { access_repeated: 500, ..attack },
            2 => Faults { amnesia: 700, ..attack },
            _ => Faults::mixture(chance),
        }
    }

    fn mixture(chance: &mut Chance) -> Faults {
        let record_lost = chance.pick(&[0, 0, 300, 950]);
        let mut some = |most: u64| if chance.happens(500) { chance.between(0, most) } else { 0 };
        Faults {
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
            answer_lost: some(300),
            access_late: some(200),
            access_repeated: some(200),
            conflict: some(200),
            outage: some(20),
            ambushed: some(900),
            purged: some(900),
            amnesia: some(900),
        }
    }

    /// What becomes of a proposal.
    pub(super) fn fate(&self, chance: &mut Chance) -> Fate {
        if chance.happens(self.access_late) {
            Fate::Late(chance.between(20, 4_000))
        } else if chance.happens(self.conflict) {
            chance.pick(&[Fate::Conflict, Fate::Failed])
        } else if chance.happens(self.access_repeated) {
            Fate::Repeated
        } else {
            Fate::Plain
        }
    }
}
