//! One environment: a process, and the interface that it polls.

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

/// Where a runtime asks and answers.
const PATH: &str = "/2018-06-01/runtime";

/// What an environment is handed.
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) payload: Bytes,
    pub(super) time: Duration,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Told when the program has it.
    pub(super) begun: oneshot::Sender<Begun>,
}

/// What it answers: a result, or an error.
pub(super) type Answer = Result<Bytes, Bytes>;

/// When an invocation was handed over.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) at: Instant,
    /// How long the process took to ask for its first.
    pub(super) init: Option<Duration>,
}

/// A process that serves a function.
#[derive(Debug)]
pub(super) struct Environment {
    function: String,
    pub(super) process: Process,
    started: Instant,
    asked: AtomicBool,
    busy: AtomicBool,
    queue: mpsc::UnboundedSender<Invocation>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    current: Mutex<Option<(String, oneshot::Sender<Answer>)>>,
}

impl Environment {
    /// Starts one, with an invocation already on its way.
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
            // So that functions can invoke functions.
            ("AWS_ENDPOINT_URL_LAMBDA", invoke_url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        let (queue, waiting) = mpsc::unbounded_channel();
        let environment = Arc::new(Environment {
            function: name.to_owned(),
            process: Process::start(&mut command)?,
            started: Instant::now(),
            asked: AtomicBool::new(false),
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

    /// Takes it for an invocation, if it has none.
    pub(super) fn take(&self, function: &str) -> bool {
        self.serves(function) && self.is_alive() && !self.busy.swap(true, Ordering::Relaxed)
    }

    /// Hands over an invocation; the environment was taken for it.
    pub(super) fn invoke(&self, invocation: Invocation) {
        // A closed channel is an environment that ended, which is found out by whoever waits for the answer.
        drop(self.queue.send(invocation));
        self.process.signal("-CONT");
    }

    /// Kills it, frozen or not.
    pub(super) fn end(&self) {
        self.process.signal("-KILL");
    }

    async fn next(&self) -> Option<Invocation> {
        let mut waiting = self.waiting.lock().await;
        match waiting.try_recv() {
            Ok(invocation) => Some(invocation),
            Err(_) => {
                // Nothing runs in an environment that waits. Stopped before it can be taken again.
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
        let service = service_fn(move |request| answer(environment.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        // A process that ends takes its connections along.
        tokio::spawn(async { connection.await.ok() });
    }
}

async fn answer(
    environment: Arc<Environment>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PATH).unwrap_or_default().to_owned();
    if head.method == Method::GET && path == "/invocation/next" {
        return next(&environment).await;
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let answer = match path.rsplit_once('/') {
        Some((_, "response")) => Ok(body),
        Some((_, "error")) => Err(body),
        _ => return respond(StatusCode::NOT_FOUND),
    };
    let Some((id, waits)) = lock(&environment.current).take() else {
        return respond(StatusCode::FORBIDDEN);
    };
    if !path.contains(&id) {
        return respond(StatusCode::BAD_REQUEST);
    }
    // Whoever waited may have given up.
    drop(waits.send(answer));
    respond(StatusCode::ACCEPTED)
}

async fn next(environment: &Environment) -> io::Result<Response<Full<Bytes>>> {
    let init =
        (!environment.asked.swap(true, Ordering::Relaxed)).then(|| environment.started.elapsed());
    let Some(Invocation { id, payload, time, answer, begun }) = environment.next().await else {
        return respond(StatusCode::GONE);
    };
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + time;
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", environment.function);
    *lock(&environment.current) = Some((id.clone(), answer));
    let _ = begun.send(Begun { at: Instant::now(), init });
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", ends.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("lambda-runtime-trace-id", "Root=1-0-0")
        .body(Full::new(payload))
        .map_err(io::Error::other)
}

fn respond(status: StatusCode) -> io::Result<Response<Full<Bytes>>> {
    let body = Bytes::from_static(b"{\"status\":\"OK\"}");
    Response::builder().status(status).body(Full::new(body)).map_err(io::Error::other)
}
