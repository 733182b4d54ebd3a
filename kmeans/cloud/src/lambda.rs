//! Attempts as invocations of a Lambda function.

use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use aws_smithy_http_client::{pool, tls};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::Error;
use super::driver::{Attempt, AttemptEvent, Backend, Message, Request};

/// The longest time that Lambda lets a function run, and some time for the way there and back.
pub(super) const TIME_MAX: Duration = Duration::from_secs(15 * 60 + 30);

/// The most bytes that Lambda takes as a payload, and returns as a result.
pub(super) const BYTES_MAX: usize = 6 << 20;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a socket is silent before it is probed. NATs forget a connection after some minutes.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// A function, by name or ARN.
pub(super) struct Lambda {
    client: Client,
    function: String,
}

impl Lambda {
    pub(super) fn connect(function: &str, endpoint_url: Option<&str>) -> Result<Self, Error> {
        let refused = |reason| Error::Refused { function: function.to_string(), reason };
        let client = runtime().block_on(connect(endpoint_url)).map_err(refused)?;
        let client = client.ok_or_else(|| {
            refused("no AWS region: set AWS_REGION, or a region in the profile".to_string())
        })?;
        Ok(Self { client, function: function.to_string() })
    }
}

/// The runtime of the SDK's client, on a thread of its own; the rest of this crate blocks.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lambda-sdk")
            .enable_all()
            .build()
            .expect("the process can start a thread")
    })
}

/// Returns no client if there is no region.
async fn connect(endpoint_url: Option<&str>) -> Result<Option<Client>, String> {
    // A socket is silent while its invocation runs. Without probes, NATs and firewalls forget it, and
    // the result of an invocation never arrives.
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let pool = pool::ConnectionPool::builder().tls_provider(provider).tcp_keepalive(KEEPALIVE);
    let pool = pool.build_https().map_err(|error| error.to_string())?;
    let http = pool::Client::new(&pool).map_err(|error| error.to_string())?;
    let times = TimeoutConfig::builder().connect_timeout(CONNECT_TIME_MAX).build();
    // The driver retries, because it counts the attempts.
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(times);
    if let Some(url) = endpoint_url {
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        loader = loader.endpoint_url(url).region(region.or_else("us-east-1"));
    }
    let config = loader.load().await;
    Ok(config.region().is_some().then(|| Client::new(&config)))
}

impl Backend for Lambda {
    fn start(&self, request: &Request, events: Sender<AttemptEvent>) -> Box<dyn Attempt> {
        let payload = serde_json::to_vec(request).expect("a request is JSON");
        if payload.len() > BYTES_MAX {
            let reason = format!(
                "the request is {} bytes of JSON, Lambda takes at most {BYTES_MAX}",
                payload.len()
            );
            drop(events.send(AttemptEvent::Refused(reason)));
            return Box::new(Invocation { task: None });
        }
        let invoke = self.client.invoke().function_name(&self.function);
        let invoke = invoke.log_type(LogType::Tail).payload(Blob::new(payload));
        let task = runtime().spawn(async move {
            for event in attempt_events(invoke.send().await) {
                // Sending fails once the call is stopped.
                drop(events.send(event));
            }
        });
        Box::new(Invocation { task: Some(task.abort_handle()) })
    }

    fn is_live(&self) -> bool {
        false
    }
}

struct Invocation {
    task: Option<AbortHandle>,
}

impl Attempt for Invocation {}

impl Drop for Invocation {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The payload of an invocation that failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError {
    error_type: Option<String>,
    error_message: Option<String>,
}

fn attempt_events(invoked: Result<InvokeOutput, SdkError<InvokeError>>) -> Vec<AttemptEvent> {
    match invoked {
        Ok(output) => output_events(&output),
        Err(SdkError::ServiceError(reply)) => {
            let (status, error) = (reply.raw().status().as_u16(), reply.err());
            let code = error.code().unwrap_or("no code");
            let message = error.message().map(|message| format!(", {message}")).unwrap_or_default();
            let reason = format!("status {status}, {code}{message}");
            // A function that is being changed, too many invocations, an outage.
            let passing = matches!(status, 409 | 429 | 500..);
            vec![if passing { AttemptEvent::Busy(reason) } else { AttemptEvent::Refused(reason) }]
        }
        // It may have begun.
        Err(cause) => {
            let reason = DisplayErrorContext(cause).to_string();
            let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
            vec![AttemptEvent::Died { reason, log: None }]
        }
    }
}

fn output_events(output: &InvokeOutput) -> Vec<AttemptEvent> {
    let log = output.log_result.as_ref().and_then(|log| {
        let log = BASE64_STANDARD.decode(log).ok()?;
        Some(String::from_utf8_lossy(&log).trim_end().to_string()).filter(|log| !log.is_empty())
    });
    let payload = output.payload.as_ref().map(Blob::as_ref).unwrap_or_default();
    if output.function_error.is_some() {
        let error = serde_json::from_slice::<FunctionError>(payload);
        let reason = match error {
            Ok(FunctionError { error_type: Some(kind), error_message: Some(message) }) => {
                format!("{kind}: {message}")
            }
            Ok(FunctionError { error_type: Some(text), .. })
            | Ok(FunctionError { error_message: Some(text), .. }) => text,
            _ => String::from_utf8_lossy(payload).into_owned(),
        };
        return vec![AttemptEvent::Died { reason, log }];
    }
    match serde_json::from_slice::<Vec<Message>>(payload) {
        Ok(messages)
            if messages.last().is_some_and(|last| !matches!(last, Message::Progress(_))) =>
        {
            let event = |message| AttemptEvent::Message { message, log: log.clone() };
            messages.into_iter().map(event).collect()
        }
        _ => {
            let reason = "its program does not call catena_cloud::Functions::serve".to_string();
            vec![AttemptEvent::Refused(reason)]
        }
    }
}
