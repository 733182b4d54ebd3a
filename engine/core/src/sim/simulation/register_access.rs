//! What nodes ask of the register, and what happens to it on the way.

use super::*;
use alloc::format;

impl Simulation {
    pub(super) fn send_to_register(&mut self, node: NodeId, request: RegisterRequest) {
        let there = self.random.between(1_000, 60_000);
        let reply_lost = self.occurs(self.profile.reply_lost);
        if self.outage {
            let (at, failed) = (self.now + there, failure(&request, false));
            return self.at(at, SimEvent::RegisterReplies { node, reply: failed });
        }
        if self.slow_writes && !matches!(request, RegisterRequest::Read) {
            let landed = self.now + self.random.between(500_000, 8_000_000);
            let given_up = self.now + REGISTER_PATIENCE_US;
            let is_in_time = landed < given_up;
            if !is_in_time {
                let reply = failure(&request, true);
                self.at(given_up, SimEvent::RegisterReplies { node, reply });
            }
            return self.at(landed, SimEvent::AtRegister { node, request, replies: is_in_time });
        }
        if let RegisterRequest::Cas(..) = &request {
            if self.occurs(self.profile.landed_late) {
                // The request arrives after its sender has given up waiting for the reply.
                let late = self.now + there + self.random.below(8_000_000);
                let given_up = self.now + REGISTER_PATIENCE_US;
                let unknown = failure(&request, true);
                self.at(given_up, SimEvent::RegisterReplies { node, reply: unknown });
                return self.at(late, SimEvent::AtRegister { node, request, replies: false });
            }
            if self.occurs(self.profile.repeated) {
                // An intermediary retries it, and only the reply to the retry arrives.
                let first = self.now + there;
                self.at(
                    first,
                    SimEvent::AtRegister { node, request: request.clone(), replies: false },
                );
                let second = first + self.random.between(1, 500_000);
                return self.at(second, SimEvent::AtRegister { node, request, replies: true });
            }
        }
        if reply_lost {
            let given_up = self.now + REGISTER_PATIENCE_US;
            let unknown = failure(&request, true);
            self.at(given_up, SimEvent::RegisterReplies { node, reply: unknown });
            if self.random.per_mille(300) {
                return;
            }
        }
        let at = self.now + there;
        self.at(at, SimEvent::AtRegister { node, request, replies: !reply_lost });
    }

    pub(super) fn at_register(&mut self, node: NodeId, request: &RegisterRequest, replies: bool) {
        let reply = match request {
            RegisterRequest::Read => RegisterReply::Read(self.register.read()),
            RegisterRequest::Probe => RegisterReply::Probed(true),
            RegisterRequest::Cas(token, record) => {
                let outcome = self.register.cas(token.as_ref(), record);
                self.trace.words([3, u64::from(record.epoch), low(node)]);
                self.trace.print(self.now, || {
                    format!(
                        "{node}'s record of epoch {}: {outcome:?}: {:?}",
                        record.epoch, record.change
                    )
                });
                RegisterReply::Cas(record.change.id, outcome)
            }
        };
        if replies {
            let at = self.now + self.random.between(1_000, 60_000);
            self.at(at, SimEvent::RegisterReplies { node, reply });
        }
    }
}
