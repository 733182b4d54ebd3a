//! What nodes do: they are born, act, say what follows, and end.

use super::*;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

impl World {
    pub(super) fn bear(&mut self, slot: usize, id: NodeId, removals: u32) {
        let drift = i64::try_from(self.swarm.drift_ppm).expect("small");
        let fast_ppm = if drift == 0 {
            0
        } else {
            let spread = self.random.between(0, self.swarm.drift_ppm * 2);
            i64::try_from(spread).expect("small") - drift
        };
        let clock = Clock { offset_us: self.random.below(1 << 40), fast_ppm };
        // Days begin far from 0 and are not the same everywhere.
        let day = Clock { offset_us: (1 << 50) + self.random.below(2_000_000), fast_ppm };
        let start = Start {
            me: id,
            info: info(slot),
            cluster: super::CLUSTER.into(),
            founding: None,
            change_seed: self.random.wide(),
            removals,
        };
        let shards = self.swarm.shards as usize;
        let types = Arc::new(Types::default());
        let replica = |shard: usize| {
            let id = ShardId(u16::try_from(shard).expect("few"));
            Replica::new(Shard::new(id, 7, Arc::clone(&types)), Post::default(), self.rules)
        };
        let life = Life {
            slot,
            member: Member::with_rules(start, self.rules).expect("nothing to found"),
            replicas: (0..shards).map(replica).collect(),
            clock,
            day,
            inbox: None,
            wake_at: None,
            views: BTreeMap::new(),
            view_arrival: 0,
            taught: vec![None; shards],
            progress: vec![(0, 0); shards],
            committed: vec![0; shards],
        };
        self.births += 1;
        self.trace.say(self.now, || format!("{id} starts in slot {slot}"));
        self.lives.insert(id, life);
        self.slots[slot] = Some(id);
        let reading = if self.outage { Reading::Failed } else { self.register.read() };
        self.turn(id, |life, now, turn| life.member.on_start(now, reading, &mut turn.actions));
        let at = self.now + 100_000;
        self.at(at, Event::Tick { node: id });
    }

    /// A process ends, and all it had.
    pub(super) fn bury(&mut self, node: NodeId) {
        let Some(life) = self.lives.remove(&node) else { return };
        self.trace.say(self.now, || format!("{node} ends"));
        self.slots[life.slot] = None;
        for peer in self.network.peers(node) {
            self.reset(node, peer);
        }
        let dead: Vec<u64> =
            self.served.iter().filter(|(_, it)| it.node == node).map(|(conn, _)| *conn).collect();
        for conn in dead {
            self.hang_up(conn);
        }
    }

    pub(super) fn hang_up(&mut self, conn: u64) {
        if let Some(served) = self.served.remove(&conn) {
            let at = self.now + self.delay();
            self.at(at, Event::Hangup { client: served.client, conn });
        }
    }

