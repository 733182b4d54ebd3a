//! From connections to the store, with faults on the way.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};

use super::{ACCESS_KEY, Fault, SECRET_ACCESS_KEY, Shared, lock};

/// Accepts connections for good.
pub(super) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut builder = S3ServiceBuilder::new(shared.store.clone());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_ACCESS_KEY));
    let s3 = builder.build();
    loop {
        // What cannot be accepted now may be later: a client gave up, or files ran out.
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (s3, shared) = (s3.clone(), shared.clone());
        let service = service_fn(move |request| answer(s3.clone(), shared.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        // A client that goes away, or that a fault sends away, is no error here.
        tokio::spawn(async { connection.await.ok() });
    }
}

/// An answer; or an error, upon which hyper closes the connection.
async fn answer(
    s3: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<HttpResponse> {
    if request.method() != Method::PUT {
        return pass(&s3, request.map(Body::from)).await;
    }
    // All of it has to be here before anything is done: a late PUT is done for a client that left.
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
            // The connection may end meanwhile, and this function with it.
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
        409 => "ConditionalRequestConflict",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>told to</Message></Error>"
    );
    Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .body(Body::from(body))
        .expect("a status and a header")
}
