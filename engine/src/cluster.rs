//! What a node has to know to be part of a cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{CLUSTER_SHARDS, CONTROL_PORT_BELOW, RECORD_WAIT_MS};
use crate::engine::StartError;
use catena_core::chain::record::{
    ChangeId, Heads, LABEL_BYTES_MAX, NodeId, NodeInfo, OnTotalLoss, Record, RecordError, Settings,
    is_path_part,
};
use catena_location::{Location, S3Settings};

/// The cluster that a node is to be part of: where its record lies, what it is founded with, and how
/// other nodes reach this one.
///
/// Nodes find each other through the record. One of them founds the cluster, with
/// [`create`](Cluster::create); all may be told to, the first one does. What a cluster is founded with
/// it keeps: a node that finds one goes by the record.
///
/// ```
/// use catena_engine::{Cluster, Engine};
///
/// let directory = tempfile::tempdir()?;
/// let location = format!("file://{}", directory.path().display()).parse()?;
/// let cluster = Cluster::at(location).create(true).node_name("node-a");
/// let engine = Engine::builder().cluster(cluster).start()?;
/// println!("{:?} listens for nodes on {:?}", engine.node_id(), engine.control_address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cluster {
    location: Location,
    create: bool,
    settings: Settings,
    min_members: Option<u32>,
    lease_ms: Option<u32>,
    node_name: Option<String>,
    az: Option<String>,
    control: Option<SocketAddr>,
    advertise: Option<IpAddr>,
    s3: S3Settings,
    patience: Duration,
    give_up: GiveUp,
}

/// Ends the wait of a node for its cluster, from another thread; see [`Cluster::give_up`].
#[derive(Clone, Debug, Default)]
pub struct GiveUp(Arc<Notify>);

impl GiveUp {
    /// Does it now, or as soon as the node begins to wait.
    pub fn now(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn told(&self) {
        self.0.notified().await;
    }
}

impl Cluster {
    /// The cluster `catena` whose record lies there.
    pub fn at(location: Location) -> Cluster {
        Cluster {
            location,
            create: false,
            settings: Settings::default(),
            min_members: None,
            lease_ms: None,
            node_name: None,
            az: None,
            control: None,
            advertise: None,
            s3: S3Settings::default(),
            patience: Duration::from_millis(RECORD_WAIT_MS),
            give_up: GiveUp::default(),
        }
    }

    /// Another name: several clusters may have their records in one place.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Cluster {
        self.settings.cluster = name.into();
        self
    }

    /// Whether to found the cluster if there is none.
    #[must_use]
    pub fn create(mut self, create: bool) -> Cluster {
        self.create = create;
        self
    }