    /// A node does something; then everything follows from it.
    pub(super) fn turn(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Life, crate::shard::Time, &mut Turn),
    ) {
        let peers = self.network.peers(node);
        let Some(life) = self.lives.get_mut(&node) else { return };
        let now = life.clock.at(self.now);
        let mut turn = Turn::with_links(peers);
        act(life, now, &mut turn);
        self.say_synced(node, &mut turn);
        self.say_at_rest(node, &mut turn);
        let Some(life) = self.lives.get_mut(&node) else { return };
        for replica in &mut life.replicas {
            replica.flush(&mut turn);
        }
        if let Err(why) = self.truth.check_node(life) {
            self.fail(format!("{node}: {why}"));
        }
        self.send_all(node, turn);
        self.set_alarm(node);
    }

    /// Tells the member how far its learner is.
    pub(super) fn say_synced(&mut self, node: NodeId, turn: &mut Turn) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let Some((epoch, learner)) = life.taught.first().copied().flatten() else { return };
        let is_same = life.taught.iter().all(|taught| *taught == Some((epoch, learner)));
        let now = life.clock.at(self.now);
        if is_same && life.replicas.iter().all(|replica| replica.is_near(learner)) {
            life.member.on_near(now, learner, epoch, &mut turn.actions);
        }
        let is_gated = |replica: &Replica| replica.post().gate == Some(learner);
        let is_synced = |replica: &Replica| is_gated(replica) && replica.is_synced(learner);
        if is_same && life.replicas.iter().all(is_synced) {
            life.member.on_synced(now, learner, epoch, &mut turn.actions);
        }
    }

    /// Tells the member that its replicas take no updates and have none that others lack.
    fn say_at_rest(&mut self, node: NodeId, turn: &mut Turn) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let epoch = life.replicas.first().map_or(0, |replica| replica.post().epoch);
        let rests = |replica: &Replica| replica.post().epoch == epoch && replica.is_at_rest();
        if life.replicas.iter().all(rests) {
            let now = life.clock.at(self.now);
            life.member.on_at_rest(now, epoch, &mut turn.actions);
        }
    }

    pub(super) fn send_all(&mut self, node: NodeId, turn: Turn) {
        let Turn { actions, replies, frames, wanted, reports } = turn;
        for (shard, report) in reports {
            match report {
                Report::Diverged(peer) => {
                    self.fail(format!(
                        "shard {}: {node} and {peer} contradict each other",
                        shard.0
                    ));
                }
                Report::Behind(peer) => {
                    self.fail(format!("shard {}: {peer} lacks what {node} has not", shard.0));
                }
            }
        }
        for (peer, bytes) in frames {
            if !bytes.is_empty() {
                self.send_frames(node, peer, &bytes);
            }
        }
        for peer in wanted {
            let delay = self.delay();
            let at = self.now + delay;
            let link = self.network.link(node, peer);
            if !link.trying {
                link.trying = true;
                self.at(at, Event::Dial { from: node, to: peer });
            }
        }
        for (conn, shard, bytes) in replies {
            let committed = self.lives[&node].replicas[usize::from(shard.0)].committed();
            self.truth.tell(usize::from(shard.0), committed);
            self.send_reply(conn, &bytes);
        }
        for action in actions {
            self.carry_out(node, action);
        }
    }

    pub(super) fn set_alarm(&mut self, node: NodeId) {
        let Some(life) = self.lives.get_mut(&node) else { return };
        let ends = life.replicas.iter().filter_map(Replica::next_due).min();
        let dues = [(life.day, ends), (life.clock, life.member.next_due())];
        let dues = dues.into_iter().filter_map(|(clock, due)| Some(clock.when(due?)));
        let Some(at) = dues.min() else { return };
        let at = at.max(self.now + 1);
        if life.wake_at.is_none_or(|wake_at| at < wake_at) {
            life.wake_at = Some(at);
            self.at(at, Event::Wake { node });
        }
    }

    pub(super) fn carry_out(&mut self, node: NodeId, action: Action) {
        match action {
            Action::Send { to, message } => self.send_message(node, to, message),
            Action::View(view) => self.tell_cores(node, view),
            Action::ReadRegister => self.ask_register(node, Ask::Read),
            Action::Create(record) => self.ask_register(node, Ask::Cas(None, record)),
            Action::Cas { token, record } => self.ask_register(node, Ask::Cas(Some(token), record)),
            Action::Rejoin { not_before, removals } => {
                let Some(life) = self.lives.get(&node) else { return };
                let (slot, at) = (life.slot, life.clock.when(not_before).max(self.now + 1));
                self.bury(node);
                self.at(at, Event::Birth { slot, removals });
            }
            Action::Report(report) => {
                self.trace.say(self.now, || format!("{node}: {report:?}"));
            }
        }
    }

    pub(super) fn tell_cores(&mut self, node: NodeId, view: View) {
        self.trace.say(self.now, || {
            let View { number, epoch, member, active, pending, resting, .. } = &view;
            let View { gate, learner, teacher, .. } = &view;
            format!(
                "{node}: view {number}: epoch {epoch} member {member} active {active} pending {pending} resting {resting} gate {gate:?} learner {learner:?} teacher {teacher:?}"
            )
        });
        let view = Arc::new(view);
        let shards = self.swarm.shards as usize;
        for shard in 0..shards {
            let slow = self.mishap(self.swarm.slow_cores);
            let delay = self.random.between(2, if slow { 60_000 } else { 200 });
            let at = self.now + delay;
            let Some(life) = self.lives.get_mut(&node) else { return };
            life.views.entry(view.number).or_insert(shards);
            life.view_arrival = at.max(life.view_arrival + 1);
            let at = life.view_arrival;
            self.at(at, Event::View { node, shard, view: Arc::clone(&view) });
        }
    }

    pub(super) fn on_view(&mut self, node: NodeId, shard: usize, view: &View) {
        let mut is_deposed = false;
        self.turn(node, |life, _, turn| {
            let replica = &mut life.replicas[shard];
            let leads = |post: &Post| post.member && post.predecessor.is_none();
            let led = leads(replica.post());
            replica.on_post(view.post(node, replica.shard().id()), turn);
            is_deposed = led && !leads(replica.post());
            let taught = view.learner.map(|learner| (view.epoch, learner));
            if taught != life.taught[shard] {
                life.taught[shard] = taught;
                match view.learner {
                    Some(learner) => replica.teach(learner),
                    None => replica.leave_off(),
                }
            }
        });
        if is_deposed {
            // Whoever waits for an answer learns elsewhere what became of it.
            let served = self.served.iter().filter(|(_, served)| served.node == node);
            let conns: Vec<u64> = served.map(|(conn, _)| *conn).collect();
            conns.into_iter().for_each(|conn| self.hang_up(conn));
        }
        let Some(life) = self.lives.get_mut(&node) else { return };
        let left = life.views.entry(view.number).or_default();
        *left -= 1;
        if *left == 0 {
            life.views.remove(&view.number);
            let at = self.now + self.random.between(1, 100);
            self.at(at, Event::CoresReady { node, view: view.number });
        }
    }

    pub(super) fn tick(&mut self, node: NodeId) {
        let world_now = self.now;
        self.turn(node, |life, now, turn| {
            for (replica, progress) in life.replicas.iter().zip(&mut life.progress) {
                let committed = replica.committed();
                if replica.lag() == 0 || committed != progress.0 {
                    *progress = (committed, world_now);
                } else if world_now - progress.1 > STALL_US
                    && let Some(successor) = replica.post().successor
                {
                    let shard = replica.shard().id();
                    let place = |record: &Record| record.position(shard, node);
                    let behind = life.member.record().and_then(|record| place(record));
                    let behind = behind.map_or(0, |place| place.len - place.index - 1);
                    let behind = u32::try_from(behind.saturating_sub(1)).expect("few");
                    life.member.on_stall(now, successor, behind, &mut turn.actions);
                }
            }
        });
        if self.lives.contains_key(&node) {
            let at = self.now + 250_000;
            self.at(at, Event::Tick { node });
        }
    }
}
