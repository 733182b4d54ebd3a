//! Scenarios as data.
//!
//! A scenario is a list of steps, one a line; how the nodes see things after it stands behind `=>`:
//! for each that runs its name, its epoch, the members in the order of the chain, or of each of several,
//! and whether it is a `learner`, `waits`, `acts` or `reads` as a member, or is `out`; `rests` if it takes
//! no updates, `stopped` if it has a proposal under way, `gate c` if it appends `c`.
//!
//! ```text
//! found a                    # a node begins, and founds the cluster if there is none
//! join b                     # a node begins
//! restart a                  # a durable one ends and begins again
//! crash a                    # a node ends
//! until ab                   # those are the members, and everything is well; 20 s at most
//! after 100                  # milliseconds pass
//! cut a-b | cut a>b          # a link, in both directions or one; `cut a-register` likewise
//! heal                       # all links are whole, nobody pauses
//! pause a 3000 | stick a 900 # a node, or its cores, do not run for some milliseconds
//! remove b at a              # an operator asks a
//! link b at a | stall b at a # a cannot connect to b, or does not get updates past it
//! behind b at a              # a does not have what b lacks
//! leave a                    # a asks to be removed
//! next late 1500 | next unanswered | next repeated
//! next conflict | next failed # of the next proposal
//! ```

use super::world::{Fate, Node, Place, World};
use super::{settings, truth};
use crate::chain::member::Member;
use crate::chain::record::{NodeId, Settings};
use crate::chain::rules::Rules;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const MS: u64 = 1_000;
const WELL_MS_MAX: u64 = 20_000;

/// Runs a scenario with all rules and compares what the nodes see.
pub(super) fn check(replicas: u32, steps: &str) {
    let settings = Settings { replicas, ..settings() };
    check_with(settings, Rules::default(), steps);
}

pub(super) fn check_with(settings: Settings, rules: Rules, steps: &str) {
    let mut script = Script { world: World::new(1, settings, rules) };
    script.world.calm = true;
    script.world.trace = Some(Vec::new());
    for line in steps.lines() {
        let line = line.split_once('#').map_or(line, |(line, _comment)| line).trim();
        if line.is_empty() {
            continue;
        }
        let (step, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = step.split_whitespace().collect();
        let done = script.step(&words);
        let trace = || script.world.trace.clone().unwrap_or_default().join("\n");
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

struct Script {
    world: World,
}

impl Script {
    fn step(&mut self, words: &[&str]) -> Result<(), String> {
        let number = |word: &str| word.parse::<u64>().expect("a number");
        match *words {
            ["found", name] => self.begin(name, true),
            ["join", name] => self.begin(name, false),
            ["crash", name] => {
                let at = self.index(name);
                self.world.crash(at, None);
            }
            ["restart", name] => {
                let at = self.index(name);
                self.world.nodes[at].durable = true;
                self.world.crash(at, Some(0));
            }
            ["until", members] => {
                let is_so = |world: &World| chain(world) == members && truth::is_well(world);
                if !self.world.pass_until(WELL_MS_MAX * MS, is_so)? {
                    return Err(format!("never {members}: {}", self.show()));
                }
            }
            ["after", ms] => self.world.pass(number(ms) * MS)?,
            ["cut", link] => self.cut(link),
            ["heal"] => self.world.heal(),
            ["pause", name, ms] => {
                let at = self.index(name);
                self.world.pause(at, number(ms) * MS);
            }
            ["stick", name, ms] => {
                let at = self.index(name);
                self.world.stick(at, number(ms) * MS);
            }
            ["remove", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.world.call(at, |member, now, out| {
                    member.on_remove(now, peer, out);
                });
            }
            ["link", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.world.call(at, |member, now, out| member.on_link(now, peer, false, out));
            }
            ["stall", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                let record = self.world.register.record().expect("there is one");
                let chain = record.chains[0].iter().rev();
                let behind = chain.clone().position(|node| *node == peer).expect("a member");
                let behind = u32::try_from(behind).expect("few");
                self.world.call(at, |member, now, out| member.on_stall(now, peer, behind, out));
            }
            ["behind", peer, "at", name] => {
                let peer = self.id(peer);
                let at = self.index(name);
                self.world.call(at, |member, now, out| member.on_behind(now, peer, out));
            }
            ["leave", name] => {
                let at = self.index(name);
                self.world.call(at, Member::on_leave);
            }
            ["next", "late", ms] => self.world.fates.push_back(Fate::Late(number(ms))),
            ["next", "unanswered"] => self.world.fates.push_back(Fate::AnswerLost),
            ["next", "repeated"] => self.world.fates.push_back(Fate::Repeated),
            ["next", "conflict"] => self.world.fates.push_back(Fate::Conflict),
            ["next", "failed"] => self.world.fates.push_back(Fate::Failed),
            _ => panic!("no such step: {words:?}"),
        }
        Ok(())
    }

    fn begin(&mut self, name: &str, founds: bool) {
        let name = name.chars().next().expect("a name");
        let at = self.world.nodes.iter().position(|node| node.name == name);
        let at = at.unwrap_or_else(|| self.world.add(name));
        self.world.begin(at, founds);
    }

    fn cut(&mut self, link: &str) {
        let is_both = link.contains('-');
        let (one, other) = link.split_once(['-', '>']).expect("a link has two ends");
        let (one, other) = (self.place(one), self.place(other));
        self.world.cut(one, other, u64::MAX);
        if is_both {
            self.world.cut(other, one, u64::MAX);
        }
    }

    fn place(&self, name: &str) -> Place {
        if name == "register" { Place::Register } else { Place::Node(self.index(name)) }
    }

    fn index(&self, name: &str) -> usize {
        let is_named = |node: &Node| name.chars().eq([node.name]);
        self.world.nodes.iter().position(is_named).expect("a node of that name")
    }

    fn id(&self, name: &str) -> NodeId {
        self.world.nodes[self.index(name)].id
    }

    fn show(&self) -> String {
        let shown = self.world.nodes.iter().filter_map(|node| self.show_node(node));
        shown.collect::<Vec<_>>().join(" | ")
    }

    fn show_node(&self, node: &Node) -> Option<String> {
        node.member.as_ref()?;
        let Some(view) = &node.cores else {
            return Some(format!("{} nothing", node.name));
        };
        let order = |chain: &Vec<NodeId>| chain.iter().map(|id| self.name(*id)).collect::<String>();
        let mut orders: Vec<String> = view.record.chains.iter().map(order).collect();
        orders.dedup();
        let members = orders.join(",");
        let state = if view.may_read(node.clock(self.world.now_us)) {
            "reads"
        } else if view.active {
            "acts"
        } else if view.member {
            "waits"
        } else if view.record.is_retired(node.id) {
            "out"
        } else {
            "learner"
        };
        let stopped = if view.pending { " stopped" } else { "" };
        let rests = if view.member && view.resting { " rests" } else { "" };
        let gate = view.gate.map_or(String::new(), |gate| format!(" gate {}", self.name(gate)));
        Some(format!("{} {} {members} {state}{rests}{stopped}{gate}", node.name, view.epoch))
    }

    fn name(&self, id: NodeId) -> char {
        name(&self.world, id)
    }
}

/// The members in the register.
fn chain(world: &World) -> String {
    let chain = world.register.record().map_or(&[][..], |record| &record.chains[0]);
    chain.iter().map(|id| name(world, *id)).collect()
}

/// The name of a node, whatever life it is in.
fn name(world: &World, id: NodeId) -> char {
    let at = usize::try_from(id.0 >> 64).expect("few nodes") - 1;
    world.nodes[at].name
}
