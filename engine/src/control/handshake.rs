//! Connections of control ports: the handshake, and the tasks that serve a connection after it.
//!
//! A connection begins with a PeerHello. The control loop decides whether to accept it; these tasks
//! carry the decision out and know nothing of the cluster.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use catena_core::chain::member::PeerMessage;
use catena_core::time::Time;
use catena_protocol::operator::{Reply, Request};
use catena_protocol::peer::{PeerHello, check_version, write_welcome};
use catena_protocol::{Fault, Frame, FrameKind, Header, Refusal, Status, frame};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::event::{Admission, ControlEvent};
use super::frames::{FrameError, FrameReader};
use super::peer_link::{PeerLink, PeerLinkError, PeerRoute};
use crate::config::{
    DIAL_MS_MAX, HANDSHAKE_MS_MAX, HANDSHAKES_MAX, OPERATORS_MAX, PEER_FRAME_BYTES_MAX,
    SMALL_FRAME_BYTES_MAX,
};
use crate::open_connections::{Activity, OpenConnections};

/// The accepted connections, except those of other nodes, which the control loop counts.
#[derive(Clone)]
struct Accepted {
    /// A connection is busy while the control loop decides about it.
    handshakes: Rc<RefCell<OpenConnections>>,
    /// A connection is busy while its request is under way.
    operators: Rc<RefCell<OpenConnections>>,
}

/// Accepts connections until the task is dropped.
pub(super) async fn accept(listener: TcpListener, events: mpsc::Sender<ControlEvent>) {
    let open = |max| Rc::new(RefCell::new(OpenConnections::new(max)));
    let accepted = Accepted { handshakes: open(HANDSHAKES_MAX), operators: open(OPERATORS_MAX) };
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely no file descriptor is left; some may be closed soon.
                tracing::warn!(%error, "cannot accept a connection to the control port");
                sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if !accepted.handshakes.borrow_mut().make_room() {
            // No task waits until it is sent: there are too many tasks already.
            _ = stream.try_write(&refusal(too_many(HANDSHAKES_MAX)));
            continue;
        }
        let activity = Activity::default();
        let task =
            spawn_local(serve((stream, from), activity.clone(), accepted.clone(), events.clone()));
        accepted.handshakes.borrow_mut().add(task.abort_handle(), activity);
    }
}

fn too_many(limit: usize) -> Fault {
    Fault::expected(Status::TooManyConnections, limit as u64, limit as u64 + 1)
}

fn refusal(fault: Fault) -> Vec<u8> {
    let mut bytes = Vec::new();
    let refusal = Refusal::Fault(fault);
    frame::write_reply(&mut bytes, &Header::new(FrameKind::Reply), Err(&refusal));
    bytes
}

