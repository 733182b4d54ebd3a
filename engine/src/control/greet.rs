//! Connections to control ports: who is there, and then what they say.
//!
//! A connection begins with a PeerHello. The loop decides about it; these tasks carry it out. They
//! know nothing of the cluster.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::operator::{Reply, Request};
use catena_protocol::peer::{PeerHello, write_welcome};
use catena_protocol::{Fault, Frame, FrameKind, Header, Refusal, Status, frame};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use std::os::fd::AsRawFd;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::frames::{Broken, Frames};
use super::links::{Link, Way};
use super::node::Event;
use crate::config::{
    DIAL_MS_MAX, HANDSHAKE_MS_MAX, OPERATORS_MAX, PEER_FRAME_BYTES_MAX, STRANGER_FRAME_BYTES_MAX,
    STRANGERS_MAX,
};
use catena_core::chain::member::PeerMessage;

/// What the loop makes of a PeerHello.
#[derive(Debug)]
pub(super) enum Verdict {
    /// An operator may ask.
    Operator,
    /// A node may talk.
    Peer { link: Rc<Link>, user_timeout_ms: u32 },
    /// Nobody may.
    Refused(Fault),
}

/// Why a connection to another node ended, or was none.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It could not be made, or broke.
    Io(io::Error),
    /// Nobody answered.
    TimedOut,
    /// The other side hung up.
    End,
    /// The other side refused this node.
    Refused(Fault),
    /// What the other side sent is no frame of this protocol.
    Nonsense(Fault),
    /// This node has no use for it any more.
    Unwanted,
}

impl Trouble {
    /// Whether somebody answered, and it was not the node that was meant: its process has ended, and
    /// perhaps another has begun.
    pub(super) fn means_gone(&self) -> bool {
        match self {
            Trouble::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            Trouble::Refused(fault) => fault.status == Status::WrongNode,
            Trouble::TimedOut | Trouble::End | Trouble::Nonsense(_) | Trouble::Unwanted => false,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Io(error) => error.fmt(f),
            Trouble::TimedOut => f.write_str("no answer in time"),
            Trouble::End => f.write_str("it hung up"),
            Trouble::Refused(fault) | Trouble::Nonsense(fault) => fault.fmt(f),
            Trouble::Unwanted => f.write_str("not used any more"),
        }
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        match broken {
            Broken::End => Trouble::End,
            Broken::Io(error) => Trouble::Io(error),
            Broken::Fault(fault) => Trouble::Nonsense(fault),
        }
    }
}

/// How many connections of each kind there may yet be.
#[derive(Clone)]
struct Places {
    strangers: Arc<Semaphore>,
    operators: Arc<Semaphore>,
}

/// Accepts connections for good.
pub(super) async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
    let places = Places {
        strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        operators: Arc::new(Semaphore::new(OPERATORS_MAX)),
    };
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; some may be closed soon.
                tracing::warn!(%error, "cannot accept a connection to the control port");
                sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        match places.strangers.clone().try_acquire_owned() {
            Ok(stranger) => {
                let (events, places) = (events.clone(), places.clone());
                spawn_local(greet((stream, from), stranger, places, events));
            }
            Err(_) => {
                // Nobody waits for it to be sent: there are too many already.
                _ = stream.try_write(&reply_with(too_many(STRANGERS_MAX)));
            }
        }
    }
}

fn too_many(limit: usize) -> Fault {
    Fault::expected(Status::TooManyConnections, limit as u64, limit as u64 + 1)
}

fn reply_with(fault: Fault) -> Vec<u8> {
    let mut bytes = Vec::new();
    let refusal = Refusal::Fault(fault);
    frame::write_reply(&mut bytes, &Header::new(FrameKind::Reply), Err(&refusal));
    bytes
}

