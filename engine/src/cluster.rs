//! A node's part in a cluster: the options, checked and completed before the node starts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{CONTROL_PORT_BELOW, JOIN_TIMEOUT_MS};
use crate::error::StartError;
use catena_core::chain::record::{
    LABEL_BYTES_MAX, NodeInfo, PATH_PART, RecordError, Settings, is_path_part,
};
use catena_location::{Location, S3Settings};

/// The cluster that a node joins: where its record is stored, and how other nodes reach this one.
///
/// Nodes find each other through the record. The first node with [`create`](Cluster::create) writes it;
/// a node that finds one uses the settings in it.
///
/// ```
/// use catena_engine::{Cluster, ClusterSettings, Engine};
///
/// let directory = tempfile::tempdir()?;
/// let location = format!("file://{}", directory.path().display()).parse()?;
/// let cluster = Cluster::at(location).create(ClusterSettings::default()).node_name("node-a");
/// let engine = Engine::builder().cluster(cluster).start()?;
/// println!("{:?} listens for nodes on {:?}", engine.node_id(), engine.control_address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cluster {
    location: Location,
    name: String,
    create: Option<Settings>,
    node_name: Option<String>,
    az: Option<String>,
    control: Option<SocketAddr>,
    advertise: Option<IpAddr>,
    s3: S3Settings,
    join_timeout: Duration,
    cancel: CancelHandle,
}

/// Cancels the start of a node that still waits for its ports or its cluster, from another thread;
/// see [`Builder::wait_for_ports`](crate::Builder::wait_for_ports) and [`Cluster::cancel_with`].
#[derive(Clone, Debug, Default)]
pub struct CancelHandle(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    wake: Notify,
}

impl CancelHandle {
    /// Cancels now, or as soon as the node begins to wait.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    pub(crate) async fn cancelled(&self) {
        self.0.wake.notified().await;
    }
}

impl Cluster {
    /// The default name of a cluster.
    pub const NAME: &str = "catena";

    /// Returns the cluster of the [default name](Cluster::NAME) whose record is stored at `location`.
    pub fn at(location: Location) -> Cluster {
        Cluster {
            location,
            name: Cluster::NAME.to_owned(),
            create: None,
            node_name: None,
            az: None,
            control: None,
            advertise: None,
            s3: S3Settings::default(),
            join_timeout: Duration::from_millis(JOIN_TIMEOUT_MS),
            cancel: CancelHandle::default(),
        }
    }

    /// Sets the name of the cluster; clusters with different names can share one location.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Cluster {
        self.name = name.into();
        self
    }

    /// Creates the cluster with these settings if it does not exist. Safe on every node: the first node's
    /// settings win, and the others join.
    #[must_use]
    pub fn create(mut self, settings: impl Into<Option<Settings>>) -> Cluster {
        self.create = settings.into();
        self
    }

    /// Sets the display name of this node. The host name by default.
    #[must_use]
    pub fn node_name(mut self, name: impl Into<String>) -> Cluster {
        self.node_name = Some(name.into());
        self
    }

    /// Sets the availability zone of this node, which operators see.
    #[must_use]
    pub fn az(mut self, az: impl Into<String>) -> Cluster {
        self.az = Some(az.into());
        self
    }

    /// Sets where this node listens for other nodes and for operators. By default the address for
    /// clients, one port below the first.
    #[must_use]
    pub fn control(mut self, address: impl Into<Option<SocketAddr>>) -> Cluster {
        self.control = address.into();
        self
    }

    /// Sets the address at which other nodes and clients reach this node. The one on which it listens by
    /// default.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<Option<IpAddr>>) -> Cluster {
        self.advertise = address.into();
        self
    }

    /// Sets credentials, region and endpoint of a register in S3.
    #[must_use]
    pub fn s3(mut self, settings: S3Settings) -> Cluster {
        self.s3 = settings;
        self
    }

    /// Sets how long the node waits for another node to create the cluster, if it does not create the
    /// cluster itself. 30 s by default.
    #[must_use]
    pub fn join_timeout(mut self, time: Duration) -> Cluster {
        self.join_timeout = time;
        self
    }

    /// Lets `cancel` end that wait: starting the node then fails with [`StartError::Cancelled`], and has
    /// had no effect. Once the cluster is found, the handle has no effect.
    #[must_use]
    pub fn cancel_with(mut self, cancel: &CancelHandle) -> Cluster {
        self.cancel = cancel.clone();
        self
    }

    /// Fills in the defaults, and checks the options.
    pub(crate) fn plan(
        self,
        listen: SocketAddr,
        shards: Option<u32>,
    ) -> Result<ClusterPlan, StartError> {
        let Cluster { location, name: cluster, create, az, s3, join_timeout, cancel, .. } = self;
        if !is_path_part(&cluster) {
            return Err(StartError::BadConfig {
                what: "the cluster's name".to_owned(),
                got: format!("{cluster:?}"),
                expected: PATH_PART.to_owned(),
            });
        }
        let create = create.map(|settings| resolve(settings, shards)).transpose()?;
        let advertise = self.advertise.unwrap_or(listen.ip());
        if advertise.is_unspecified() {
            return Err(StartError::Unadvertised(advertise));
        }
        let node_name = self.node_name.unwrap_or_else(host_name);
        for (what, label) in [("the node's name", Some(&node_name)), ("the zone", az.as_ref())] {
            let Some(label) = label else { continue };
            if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                let expected = format!("1 to {LABEL_BYTES_MAX} bytes");
                let (what, got) = (what.to_owned(), format!("{label:?}"));
                return Err(StartError::BadConfig { what, got, expected });
            }
        }
        let below = listen.port().saturating_sub(CONTROL_PORT_BELOW);
        let control = self.control.unwrap_or(SocketAddr::new(listen.ip(), below));
        Ok(ClusterPlan {
            location,
            cluster,
            create,
            node_name,
            az,
            control,
            advertise,
            s3,
            join_timeout,
            cancel,
        })
    }
}

