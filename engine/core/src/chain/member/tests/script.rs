//! Scenarios as data.
//!
//! A scenario is a list of steps, one a line. The state of the nodes after a step is given after
//! `=>`: for each running node its name, its epoch, and the members in the order of the chain, or
//! of each chain if they differ; whether it is a `learner`, `waits`, `acts` or `reads` as a member,
//! or is `removed`; `quiescing` if it accepts no updates, `stopped` if it has a proposal under way,
//! `gate c` if it appends `c`.
//!
//! ```text
//! found a                    # a node starts, and creates the cluster if there is none
//! join b                     # a node starts
//! restart a                  # a durable node crashes and starts again
//! crash a                    # a node crashes
//! until ab                   # wait until these are the members, and read; 20 s at most
//! after 100                  # milliseconds pass
//! cut a-b | cut a>b          # cut a link, in both directions or one; also `cut a-register`
//! heal                       # end all cuts and pauses
//! pause a 3000 | stick a 900 # a node, or its cores, do not run for some milliseconds
//! remove b at a              # an operator asks a to remove b
//! link b at a | stall b at a # a cannot connect to b, or gets no updates past it
//! behind b at a              # b lacks entries that a no longer keeps
//! leave a                    # a asks to be removed
//! rejoin a                   # an operator asks a to rejoin at once
//! reports TotalLoss 2        # so many such reports were made, by all nodes
//! spares b at a              # a knows these nodes that are no members, - for none
//! slow 5000                  # the register takes that many milliseconds longer to write
//! edit 1000                  # somebody changes the epoch of the record by hand
//! claim 1000 by a at b       # a tells b that it is in that epoch
//! next late 1500 | next unanswered | next repeated
//! next conflict | next failed # what happens to the next proposal
//! ```

use super::cluster::{Endpoint, ProposalFate, TestCluster, TestNode};
use super::{oracle, settings};
use crate::chain::member::{Member, PeerMessage};
use crate::chain::record::{NodeId, Settings};
use crate::chain::rules::Rules;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const MS: u64 = 1_000;
const WELL_MS_MAX: u64 = 20_000;

/// Runs a scenario with all rules, and compares what the nodes see.
pub(super) fn check(replicas: u32, steps: &str) {
    let settings = Settings { replicas, ..settings() };
    check_with(settings, Rules::default(), steps);
}