/// Shakes hands with an accepted connection, and serves it until it ends.
async fn serve(
    (stream, from): (TcpStream, SocketAddr),
    activity: Activity,
    accepted: Accepted,
    events: mpsc::Sender<ControlEvent>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let fd = stream.as_raw_fd();
    let (reader, mut writer) = stream.into_split();
    let mut frames = FrameReader::new(reader);
    let hello = frames.next(SMALL_FRAME_BYTES_MAX, decode_hello);
    let admission = match timeout(Duration::from_millis(HANDSHAKE_MS_MAX), hello).await {
        Ok(Ok(hello)) => {
            activity.set_busy(true);
            let (admission, decided) = oneshot::channel();
            _ = events.send(ControlEvent::Hello { hello, from, admission }).await;
            decided.await.unwrap_or(Admission::Refused(Fault::new(Status::ShuttingDown)))
        }
        Ok(Err(FrameError::Invalid(fault))) => Admission::Refused(fault),
        Ok(Err(FrameError::Closed | FrameError::Io(_))) | Err(_) => return,
    };
    let mut welcome = Vec::new();
    write_welcome(&mut welcome);
    match admission {
        Admission::Refused(fault) => {
            tracing::debug!(%from, %fault, "refused a connection to the control port");
            activity.set_busy(false);
            refuse(frames, writer, fault).await;
        }
        Admission::Operator => {
            if !accepted.operators.borrow_mut().make_room() {
                activity.set_busy(false);
                return refuse(frames, writer, too_many(OPERATORS_MAX)).await;
            }
            accepted.handshakes.borrow_mut().remove(&activity);
            // A task of its own, because it is another one's place that this one takes.
            let idle = Activity::default();
            let (busy, events) = (idle.clone(), events.clone());
            let task = spawn_local(async move {
                if writer.write_all(&welcome).await.is_ok() {
                    serve_operator(frames, writer, &busy, &events).await;
                }
            });
            accepted.operators.borrow_mut().add(task.abort_handle(), idle);
        }
        Admission::Peer { link, user_timeout_ms } => {
            accepted.handshakes.borrow_mut().remove(&activity);
            // Without it, this node only takes longer to notice that the other side is gone.
            _ = setsockopt(fd, TcpUserTimeout, &user_timeout_ms);
            let error = match writer.write_all(&welcome).await {
                Ok(()) => exchange(&link, &mut frames, &mut writer, &events).await,
                Err(error) => PeerLinkError::Io(error),
            };
            _ = events.send(ControlEvent::LinkClosed { link, at: from, error }).await;
        }
    }
}

fn decode_hello(frame: &Frame<'_>) -> Result<PeerHello, Fault> {
    match frame.header.kind {
        FrameKind::PeerHello => {
            let hello = PeerHello::decode(frame.body)?;
            // An operator's tool may be of another version.
            if (hello.from, hello.to) != (0, 0) {
                check_version(&frame.header)?;
            }
            Ok(hello)
        }
        _ => Err(Fault::new(Status::HelloRequired)),
    }
}

/// Sends a refusal and waits until the other side closes the connection, because closing a socket
/// with unread bytes resets the connection and may destroy the refusal on its way.
async fn refuse(mut frames: FrameReader<OwnedReadHalf>, mut writer: OwnedWriteHalf, fault: Fault) {
    let sending = async {
        writer.write_all(&refusal(fault)).await?;
        writer.shutdown().await?;
        frames.drain().await;
        io::Result::Ok(())
    };
    // The other side may be gone already.
    _ = timeout(Duration::from_millis(HANDSHAKE_MS_MAX), sending).await;
}

