//! What processes do: they start, take turns, carry out the member's actions, and stop.

use super::*;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

impl Simulation {
    pub(super) fn start_node(&mut self, slot: usize, id: NodeId, removals: Removals) {
        let drift = i64::try_from(self.profile.drift_ppm).expect("small");
        let rate_ppm = if drift == 0 {
            0
        } else {
            let spread = self.random.between(0, self.profile.drift_ppm * 2);
            i64::try_from(spread).expect("small") - drift
        };
        let clock = SimClock { offset_us: self.random.below(1 << 40), rate_ppm };
        // The time of day begins far from 0 and differs between nodes.
        let day = SimClock {
            offset_us: (1 << 50) + self.random.below(self.profile.days_apart_us),
            rate_ppm,
        };
        let config = MemberConfig {
            me: id,
            info: info(slot),
            cluster: super::CLUSTER.into(),
            founding: None,
            change_seed: self.random.wide(),
            base: Seq(1 << 20),
            removals,
        };
        let shards = self.profile.shards as usize;
        let types = Arc::new(Types::default());
        let replica = |shard: usize| {
            let id = ShardId(u16::try_from(shard).expect("few"));
            let shard = Shard::new(id, 7, Arc::clone(&types));
            Replica::new(shard, Assignment::default(), self.rules)
                .with_transfer_limits(self.profile.transfer)
        };
        let process = SimProcess {
            slot,
            member: Member::with_rules(config, self.rules).expect("nothing to found"),
            replicas: (0..shards).map(replica).collect(),
            clock,
            day,
            inbox: None,
            wake_at: None,
            views: BTreeMap::new(),
            view_arrival: 0,
            transfers: vec![None; shards],
            progress: vec![(0, 0); shards],
            learner_progress: vec![(0, 0); shards],
            committed: vec![0; shards],
        };
        self.trace.print(self.now, || format!("{id} starts in slot {slot}"));
        self.processes.insert(id, process);
        self.slots[slot] = Some(id);
        let found = if self.outage { ReadOutcome::Failed } else { self.register.read() };
        self.turn(id, |process, now, turn| {
            process.member.on_start(now, found, &mut turn.actions);
        });
        let at = self.now + 100_000;
        self.at(at, SimEvent::Tick { node: id });
    }

    /// Stops a process, which loses all its state.
    pub(super) fn stop_node(&mut self, node: NodeId) {
        let Some(process) = self.processes.remove(&node) else { return };
        self.trace.print(self.now, || format!("{node} stops"));
        self.slots[process.slot] = None;
        for peer in self.network.peers(node) {
            self.reset(node, peer);
        }
        let dead: Vec<u64> = self
            .server_conns
            .iter()
            .filter(|(_, it)| it.node == node)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in dead {
            self.disconnect(conn);
        }
    }

    pub(super) fn disconnect(&mut self, conn: u64) {
        if let Some(ServerConn { client, node, .. }) = self.server_conns.remove(&conn) {
            let at = self.now + self.delay();
            self.at(at, SimEvent::Disconnect { client, conn });
            let at = self.now + self.delay();
            self.at(at, SimEvent::ConnEnd { node, conn });
        }
    }