pub(super) fn check_with(settings: Settings, rules: Rules, steps: &str) {
    let mut script = ScenarioRunner { cluster: TestCluster::new(1, settings, rules) };
    script.cluster.fixed_delays = true;
    script.cluster.trace = Some(Vec::new());
    for line in steps.lines() {
        let line = line.split_once('#').map_or(line, |(line, _comment)| line).trim();
        if line.is_empty() {
            continue;
        }
        let (step, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = step.split_whitespace().collect();
        let done = script.step(&words);
        let trace = || script.cluster.trace.clone().unwrap_or_default().join("\n");
        if let Err(what) = done {
            panic!("\n{}\nafter `{}` of this scenario: {what}\n{steps}", trace(), step.trim());
        }
        let (got, expected) = (script.show(), expected.trim());
        if expected == "?" {
            println!("{} => {got}", step.trim());
        } else if !expected.is_empty() && got != expected {
            let step = step.trim();
            panic!(
                "\n{}\nafter `{step}`\n  got      {got}\n  expected {expected}\n{steps}",
                trace()
            );
        }
    }
}

struct ScenarioRunner {
    cluster: TestCluster,
}

impl ScenarioRunner {
    fn step(&mut self, words: &[&str]) -> Result<(), String> {
        let number = |word: &str| word.parse::<u64>().expect("a number");
        match *words {
            ["found", name] => self.start_later(name, true),
            ["join", name] => self.start_later(name, false),
            ["crash", name] => {
                let at = self.index(name);
                self.cluster.crash(at, None);
            }
            ["restart", name] => {
                let at = self.index(name);
                self.cluster.nodes[at].durable = true;
                self.cluster.crash(at, Some(0));
            }
            ["until", members] => {
                let is_so = |cluster: &TestCluster| {
                    chain(cluster) == members && oracle::is_healthy(cluster)
                };
                if !self.cluster.pass_until(WELL_MS_MAX * MS, is_so)? {
                    return Err(format!("the members never became {members}: {}", self.show()));
                }
            }
            ["after", ms] => self.cluster.pass(number(ms) * MS)?,
            ["cut", link] => self.cut(link),
            ["heal"] => self.cluster.end_faults(),
            ["pause", name, ms] => {
                let at = self.index(name);
                self.cluster.pause(at, number(ms) * MS);
            }
            ["stick", name, ms] => {
                let at = self.index(name);
                self.cluster.stick(at, number(ms) * MS);
            }
            ["remove", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.cluster.call(at, |member, now, out| {
                    member.on_remove(now, peer, out);
                });
            }
            ["link", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.cluster.call(at, |member, now, out| member.on_link(now, peer, false, out));
            }
            ["stall", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                let record = self.cluster.register.record().expect("there is a record");
                let chain = record.chains[0].iter().rev();
                let behind = chain.clone().position(|node| *node == peer).expect("a member");
                let behind = u32::try_from(behind).expect("few");
                self.cluster.call(at, |member, now, out| member.on_stall(now, peer, behind, out));
            }
            ["behind", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.cluster.call(at, |member, now, out| member.on_behind(now, peer, out));
            }
            ["leave", name] => {
                let at = self.index(name);
                self.cluster.call(at, Member::on_leave);
            }
            ["rejoin", name] => {
                let at = self.index(name);
                self.cluster.call(at, Member::on_rejoin);
            }
            ["reports", what, times] => {
                let trace = self.cluster.trace.iter().flatten();
                let count = trace.filter(|line| line.contains(what)).count();
                if count as u64 != number(times) {
                    return Err(format!("there were {count}"));
                }
            }
            ["spares", names, "at", name] => {
                let node = &self.cluster.nodes[self.index(name)];
                let member = node.member.as_ref().ok_or("it does not run")?;
                let spares = member.spares(node.clock(self.cluster.now_us));
                let known: String = spares.map(|(id, _, _)| self.name(id)).collect();
                if known != names.trim_matches('-') {
                    return Err(format!("it knows {known:?}"));
                }
            }
            ["slow", ms] => self.cluster.write_ms = number(ms),
            ["edit", epoch] => {
                self.cluster.register.edit(u32::try_from(number(epoch)).expect("an epoch"));
            }
            ["claim", epoch, "by", peer, "at", name] => {
                let (peer, at) = (self.id(peer), self.index(name));
                let epoch = u32::try_from(number(epoch)).expect("an epoch");
                let message = PeerMessage::LeaseRequest { epoch, asked_at_us: 0, active: false };
                self.cluster.call(at, |member, now, out| {
                    member.on_message(now, peer, message, out);
                });
            }
            ["next", "late", ms] => self.cluster.fates.push_back(ProposalFate::Late(number(ms))),
            ["next", "unanswered"] => self.cluster.fates.push_back(ProposalFate::ReplyLost),
            ["next", "repeated"] => self.cluster.fates.push_back(ProposalFate::Repeated),
            ["next", "conflict"] => self.cluster.fates.push_back(ProposalFate::Conflict),
            ["next", "failed"] => self.cluster.fates.push_back(ProposalFate::Failed),
            _ => panic!("no such step: {words:?}"),
        }
        Ok(())
    }

    fn start_later(&mut self, name: &str, founds: bool) {
        let name = name.chars().next().expect("a name");
        let at = self.cluster.nodes.iter().position(|node| node.name == name);
        let at = at.unwrap_or_else(|| self.cluster.add(name));
        self.cluster.start_later(at, founds);
    }

    fn cut(&mut self, link: &str) {
        let is_both = link.contains('-');
        let (one, other) = link.split_once(['-', '>']).expect("a link has two ends");
        let (one, other) = (self.place(one), self.place(other));
        self.cluster.cut(one, other, u64::MAX);
        if is_both {
            self.cluster.cut(other, one, u64::MAX);
        }
    }

    fn place(&self, name: &str) -> Endpoint {
        if name == "register" { Endpoint::Register } else { Endpoint::Node(self.index(name)) }
    }

    fn index(&self, name: &str) -> usize {
        let is_named = |node: &TestNode| name.chars().eq([node.name]);
        self.cluster.nodes.iter().position(is_named).expect("a node of that name")
    }

    fn id(&self, name: &str) -> NodeId {
        self.cluster.nodes[self.index(name)].id
    }

    fn show(&self) -> String {
        let shown = self.cluster.nodes.iter().filter_map(|node| self.show_node(node));
        shown.collect::<Vec<_>>().join(" | ")
    }

    fn show_node(&self, node: &TestNode) -> Option<String> {
        node.member.as_ref()?;
        let Some(view) = &node.cores else {
            return Some(format!("{} nothing", node.name));
        };
        let order = |chain: &Vec<NodeId>| chain.iter().map(|id| self.name(*id)).collect::<String>();
        let mut orders: Vec<String> = view.record.chains.iter().map(order).collect();
        orders.dedup();
        let members = orders.join(",");
        let state = if view.may_read(node.clock(self.cluster.now_us)) {
            "reads"
        } else if view.active {
            "acts"
        } else if view.member {
            "waits"
        } else if view.record.is_retired(node.id) {
            "removed"
        } else {
            "learner"
        };
        let stopped = if view.change_pending { " stopped" } else { "" };
        let quiescing = if view.member && view.quiescing { " quiescing" } else { "" };
        let gate = view.gate.map_or(String::new(), |gate| format!(" gate {}", self.name(gate)));
        Some(format!("{} {} {members} {state}{quiescing}{stopped}{gate}", node.name, view.epoch))
    }

    fn name(&self, id: NodeId) -> char {
        name(&self.cluster, id)
    }
}

/// Returns the members in the register.
fn chain(cluster: &TestCluster) -> String {
    let chain = cluster.register.record().map_or(&[][..], |record| &record.chains[0]);
    chain.iter().map(|id| name(cluster, *id)).collect()
}

/// Returns the name of a node in any incarnation.
fn name(cluster: &TestCluster, id: NodeId) -> char {
    let at = usize::try_from(id.0 >> 64).expect("few nodes") - 1;
    cluster.nodes[at].name
}