/// Serves an operator's requests, one after the other.
async fn serve_operator(
    mut frames: FrameReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    activity: &Activity,
    events: &mpsc::Sender<ControlEvent>,
) {
    loop {
        activity.set_busy(false);
        let next = frames.next(SMALL_FRAME_BYTES_MAX, |frame| {
            frame.expect_kind(FrameKind::Operator)?;
            Request::decode(frame.body)
        });
        let request = match next.await {
            Ok(request) => request,
            Err(FrameError::Invalid(fault)) => return refuse(frames, writer, fault).await,
            Err(FrameError::Closed | FrameError::Io(_)) => return,
        };
        activity.set_busy(true);
        let (reply, replied) = oneshot::channel();
        _ = events.send(ControlEvent::OperatorRequest { request, reply }).await;
        let reply =
            replied.await.unwrap_or_else(|_| Reply::Refused("the node is stopping".to_owned()));
        activity.set_busy(false);
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Connects to another node, and serves the connection until it ends.
pub(super) async fn dial(link: Rc<PeerLink>, route: PeerRoute, events: mpsc::Sender<ControlEvent>) {
    let at = route.address;
    let error = tokio::select! {
        () = link.closed.notified() => PeerLinkError::Dropped,
        connected = connect(&route) => match connected {
            Ok((mut frames, mut writer)) => {
                _ = events.send(ControlEvent::LinkOpened { link: link.clone(), at }).await;
                exchange(&link, &mut frames, &mut writer, &events).await
            }
            Err(error) => error,
        },
    };
    _ = events.send(ControlEvent::LinkClosed { link, at, error }).await;
}

async fn connect(
    route: &PeerRoute,
) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), PeerLinkError> {
    let connecting = TcpStream::connect(route.address);
    let stream = timeout(Duration::from_millis(DIAL_MS_MAX), connecting)
        .await
        .map_err(|_| PeerLinkError::TimedOut)?
        .map_err(PeerLinkError::Io)?;
    stream.set_nodelay(true).map_err(PeerLinkError::Io)?;
    // Without it, this node only takes longer to notice that the other side is gone.
    _ = setsockopt(stream.as_raw_fd(), TcpUserTimeout, &route.user_timeout_ms);
    let (reader, mut writer) = stream.into_split();
    let mut frames = FrameReader::new(reader);
    let shaking_hands = async {
        let mut hello = Vec::new();
        route.hello.write(&mut hello);
        writer.write_all(&hello).await.map_err(PeerLinkError::Io)?;
        frames.next(SMALL_FRAME_BYTES_MAX, decode_welcome).await?
    };
    timeout(Duration::from_millis(HANDSHAKE_MS_MAX), shaking_hands)
        .await
        .map_err(|_| PeerLinkError::TimedOut)??;
    Ok((frames, writer))
}

/// Decodes the reply to a PeerHello: a welcome, or a refusal of this node. The outer error is for a
/// frame that is neither.
fn decode_welcome(frame: &Frame<'_>) -> Result<Result<(), PeerLinkError>, Fault> {
    match frame.header.kind {
        FrameKind::PeerWelcome => Ok(Ok(())),
        FrameKind::Reply => {
            let status = Status::from_wire(frame.header.flags);
            let status = status.ok_or(Fault::new(Status::BadBody))?;
            Ok(Err(PeerLinkError::Refused(match Refusal::decode(status, frame.body)? {
                Refusal::Fault(fault) => fault,
                Refusal::Timeout(_) | Refusal::Broken(_) => Fault::new(status),
            })))
        }
        _ => Err(frame.expect_kind(FrameKind::PeerWelcome).expect_err("it is of another kind")),
    }
}

/// Sends and receives messages until the connection breaks or is closed by this node.
async fn exchange(
    link: &Rc<PeerLink>,
    frames: &mut FrameReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    events: &mpsc::Sender<ControlEvent>,
) -> PeerLinkError {
    let error = tokio::select! {
        () = link.closed.notified() => PeerLinkError::Dropped,
        error = receive(link, frames, events) => error,
        error = send(link, writer) => error,
    };
    link.ended.notify_one();
    error
}

async fn receive(
    link: &Rc<PeerLink>,
    frames: &mut FrameReader<OwnedReadHalf>,
    events: &mpsc::Sender<ControlEvent>,
) -> PeerLinkError {
    loop {
        let next = frames.next(PEER_FRAME_BYTES_MAX, |frame| {
            frame.expect_kind(FrameKind::PeerMessage)?;
            let message = serde_json::from_slice::<PeerMessage>(frame.body)
                .map_err(|_| Fault::new(Status::BadBody))?;
            Ok((message, Time(frame.header.number)))
        });
        match next.await {
            Ok((message, day)) => {
                let link = link.clone();
                _ = events.send(ControlEvent::PeerMessage { link, message, day }).await;
            }
            Err(error) => return error.into(),
        }
    }
}

async fn send(link: &PeerLink, writer: &mut OwnedWriteHalf) -> PeerLinkError {
    loop {
        let unsent = link.take_unsent();
        if !unsent.is_empty() {
            if let Err(error) = writer.write_all(&unsent).await {
                return PeerLinkError::Io(error);
            }
        } else if link.is_finishing() {
            return PeerLinkError::Dropped;
        } else {
            link.wake.notified().await;
        }
    }
}
