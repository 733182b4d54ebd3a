//! Serves connections, with faults between them and the store.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};

use super::{ACCESS_KEY, Fault, GetFault, SECRET_ACCESS_KEY, Shared, lock};

/// Accepts connections until the stand-in ends.
pub(super) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut builder = S3ServiceBuilder::new(shared.store.clone());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_ACCESS_KEY));
    let s3 = builder.build();
    loop {
        // Errors pass: a client gave up, or file descriptors ran out.
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (s3, shared) = (s3.clone(), shared.clone());
        let service = service_fn(move |request| reply(s3.clone(), shared.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        // Clients disconnect, and faults end connections; neither is an error here.
        tokio::spawn(async { connection.await.ok() });
    }
}

/// Returns the reply, or an error, after which hyper closes the connection.
async fn reply(
    s3: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<HttpResponse> {
    match *request.method() {
        Method::PUT => put(s3, shared, request).await,
        // A GET with a query lists a bucket, unless the SDK marks it as the GET of an object.
        Method::GET
            if request.uri().query().is_none_or(|query| query.contains("x-id=GetObject")) =>
        {
            get(s3, shared, request).await
        }
        _ => pass(&s3, request.map(Body::from)).await,
    }
}

async fn get(
    s3: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<HttpResponse> {
    *lock(&shared.gets) += 1;
    let fault = lock(&shared.get_faults).pop_front();
    match fault {
        None => pass(&s3, request.map(Body::from)).await,
        Some(GetFault::Refuse(status)) => Ok(refusal(status)),
        Some(GetFault::Cut(bytes)) => {
            let (head, body) = pass(&s3, request.map(Body::from)).await?.into_parts();
            let whole = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let rest = Some(whole.slice(..bytes.min(whole.len())));
            Ok(Response::from_parts(head, Body::http_body_unsync(Cut { rest })))
        }
    }
}

/// A body that breaks off after `rest`.
struct Cut {
    rest: Option<Bytes>,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(match self.rest.take() {
            Some(bytes) => Ok(Frame::data(bytes)),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        }))
    }
}

async fn put(
    s3: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<HttpResponse> {
    // The whole body has to be here first, because a late PUT is stored for a client that has left.
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(head, Body::from(body));
    *lock(&shared.puts) += 1;
    let fault = lock(&shared.faults).pop_front();
    match fault {
        None => pass(&s3, request).await,
        Some(Fault::Refuse(status)) => Ok(refusal(status)),
        Some(Fault::Drop) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::LoseReply) => {
            pass(&s3, request).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Some(Fault::Late(delay)) => {
            // The connection may end meanwhile, and this future with it.
            let task = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                pass(&s3, request).await
            });
            task.await.map_err(io::Error::other)?
        }
    }
}

async fn pass(s3: &S3Service, request: Request<Body>) -> io::Result<HttpResponse> {
    s3.call(request).await.map_err(|error| io::Error::other(format!("{error:?}")))
}

fn refusal(status: u16) -> HttpResponse {
    let code = match status {
        403 => "AccessDenied",
        409 => "ConditionalRequestConflict",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>a fault of the test</Message></Error>"
    );
    Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .body(Body::from(body))
        .expect("a status and a header")
}