    /// On how many nodes a founded cluster keeps everything. 2 by default.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Cluster {
        self.settings.rf = replicas;
        self
    }

    /// With fewer nodes than this a founded cluster takes no updates. By default 1 if there are to be
    /// two replicas, and 2 if more.
    #[must_use]
    pub fn min_members(mut self, members: u32) -> Cluster {
        self.min_members = Some(members);
        self
    }

    /// What becomes of a founded cluster when no member is left alive. [`OnTotalLoss::Halt`] by
    /// default.
    #[must_use]
    pub fn on_total_loss(mut self, then: OnTotalLoss) -> Cluster {
        self.settings.on_total_loss = then;
        self
    }

    /// Where the heads of a founded cluster's chains are to be: [`Heads::Spread`] by default.
    #[must_use]
    pub fn heads(mut self, heads: Heads) -> Cluster {
        self.settings.heads = heads;
        self
    }

    /// How long members of a founded cluster promise each other not to go on alone, in milliseconds:
    /// what a member that is cut off costs. It has to be less than the silence that makes suspect, and is
    /// nine tenths of that by default.
    #[must_use]
    pub fn lease_ms(mut self, ms: u32) -> Cluster {
        self.lease_ms = Some(ms);
        self
    }

    /// After how much silence a member of a founded cluster is suspected, in milliseconds. 1,000 by
    /// default.
    #[must_use]
    pub fn suspect_ms(mut self, ms: u32) -> Cluster {
        self.settings.suspect_ms = ms;
        self
    }

    /// How far the clocks in a founded cluster may run too fast or too slow, in millionths. 10,000 by
    /// default.
    #[must_use]
    pub fn drift_ppm(mut self, ppm: u32) -> Cluster {
        self.settings.drift_ppm = ppm;
        self
    }

    /// What people call this node. The name of the host by default.
    #[must_use]
    pub fn node_name(mut self, name: impl Into<String>) -> Cluster {
        self.node_name = Some(name.into());
        self
    }

    /// Where this node stands, for people.
    #[must_use]
    pub fn az(mut self, az: impl Into<String>) -> Cluster {
        self.az = Some(az.into());
        self
    }

    /// Where this node listens for other nodes and for operators. By default where it listens for
    /// clients, one port below the first.
    #[must_use]
    pub fn control(mut self, address: SocketAddr) -> Cluster {
        self.control = Some(address);
        self
    }

    /// The address at which others reach this node. The one it listens on by default.
    #[must_use]
    pub fn advertise(mut self, address: IpAddr) -> Cluster {
        self.advertise = Some(address);
        self
    }

    /// What a register in S3 takes beside its location.
    #[must_use]
    pub fn s3(mut self, settings: S3Settings) -> Cluster {
        self.s3 = settings;
        self
    }

    /// How long a node that is not to found the cluster waits for another one to do so. 30 s by
    /// default.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Cluster {
        self.patience = time;
        self
    }

    /// What ends that wait early: starting the node then fails with [`StartError::GivenUp`], and nothing
    /// has begun. A node that has found its cluster is not concerned.
    #[must_use]
    pub fn give_up(mut self, give_up: &GiveUp) -> Cluster {
        self.give_up = give_up.clone();
        self
    }

    /// Settles what is left open, and checks what can be checked on its own.
    pub(crate) fn plan(
        self,
        listen: SocketAddr,
        shards: Option<u32>,
    ) -> Result<ClusterPlan, StartError> {
        let Cluster { location, create, settings, min_members, az, s3, patience, give_up, .. } =
            self;
        let min_members = min_members.unwrap_or(if settings.rf <= 2 { 1 } else { 2 });
        let shards = shards.unwrap_or(CLUSTER_SHARDS);
        let lease_ms = self.lease_ms.unwrap_or((settings.suspect_ms / 10).saturating_mul(9).max(1));
        let settings = Settings { shards, min_members, lease_ms, ..settings };
        if !is_path_part(&settings.cluster) {
            return Err(StartError::BadConfig {
                what: "the cluster's name",
                got: format!("{:?}", settings.cluster),
                expected: "1 to 64 of the letters a-z A-Z 0-9 . _ -, not beginning with a dot"
                    .to_owned(),
            });
        }
        let advertise = self.advertise.unwrap_or(listen.ip());
        if advertise.is_unspecified() {
            return Err(StartError::Unadvertised(advertise));
        }
        let node_name = self.node_name.unwrap_or_else(host_name);
        for (what, label) in [("the node's name", Some(&node_name)), ("the zone", az.as_ref())] {
            let Some(label) = label else { continue };
            if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                let expected = format!("1 to {LABEL_BYTES_MAX} bytes");
                return Err(StartError::BadConfig { what, got: format!("{label:?}"), expected });
            }
        }
        let below = listen.port().saturating_sub(CONTROL_PORT_BELOW);
        let control = self.control.unwrap_or(SocketAddr::new(listen.ip(), below));
        let plan = ClusterPlan {
            location,
            cluster: settings.cluster.clone(),
            founding: create.then_some(settings),
            node_name,
            az,
            control,
            advertise,
            s3,
            patience,
            give_up,
        };
        plan.check_founding()?;
        Ok(plan)
    }
}

/// A [`Cluster`] with everything decided.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) location: Location,
    pub(crate) cluster: String,
    pub(crate) founding: Option<Settings>,
    pub(crate) node_name: String,
    pub(crate) az: Option<String>,
    pub(crate) control: SocketAddr,
    pub(crate) advertise: IpAddr,
    pub(crate) s3: S3Settings,
    pub(crate) patience: Duration,
    pub(crate) give_up: GiveUp,
}

