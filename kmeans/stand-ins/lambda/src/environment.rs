//! One environment: a process, and the runtime API that it polls.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};

use super::process::Process;
use super::{Function, lock};

/// The path of the runtime API.
const PATH: &str = "/2018-06-01/runtime";

/// An invocation on its way to an environment.
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) payload: Bytes,
    pub(super) time: Duration,
    pub(super) response: oneshot::Sender<RuntimeResponse>,
    /// Notified when the program has received it.
    pub(super) started: oneshot::Sender<InvocationStart>,
}

/// The response of a program: a result, or an error.
pub(super) type RuntimeResponse = Result<Bytes, Bytes>;

/// The moment at which the program received an invocation.
#[derive(Clone, Copy)]
pub(super) struct InvocationStart {
    pub(super) at: Instant,
    /// How long the process took to poll for its first invocation.
    pub(super) init: Option<Duration>,
}

/// A process that serves a function.
#[derive(Debug)]
pub(super) struct Environment {
    function: String,
    pub(super) process: Process,
    spawned: Instant,
    polled: AtomicBool,
    busy: AtomicBool,
    queue: mpsc::UnboundedSender<Invocation>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    current: Mutex<Option<(String, oneshot::Sender<RuntimeResponse>)>>,
}

impl Environment {
    /// Starts an environment that is taken for an invocation already.
    pub(super) async fn start(
        name: &str,
        function: &Function,
        invoke_url: &str,
    ) -> io::Result<Arc<Environment>> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let mut command = Command::new(&function.program);
        command.env_clear().envs(function.variables.iter().cloned()).envs([
            ("AWS_LAMBDA_RUNTIME_API", &*address),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/stand-in"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "1"),
            ("AWS_REGION", "us-east-1"),
            // Functions can invoke functions.
            ("AWS_ENDPOINT_URL_LAMBDA", invoke_url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        let (queue, waiting) = mpsc::unbounded_channel();
        let environment = Arc::new(Environment {
            function: name.to_owned(),
            process: Process::start(&mut command)?,
            spawned: Instant::now(),
            polled: AtomicBool::new(false),
            busy: AtomicBool::new(true),
            queue,
            waiting: tokio::sync::Mutex::new(waiting),
            current: Mutex::default(),
        });
        tokio::spawn(serve(listener, environment.clone()));
        Ok(environment)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    pub(super) fn is_busy(&self, function: &str) -> bool {
        self.function == function && self.is_alive() && self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn serves(&self, function: &str) -> bool {
        self.function == function
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.process.has_ended()
    }

    /// Takes the environment for an invocation, if it is idle.
    pub(super) fn take(&self, function: &str) -> bool {
        self.serves(function) && self.is_alive() && !self.busy.swap(true, Ordering::Relaxed)
    }

    /// Passes an invocation to the environment, which was taken for it.
    pub(super) fn invoke(&self, invocation: Invocation) {
        // If the environment has ended, waiting for the response will show it.
        drop(self.queue.send(invocation));
        self.process.signal("-CONT");
    }

    /// Kills the process, frozen or not.
    pub(super) fn end(&self) {
        self.process.signal("-KILL");
    }

    async fn next(&self) -> Option<Invocation> {
        let mut waiting = self.waiting.lock().await;
        match waiting.try_recv() {
            Ok(invocation) => Some(invocation),
            Err(_) => {
                // An idle environment is frozen, before it can be taken again.
                self.process.signal("-STOP");
                self.busy.store(false, Ordering::Relaxed);
                waiting.recv().await
            }
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, environment: Arc<Environment>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let environment = environment.clone();
        let service = service_fn(move |request| respond_to(environment.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        // The connection fails when the process ends.
        tokio::spawn(async { connection.await.ok() });
    }
}

async fn respond_to(
    environment: Arc<Environment>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PATH).unwrap_or_default().to_owned();
    if head.method == Method::GET && path == "/invocation/next" {
        return next(&environment).await;
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let response = match path.rsplit_once('/') {
        Some((_, "response")) => Ok(body),
        Some((_, "error")) => Err(body),
        _ => return status(StatusCode::NOT_FOUND),
    };
    let Some((id, waiting)) = lock(&environment.current).take() else {
        return status(StatusCode::FORBIDDEN);
    };
    if !path.contains(&id) {
        return status(StatusCode::BAD_REQUEST);
    }
    // The invoker may have given up.
    drop(waiting.send(response));
    status(StatusCode::ACCEPTED)
}

async fn next(environment: &Environment) -> io::Result<Response<Full<Bytes>>> {
    let init =
        (!environment.polled.swap(true, Ordering::Relaxed)).then(|| environment.spawned.elapsed());
    let Some(Invocation { id, payload, time, response, started }) = environment.next().await else {
        return status(StatusCode::GONE);
    };
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + time;
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", environment.function);
    *lock(&environment.current) = Some((id.clone(), response));
    let _ = started.send(InvocationStart { at: Instant::now(), init });
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", ends.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("lambda-runtime-trace-id", "Root=1-0-0")
        .body(Full::new(payload))
        .map_err(io::Error::other)
}

fn status(status: StatusCode) -> io::Result<Response<Full<Bytes>>> {
    let body = Bytes::from_static(b"{\"status\":\"OK\"}");
    Response::builder().status(status).body(Full::new(body)).map_err(io::Error::other)
}
