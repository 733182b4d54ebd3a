//! A thread that serves metrics over HTTP: `/metrics` for Prometheus, and `/health`.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::{MetricsReader, prometheus};
use crate::open_connections::{Activity, OpenConnections};

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct HttpThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Connections that are open at a time; a further one takes the place of the oldest that has sent no
/// request.
const CONNECTIONS_MAX: usize = 16;

/// How long a request and its response may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

impl HttpThread {
    /// Serves on a listener that is already bound.
    pub(super) fn spawn(
        reader: Arc<MetricsReader>,
        listener: TcpListener,
    ) -> io::Result<HttpThread> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _within = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name("catena-metrics".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(reader, listener) => {}
                        // The sender was dropped.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(HttpThread { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for HttpThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that serves metrics panicked");
        }
    }
}

async fn serve(reader: Arc<MetricsReader>, listener: tokio::net::TcpListener) {
    let mut open = OpenConnections::new(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely no file descriptor is left; some may be closed soon.
                tracing::warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Those that are busy have got their response and do not read it.
        if !open.make_room() {
            open.close_oldest();
        }
        let (reader, activity) = (reader.clone(), Activity::default());
        let busy = activity.clone();
        let task = tokio::spawn(async move {
            let service = service_fn(|request| {
                busy.set_busy(true);
                let response = respond(&reader, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(REQUEST_TIME_MAX, served).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke"),
                Err(_) => tracing::debug!("a connection for metrics took too long"),
            }
        });
        open.add(task.abort_handle(), activity);
    }
}

/// Responds to a request. This waits for the cores, for a second at most; the thread has nothing else
/// to do.
fn respond(reader: &MetricsReader, request: &Request<Incoming>) -> Response<String> {
    let page = |status, kind, text: String| {
        let page = Response::builder().status(status).header(CONTENT_TYPE, kind).body(text);
        page.expect("status and type are valid")
    };
    let plain = |status, text: &str| page(status, "text/plain; charset=utf-8", text.to_owned());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let text = prometheus::page(&reader.labels, reader.read());
            page(StatusCode::OK, prometheus::CONTENT_TYPE, text)
        }
        "/health" if reader.read().is_complete() => plain(StatusCode::OK, "ok\n"),
        "/health" => plain(StatusCode::SERVICE_UNAVAILABLE, "a core does not reply\n"),
        _ => plain(StatusCode::NOT_FOUND, "not found: the paths are /metrics and /health\n"),
    }
}