/// Finds out who has connected, and serves them.
async fn greet(
    (stream, from): (TcpStream, SocketAddr),
    stranger: OwnedSemaphorePermit,
    places: Places,
    events: mpsc::Sender<Event>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let fd = stream.as_raw_fd();
    let (reader, mut writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    let hello = frames.next(STRANGER_FRAME_BYTES_MAX, hello_of);
    let verdict = match timeout(Duration::from_millis(HANDSHAKE_MS_MAX), hello).await {
        Ok(Ok(hello)) => {
            let (verdict, decided) = oneshot::channel();
            _ = events.send(Event::Hello { hello, from, verdict }).await;
            decided.await.unwrap_or(Verdict::Refused(Fault::new(Status::ShuttingDown)))
        }
        Ok(Err(Broken::Fault(fault))) => Verdict::Refused(fault),
        Ok(Err(Broken::End | Broken::Io(_))) | Err(_) => return,
    };
    let mut welcome = Vec::new();
    write_welcome(&mut welcome);
    match verdict {
        Verdict::Refused(fault) => {
            tracing::debug!(%from, %fault, "refused a connection to the control port");
            refuse(frames, writer, fault).await;
        }
        Verdict::Operator => match places.operators.try_acquire_owned() {
            Ok(_operator) => {
                drop(stranger);
                if writer.write_all(&welcome).await.is_ok() {
                    serve_operator(frames, writer, &events).await;
                }
            }
            Err(_) => refuse(frames, writer, too_many(OPERATORS_MAX)).await,
        },
        Verdict::Peer { link, user_timeout_ms } => {
            drop(stranger);
            // It is only slower to notice that the other side is gone.
            _ = setsockopt(fd, TcpUserTimeout, &user_timeout_ms);
            let trouble = match writer.write_all(&welcome).await {
                Ok(()) => talk(&link, &mut frames, &mut writer, &events).await,
                Err(error) => Trouble::Io(error),
            };
            _ = events.send(Event::Closed { link, at: from, trouble }).await;
        }
    }
}

fn hello_of(frame: &Frame<'_>) -> Result<PeerHello, Fault> {
    match frame.header.kind {
        FrameKind::PeerHello => PeerHello::decode(frame.body),
        _ => Err(Fault::new(Status::HelloRequired)),
    }
}

/// Says why, and sees to it that it is heard: what the other side has sent and nobody has read would
/// throw it away.
async fn refuse(mut frames: Frames<OwnedReadHalf>, mut writer: OwnedWriteHalf, fault: Fault) {
    let telling = async {
        writer.write_all(&reply_with(fault)).await?;
        writer.shutdown().await?;
        frames.drain().await;
        io::Result::Ok(())
    };
    // It may be gone already.
    _ = timeout(Duration::from_millis(HANDSHAKE_MS_MAX), telling).await;
}

/// Answers an operator's questions, one after the other.
async fn serve_operator(
    mut frames: Frames<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    events: &mpsc::Sender<Event>,
) {
    loop {
        let next = frames.next(STRANGER_FRAME_BYTES_MAX, |frame| {
            frame.expect_kind(FrameKind::Operator)?;
            Request::decode(frame.body)
        });
        let request = match next.await {
            Ok(request) => request,
            Err(Broken::Fault(fault)) => return refuse(frames, writer, fault).await,
            Err(Broken::End | Broken::Io(_)) => return,
        };
        let (answer, answered) = oneshot::channel();
        _ = events.send(Event::Asked { request, answer }).await;
        let reply = answered.await.unwrap_or_else(|_| Reply::Refused("the node stops".to_owned()));
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Makes a connection to another node and talks to it.
pub(super) async fn dial(link: Rc<Link>, way: Way, events: mpsc::Sender<Event>) {
    let at = way.address;
    let trouble = tokio::select! {
        () = link.unwanted.notified() => Trouble::Unwanted,
        connected = connect(&way) => match connected {
            Ok((mut frames, mut writer)) => {
                _ = events.send(Event::Opened { link: link.clone(), at }).await;
                talk(&link, &mut frames, &mut writer, &events).await
            }
            Err(trouble) => trouble,
        },
    };
    _ = events.send(Event::Closed { link, at, trouble }).await;
}

async fn connect(way: &Way) -> Result<(Frames<OwnedReadHalf>, OwnedWriteHalf), Trouble> {
    let connecting = TcpStream::connect(way.address);
    let stream = timeout(Duration::from_millis(DIAL_MS_MAX), connecting)
        .await
        .map_err(|_| Trouble::TimedOut)?
        .map_err(Trouble::Io)?;
    stream.set_nodelay(true).map_err(Trouble::Io)?;
    // It is only slower to notice that the other side is gone.
    _ = setsockopt(stream.as_raw_fd(), TcpUserTimeout, &way.user_timeout_ms);
    let (reader, mut writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    let greeting = async {
        let mut hello = Vec::new();
        way.hello.write(&mut hello);
        writer.write_all(&hello).await.map_err(Trouble::Io)?;
        frames.next(STRANGER_FRAME_BYTES_MAX, welcome_of).await?
    };
    timeout(Duration::from_millis(HANDSHAKE_MS_MAX), greeting)
        .await
        .map_err(|_| Trouble::TimedOut)??;
    Ok((frames, writer))
}

/// Whether the other side takes this node for what it said: outside, whether that is an answer at all.
fn welcome_of(frame: &Frame<'_>) -> Result<Result<(), Trouble>, Fault> {
    match frame.header.kind {
        FrameKind::PeerWelcome => Ok(Ok(())),
        FrameKind::Reply => {
            let status = Status::from_wire(frame.header.flags);
            let status = status.ok_or(Fault::new(Status::BadBody))?;
            Ok(Err(Trouble::Refused(match Refusal::decode(status, frame.body)? {
                Refusal::Fault(fault) => fault,
                Refusal::Timeout(_) | Refusal::Broken(_) => Fault::new(status),
            })))
        }
        _ => Err(frame.expect_kind(FrameKind::PeerWelcome).expect_err("it is of another kind")),
    }
}

/// Carries messages both ways until the connection breaks or is not wanted any more.
async fn talk(
    link: &Rc<Link>,
    frames: &mut Frames<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    events: &mpsc::Sender<Event>,
) -> Trouble {
    tokio::select! {
        () = link.unwanted.notified() => Trouble::Unwanted,
        trouble = hear(link, frames, events) => trouble,
        error = speak(link, writer) => Trouble::Io(error),
    }
}

async fn hear(
    link: &Rc<Link>,
    frames: &mut Frames<OwnedReadHalf>,
    events: &mpsc::Sender<Event>,
) -> Trouble {
    loop {
        let next = frames.next(PEER_FRAME_BYTES_MAX, |frame| {
            frame.expect_kind(FrameKind::PeerMessage)?;
            serde_json::from_slice::<PeerMessage>(frame.body)
                .map_err(|_| Fault::new(Status::BadBody))
        });
        match next.await {
            Ok(message) => _ = events.send(Event::Heard { link: link.clone(), message }).await,
            Err(broken) => return broken.into(),
        }
    }
}

async fn speak(link: &Link, writer: &mut OwnedWriteHalf) -> io::Error {
    loop {
        let unsent = link.take_unsent();
        if unsent.is_empty() {
            link.wake.notified().await;
        } else if let Err(error) = writer.write_all(&unsent).await {
            return error;
        }
    }
}
