//! The interface through which functions are invoked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::environment::{Environment, Invocation};
use super::{Function, Report, Shared, lock};

/// The most bytes of a payload, and of a result.
const PAYLOAD_BYTES_MAX: usize = 6 << 20;

/// How often an asynchronous invocation is repeated if it fails.
const RETRIES: u32 = 2;

/// The outcome of an invocation.
struct InvocationOutcome {
    payload: Bytes,
    is_ok: bool,
    log: Vec<u8>,
}

/// Accepts connections until the stand-in ends.
pub(super) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let shared = shared.clone();
        let service = service_fn(move |request| respond_to(shared.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async { connection.await.ok() });
    }
}

async fn respond_to(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let name = head
        .uri
        .path()
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|rest| rest.strip_suffix("/invocations"))
        .unwrap_or_default()
        .to_owned();
    let payload = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let Some(function) = shared.functions.get(&name).cloned() else {
        let message = format!("Function not found: {name}");
        return refusal(404, "ResourceNotFoundException", &message);
    };
    if payload.len() > PAYLOAD_BYTES_MAX {
        return refusal(413, "RequestTooLargeException", "the payload is too large");
    }
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if header("x-amz-invocation-type") == Some("Event") {
        tokio::spawn(async move {
            for _ in 0..=RETRIES {
                let outcome = invoke(&shared, &name, &function, payload.clone()).await;
                if outcome.is_some_and(|outcome| outcome.is_ok) {
                    return;
                }
            }
        });
        return Response::builder().status(202).body(Full::default()).map_err(io::Error::other);
    }
    // As with Lambda, the invocation goes on if the invoker disconnects.
    let invoked = tokio::spawn(async move { invoke(&shared, &name, &function, payload).await });
    let Some(outcome) = invoked.await.map_err(io::Error::other)? else {
        return refusal(429, "TooManyRequestsException", "Rate Exceeded.");
    };
    let mut response = Response::builder().header("x-amz-executed-version", "$LATEST");
    if !outcome.is_ok {
        response = response.header("x-amz-function-error", "Unhandled");
    }
    if header("x-amz-log-type") == Some("Tail") {
        response = response.header("x-amz-log-result", BASE64_STANDARD.encode(&outcome.log));
    }
    response.body(Full::new(outcome.payload)).map_err(io::Error::other)
}

/// Invokes a function; returns `None` if it is throttled.
async fn invoke(
    shared: &Shared,
    name: &str,
    function: &Function,
    payload: Bytes,
) -> Option<InvocationOutcome> {
    static INVOCATIONS: AtomicU64 = AtomicU64::new(1);
    let environment = match find(shared, name, function).await? {
        Ok(environment) => environment,
        Err(cause) => return Some(failed("Runtime.InvalidEntrypoint", &cause.to_string())),
    };
    let id = format!("invocation-{}", INVOCATIONS.fetch_add(1, Ordering::Relaxed));
    let process = &environment.process;
    let since = process.log_bytes();
    process.print(&format!("START RequestId: {id} Version: $LATEST\n"));
    let (response, responded) = oneshot::channel();
    let (started, mut starts) = oneshot::channel();
    let passed = Instant::now();
    let time = function.timeout;
    environment.invoke(Invocation { id: id.clone(), payload, time, response, started });
    let result = tokio::select! {
        biased;
        Ok(response) = responded => response.map_err(failed_with),
        how = process.ended() => {
            let message = format!("RequestId: {id} Error: Runtime exited with error: {how}");
            Err(failed("Runtime.ExitError", &message))
        }
        () = tokio::time::sleep(time) => {
            environment.end();
            let seconds = time.as_secs_f64();
            let message = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
            Err(failed("Sandbox.Timedout", &message))
        }
    };
    let start = starts.try_recv().ok();
    let duration = start.map_or(passed, |start| start.at).elapsed();
    let report = Report {
        function: name.to_owned(),
        init: start.and_then(|start| start.init),
        duration,
        is_ok: result.is_ok(),
    };
    let init =
        report.init.map(|init| format!(" Init Duration: {:.2} ms", init.as_secs_f64() * 1e3));
    process.print(&format!(
        "END RequestId: {id}\nREPORT RequestId: {id} Duration: {:.2} ms{}\n",
        duration.as_secs_f64() * 1e3,
        init.unwrap_or_default(),
    ));
    lock(&shared.reports).push(report);
    let is_ok = result.is_ok();
    let outcome = match result {
        Ok(payload) => InvocationOutcome { payload, is_ok, log: Vec::new() },
        Err(outcome) => outcome,
    };
    Some(InvocationOutcome { log: process.tail(since), ..outcome })
}

/// Takes an idle environment, or starts one; returns `None` if the function is throttled.
async fn find(
    shared: &Shared,
    name: &str,
    function: &Function,
) -> Option<io::Result<Arc<Environment>>> {
    {
        let mut environments = lock(&shared.environments);
        environments.retain(|environment| environment.is_alive());
        if let Some(idle) = environments.iter().find(|environment| environment.take(name)) {
            return Some(Ok(idle.clone()));
        }
        if environments.iter().filter(|other| other.serves(name)).count() >= function.concurrency {
            return None;
        }
    }
    let started = Environment::start(name, function, &shared.endpoint_url).await;
    if let Ok(environment) = &started {
        lock(&shared.environments).push(environment.clone());
    }
    Some(started)
}

fn failed(kind: &str, message: &str) -> InvocationOutcome {
    failed_with(format!("{{\"errorType\":{kind:?},\"errorMessage\":{message:?}}}").into())
}

fn failed_with(payload: Bytes) -> InvocationOutcome {
    InvocationOutcome { payload, is_ok: false, log: Vec::new() }
}

fn refusal(status: u16, kind: &str, message: &str) -> io::Result<Response<Full<Bytes>>> {
    let body = format!("{{\"Type\":\"User\",\"Message\":{message:?}}}");
    Response::builder()
        .status(status)
        .header("x-amzn-errortype", kind)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .map_err(io::Error::other)
}