impl ClusterPlan {
    /// How this node is reached, given the ports that it got.
    pub(crate) fn info(&self, control_port: u16, client_ports: &[u16]) -> NodeInfo {
        let at = |port| SocketAddr::new(self.advertise, port);
        NodeInfo {
            name: self.node_name.clone(),
            peer: at(control_port),
            clients: client_ports.iter().copied().map(at).collect(),
            az: self.az.clone(),
        }
    }

    /// Whether the cluster could be founded like that.
    fn check_founding(&self) -> Result<(), StartError> {
        let Some(settings) = &self.founding else { return Ok(()) };
        let founders = [(NodeId(1), self.info(1, &[1]))].into();
        match Record::create(settings, founders, NodeId(1), ChangeId(1)) {
            Ok(_) => Ok(()),
            Err(RecordError::Invalid { what, expected, got }) => {
                let what = match what {
                    "rf" => "replicas",
                    "min_members" => "min-members",
                    "suspect_ms" => "suspect-ms",
                    "lease_ms" => "lease-ms",
                    other => other,
                };
                Err(StartError::BadConfig { what, got, expected })
            }
            Err(other) => Err(StartError::BadConfig {
                what: "the cluster",
                got: other.to_string(),
                expected: "settings that make sense".to_owned(),
            }),
        }
    }
}

/// What the system calls this machine, as far as it fits.
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let mut name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "node".to_owned());
    name.truncate(name.floor_char_boundary(LABEL_BYTES_MAX));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(Cluster) -> Cluster) -> Result<ClusterPlan, StartError> {
        let cluster = Cluster::at("file:///srv/catena".parse().expect("a location"));
        change(cluster.create(true)).plan(([127, 0, 0, 1], 7400).into(), None)
    }

    #[test]
    fn what_is_left_open_is_settled() {
        let two = plan(|cluster| cluster).expect("a plan");
        let settings = two.founding.clone().expect("it founds");
        assert_eq!((settings.shards, settings.rf, settings.min_members), (64, 2, 1));
        assert_eq!((settings.suspect_ms, settings.lease_ms), (1_000, 900));
        assert_eq!(two.control, SocketAddr::from(([127, 0, 0, 1], 7399)));
        assert!(!two.node_name.is_empty());
        let info = two.info(7399, &[7400, 7401]);
        assert_eq!(info.clients, [7400, 7401].map(|port| SocketAddr::from(([127, 0, 0, 1], port))));

        let three = plan(|cluster| cluster.replicas(3)).expect("a plan");
        assert_eq!(three.founding.expect("it founds").min_members, 2);
        let slow = plan(|cluster| cluster.suspect_ms(5_000)).expect("a plan");
        assert_eq!(slow.founding.expect("it founds").lease_ms, 4_500);
        assert_eq!(plan(|cluster| cluster.create(false)).expect("a plan").founding, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let wide: SocketAddr = ([0, 0, 0, 0], 0).into();
        let cluster = Cluster::at("file:///srv/catena".parse().expect("a location"));
        let error = cluster.clone().plan(wide, None).expect_err("nobody can connect to that");
        assert!(error.to_string().contains("--advertise"), "{error}");
        let advertised = cluster.advertise([10, 0, 0, 5].into()).plan(wide, None);
        assert_eq!(advertised.expect("a plan").control, wide);

        type Change = fn(Cluster) -> Cluster;
        let refusals: [(Change, &str); 6] = [
            (|cluster| cluster.name("a/b"), "the cluster's name cannot be \"a/b\""),
            (|cluster| cluster.node_name(""), "the node's name cannot be \"\""),
            (|cluster| cluster.replicas(17), "replicas cannot be 17: 1 to 16"),
            (|cluster| cluster.min_members(3), "min-members cannot be 3: 1 to 2"),
            (|cluster| cluster.lease_ms(1_000), "lease-ms cannot be 1000: 1 to 999"),
            (|cluster| cluster.suspect_ms(1), "suspect-ms cannot be 1: 2 to 60000"),
        ];
        for (change, expected) in refusals {
            let error = plan(change).expect_err(expected).to_string();
            assert!(error.contains(expected), "`{error}` says nothing of `{expected}`");
        }
    }
}
