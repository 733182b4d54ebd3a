//! What nodes ask of the register, and what becomes of it on the way.

use super::*;
use alloc::format;

impl World {
    pub(super) fn ask_register(&mut self, node: NodeId, ask: Ask) {
        let there = self.random.between(1_000, 60_000);
        let unanswered = self.mishap(self.swarm.unanswered);
        if self.outage {
            let (at, failed) = (self.now + there, failure(&ask, false));
            return self.at(at, Event::RegisterSays { node, said: failed });
        }
        if let Ask::Cas(..) = &ask {
            if self.mishap(self.swarm.landed_late) {
                // The request is on its way for longer than anybody waits for the answer.
                let late = self.now + there + self.random.below(8_000_000);
                let given_up = self.now + REGISTER_PATIENCE_US;
                let unknown = failure(&ask, true);
                self.at(given_up, Event::RegisterSays { node, said: unknown });
                return self.at(late, Event::AtRegister { node, ask, answer: false });
            }
            if self.mishap(self.swarm.repeated) {
                // Somebody in between sends it once more, and only the second answer is heard.
                let first = self.now + there;
                self.at(first, Event::AtRegister { node, ask: ask.clone(), answer: false });
                let second = first + self.random.between(1, 500_000);
                return self.at(second, Event::AtRegister { node, ask, answer: true });
            }
        }
        if unanswered {
            let given_up = self.now + REGISTER_PATIENCE_US;
            let unknown = failure(&ask, true);
            self.at(given_up, Event::RegisterSays { node, said: unknown });
            if self.random.per_mille(300) {
                return;
            }
        }
        let at = self.now + there;
        self.at(at, Event::AtRegister { node, ask, answer: !unanswered });
    }

    pub(super) fn at_register(&mut self, node: NodeId, ask: &Ask, answer: bool) {
        let said = match ask {
            Ask::Read => Said::Read(self.register.read()),
            Ask::Cas(token, record) => {
                let outcome = self.register.cas(token.as_ref(), record);
                self.trace.words([3, u64::from(record.epoch), low(node)]);
                self.trace.say(self.now, || {
                    format!(
                        "{node}'s record of epoch {}: {outcome:?}: {:?}",
                        record.epoch, record.change
                    )
                });
                Said::Cas(record.change.id, outcome)
            }
        };
        if answer {
            let at = self.now + self.random.between(1_000, 60_000);
            self.at(at, Event::RegisterSays { node, said });
        }
    }
}