/// A [`Cluster`] without anything left open.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) location: Location,
    pub(crate) cluster: String,
    pub(crate) create: Option<Settings>,
    pub(crate) node_name: String,
    pub(crate) az: Option<String>,
    pub(crate) control: SocketAddr,
    pub(crate) advertise: IpAddr,
    pub(crate) s3: S3Settings,
    pub(crate) join_timeout: Duration,
    pub(crate) cancel: CancelHandle,
}

impl ClusterPlan {
    /// Returns how this node is reached at these ports.
    pub(crate) fn info(&self, control_port: u16, client_ports: &[u16]) -> NodeInfo {
        let at = |port| SocketAddr::new(self.advertise, port);
        NodeInfo {
            name: self.node_name.clone(),
            peer: at(control_port),
            clients: client_ports.iter().copied().map(at).collect(),
            az: self.az.clone(),
        }
    }
}

/// Fills in what is left open, and refuses settings that no cluster can be created with.
fn resolve(settings: Settings, shards: Option<u32>) -> Result<Settings, StartError> {
    let shards = shards.unwrap_or(settings.shards);
    let settings = Settings { shards, ..settings }.resolved();
    match settings.validate() {
        Ok(()) => Ok(settings),
        Err(RecordError::Invalid { what, expected, got }) => {
            // Fields are called like flags.
            Err(StartError::BadConfig { what: what.replace('_', "-"), got, expected })
        }
        Err(other) => unreachable!("settings are in or out of range: {other}"),
    }
}

/// Returns the host name, cut to the length of a label.
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
        change(cluster).plan(([127, 0, 0, 1], 7400).into(), None)
    }

    fn create(settings: Settings) -> Result<ClusterPlan, StartError> {
        plan(|cluster| cluster.create(settings))
    }

    #[test]
    fn open_options_get_their_defaults() {
        let two = create(Settings::default()).expect("a plan");
        let settings = two.create.clone().expect("it creates it");
        assert_eq!((settings.shards, settings.replicas, settings.min_members), (64, 2, 1));
        assert_eq!((settings.suspect_ms, settings.lease_ms), (1_000, 900));
        assert_eq!(two.control, SocketAddr::from(([127, 0, 0, 1], 7399)));
        assert!(!two.node_name.is_empty());
        let info = two.info(7399, &[7400, 7401]);
        assert_eq!(info.clients, [7400, 7401].map(|port| SocketAddr::from(([127, 0, 0, 1], port))));

        let three = create(Settings { replicas: 3, ..Settings::default() }).expect("a plan");
        assert_eq!(three.create.expect("it creates it").min_members, 2);
        let slow = create(Settings { suspect_ms: 5_000, ..Settings::default() });
        let slow = slow.expect("a plan");
        assert_eq!(slow.create.expect("it creates it").lease_ms, 4_500);
        assert_eq!(plan(|cluster| cluster).expect("a plan").create, None);
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let wide: SocketAddr = ([0, 0, 0, 0], 0).into();
        let cluster = Cluster::at("file:///srv/catena".parse().expect("a location"));
        let error = cluster.clone().plan(wide, None).expect_err("not an address to connect to");
        assert!(error.to_string().contains("--advertise"), "{error}");
        let advertised = cluster.advertise(IpAddr::from([10, 0, 0, 5])).plan(wide, None);
        assert_eq!(advertised.expect("a plan").control, wide);

        type Change = fn(Cluster) -> Cluster;
        let refusals: [(Change, &str); 2] = [
            (|cluster| cluster.name("a/b"), "the cluster's name cannot be \"a/b\""),
            (|cluster| cluster.node_name(""), "the node's name cannot be \"\""),
        ];
        let good = Settings::default;
        let settings = [
            (Settings { shards: 3, ..good() }, "shards cannot be 3: expected a power of two"),
            (Settings { replicas: 17, ..good() }, "replicas cannot be 17: expected 1 to 16"),
            (Settings { min_members: 3, ..good() }, "min-members cannot be 3: expected 1 to 2"),
            (Settings { lease_ms: 1_000, ..good() }, "lease-ms cannot be 1000: expected 1 to 999"),
            (Settings { suspect_ms: 1, ..good() }, "suspect-ms cannot be 1: expected 2 to 60000"),
        ];
        let refused = refusals.map(|(change, expected)| (plan(change), expected));
        let settings = settings.map(|(settings, expected)| (create(settings), expected));
        for (plan, expected) in refused.into_iter().chain(settings) {
            let error = plan.expect_err(expected).to_string();
            assert!(error.contains(expected), "`{error}` does not contain `{expected}`");
        }
    }
}