    /// Runs one turn of a node, and carries out what it puts out.
    pub(super) fn turn(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut SimProcess, Time, &mut TurnOutput),
    ) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let now = process.clock.at(self.now);
        let mut turn = TurnOutput::with_links(self.network.take_unsent(node));
        let positions = |process: &SimProcess| -> Vec<(u64, u64)> {
            process.replicas.iter().map(|it| (it.applied(), it.committed())).collect()
        };
        let before = positions(process);
        act(process, now, &mut turn);
        self.report_transfer(node, &mut turn);
        self.report_quiesced(node, &mut turn);
        let Some(process) = self.processes.get_mut(&node) else { return };
        let after = positions(process);
        for (shard, replica) in process.replicas.iter_mut().enumerate() {
            if turn.touched.contains(&shard) || before[shard] != after[shard] {
                replica.flush(&mut turn);
            }
        }
        if let Err(kind) = self.oracle.check_node(self.now, process) {
            self.fail(kind);
        }
        self.deliver_output(node, turn);
        self.schedule_wake(node);
    }

    /// Reports to the member how far its learner is.
    pub(super) fn report_transfer(&mut self, node: NodeId, turn: &mut TurnOutput) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let Some((epoch, learner)) = process.transfers.first().copied().flatten() else { return };
        let is_same = process.transfers.iter().all(|it| *it == Some((epoch, learner)));
        let now = process.clock.at(self.now);
        if is_same && process.replicas.iter().all(|replica| replica.has_state(learner)) {
            process.replicas.iter_mut().for_each(|replica| replica.begin_last_phase(learner));
        }
        if is_same && process.replicas.iter().all(|replica| replica.is_nearly_synced(learner)) {
            process.member.on_nearly_synced(now, learner, epoch, &mut turn.actions);
        }
        let is_gated = |replica: &Replica| replica.assignment().gate == Some(learner);
        let is_synced = |replica: &Replica| is_gated(replica) && replica.is_synced(learner);
        if is_same && process.replicas.iter().all(is_synced) {
            process.member.on_synced(now, learner, epoch, &mut turn.actions);
        }
    }

    /// Reports to the member that its replicas accept no updates and that no other node lacks one
    /// of theirs.
    fn report_quiesced(&mut self, node: NodeId, turn: &mut TurnOutput) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let epoch = process.replicas.first().map_or(0, |replica| replica.assignment().epoch);
        let is_quiesced =
            |replica: &Replica| replica.assignment().epoch == epoch && replica.is_quiesced();
        if process.replicas.iter().all(is_quiesced) {
            let now = process.clock.at(self.now);
            process.member.on_quiesced(now, epoch, &mut turn.actions);
        }
    }

    pub(super) fn deliver_output(&mut self, node: NodeId, turn: TurnOutput) {
        let TurnOutput { actions, replies, frames, wanted, reports, .. } = turn;
        for (shard, report) in reports {
            self.fail(FailureKind::Reported { shard, node, report });
        }
        for (peer, bytes) in frames {
            let link = self.network.link(node, peer);
            link.unsent[Network::direction(node, peer)] = bytes;
            self.write_unsent(node, peer);
        }
        for peer in wanted {
            let delay = self.delay();
            let at = self.now + delay;
            let link = self.network.link(node, peer);
            if !link.dialing {
                link.dialing = true;
                self.at(at, SimEvent::Dial { from: node, to: peer });
            }
        }
        for (conn, shard, bytes) in replies {
            let committed = self.processes[&node].replicas[usize::from(shard.0)].committed();
            self.oracle.on_reply(usize::from(shard.0), committed);
            self.send_reply(conn, &bytes);
        }
        for action in actions {
            self.perform(node, action);
        }
    }

    pub(super) fn schedule_wake(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let ends = process.replicas.iter().filter_map(Replica::next_due).min();
        let dues = [(process.day, ends), (process.clock, process.member.next_due())];
        let dues = dues.into_iter().filter_map(|(clock, due)| Some(clock.when(due?)));
        let Some(at) = dues.min() else { return };
        let at = at.max(self.now + 1);
        if process.wake_at.is_none_or(|wake_at| at < wake_at) {
            process.wake_at = Some(at);
            self.at(at, SimEvent::Wake { node });
        }
    }

    pub(super) fn perform(&mut self, node: NodeId, action: Action) {
        match action {
            Action::Send { to, message } => self.send_message(node, to, message),
            Action::View(view) => self.publish_view(node, view),
            Action::ReadRegister => self.send_to_register(node, RegisterRequest::Read),
            Action::ProbeRegister => self.send_to_register(node, RegisterRequest::Probe),
            Action::Create(record) => {
                self.send_to_register(node, RegisterRequest::Cas(None, record));
            }
            Action::Cas { token, record } => {
                self.send_to_register(node, RegisterRequest::Cas(Some(token), record));
            }
            Action::Rejoin { not_before, removals } => {
                let Some(process) = self.processes.get(&node) else { return };
                let (slot, at) = (process.slot, process.clock.when(not_before).max(self.now + 1));
                self.stop_node(node);
                self.at(at, SimEvent::Start { slot, removals });
            }
            Action::Report(report) => {
                self.trace.print(self.now, || format!("{node}: {report:?}"));
            }
        }
    }

    pub(super) fn publish_view(&mut self, node: NodeId, view: MembershipView) {
        self.trace.print(self.now, || {
            let MembershipView { number, epoch, member, active, .. } = &view;
            let MembershipView { change_pending, quiescing, gate, learner, source, .. } = &view;
            format!(
                "{node}: view {number}: epoch {epoch} member {member} active {active} \
                 change pending {change_pending} quiescing {quiescing} gate {gate:?} \
                 learner {learner:?} source {source:?}"
            )
        });
        let view = Arc::new(view);
        let shards = self.profile.shards as usize;
        for shard in 0..shards {
            let slow = self.occurs(self.profile.slow_cores);
            let delay = self.random.between(2, if slow { 60_000 } else { 200 });
            let at = self.now + delay;
            let Some(process) = self.processes.get_mut(&node) else { return };
            process.views.entry(view.number).or_insert(shards);
            process.view_arrival = at.max(process.view_arrival + 1);
            let at = process.view_arrival;
            self.at(at, SimEvent::View { node, shard, view: Arc::clone(&view) });
        }
    }

    pub(super) fn on_view(&mut self, node: NodeId, shard: usize, view: &MembershipView) {
        let mut is_deposed = false;
        self.turn(node, |process, _, turn| {
            turn.touched.insert(shard);
            let replica = &mut process.replicas[shard];
            let is_head = |it: &Assignment| it.member && it.predecessor.is_none();
            let was_head = is_head(replica.assignment());
            replica.on_assignment(view.assignment(node, replica.shard().id()), turn);
            is_deposed = was_head && !is_head(replica.assignment());
            let transfer = view.learner.map(|learner| (view.epoch, learner));
            if transfer != process.transfers[shard] {
                process.transfers[shard] = transfer;
                match view.learner {
                    Some(learner) => replica.start_transfer(learner),
                    None => replica.stop_transfer(turn),
                }
            }
        });
        if is_deposed {
            // Clients that wait for a reply get it from the new head when they retry.
            let served = self.server_conns.iter().filter(|(_, it)| it.node == node);
            let conns: Vec<u64> = served.map(|(conn, _)| *conn).collect();
            conns.into_iter().for_each(|conn| self.disconnect(conn));
        }
        let Some(process) = self.processes.get_mut(&node) else { return };
        let left = process.views.entry(view.number).or_default();
        *left -= 1;
        if *left == 0 {
            process.views.remove(&view.number);
            let at = self.now + self.random.between(1, 100);
            self.at(at, SimEvent::CoresReady { node, view: view.number });
        }
    }

    pub(super) fn tick(&mut self, node: NodeId) {
        let sim_now = self.now;
        self.turn(node, |process, now, turn| {
            for (replica, progress) in process.replicas.iter().zip(&mut process.progress) {
                let committed = replica.committed();
                if replica.lag() == 0 || committed != progress.0 {
                    *progress = (committed, sim_now);
                } else if sim_now - progress.1 > STALL_US
                    && let Some(successor) = replica.assignment().successor
                {
                    let shard = replica.shard().id();
                    let position = |record: &Record| record.position(shard, node);
                    let behind = process.member.record().and_then(|record| position(record));
                    let behind = behind.map_or(0, |it| it.len - it.index - 1);
                    let behind = u32::try_from(behind.saturating_sub(1)).expect("few");
                    process.member.on_stall(now, successor, behind, &mut turn.actions);
                }
            }
        });
        self.give_up_on_learner(node);
        if self.processes.contains_key(&node) {
            let at = self.now + 250_000;
            self.at(at, SimEvent::Tick { node });
        }
    }

    /// Gives up on a learner for which updates wait although it takes none.
    fn give_up_on_learner(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        let Some((_, learner)) = process.transfers.first().copied().flatten() else { return };
        let mut is_stalled = false;
        for (replica, progress) in process.replicas.iter().zip(&mut process.learner_progress) {
            let committed = replica.committed();
            if !replica.waits_for_learner() || committed != progress.0 {
                *progress = (committed, self.now);
            }
            is_stalled |= self.now - progress.1 > LEARNER_STALL_US;
        }
        if is_stalled {
            self.trace.print(self.now, || format!("{node} gives up on {learner}"));
            self.turn(node, |process, _, turn| {
                process.replicas.iter_mut().for_each(|replica| replica.stop_transfer(turn));
            });
            self.reset(node, learner);
        }
    }
}
