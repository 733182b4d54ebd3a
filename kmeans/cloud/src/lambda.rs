//! Attempts as invocations of a Lambda function.

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
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tokio::task::AbortHandle;

use super::Error;
use super::drive::{Attempt, Call, Heard, Place, Said};
use crate::runtime::runtime;

/// The longest that Lambda lets a function run, and what the way there and back may take.
pub(super) const TIME_MAX: Duration = Duration::from_secs(15 * 60 + 30);

/// What an invocation may be sent, and may answer.
pub(super) const BYTES_MAX: usize = 6 << 20;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A function, by name or ARN.
pub(super) struct Lambda {
    client: Client,
    function: String,
}

impl Lambda {
    pub(super) fn connect(function: &str, endpoint_url: Option<&str>) -> Result<Self, Error> {
        let client = runtime().block_on(connect(endpoint_url));
        let client = client.ok_or_else(|| Error::Refused {
            function: function.to_string(),
            reason: "no region: expected AWS_REGION, or one in a profile".to_string(),
        })?;
        Ok(Self { client, function: function.to_string() })
    }
}

async fn connect(endpoint_url: Option<&str>) -> Option<Client> {
    let times = TimeoutConfig::builder().connect_timeout(CONNECT_TIME_MAX).build();
    // Whether to ask again is decided where it is known how often that happened.
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(times);
    if let Some(url) = endpoint_url {
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        loader = loader.endpoint_url(url).region(region.or_else("us-east-1"));
    }
    let config = loader.load().await;
    config.region().is_some().then(|| Client::new(&config))
}

impl Place for Lambda {
    fn begin(&self, call: &Call, heard: Sender<Heard>) -> Box<dyn Attempt> {
        let payload = serde_json::to_vec(call).expect("a call is JSON");
        if payload.len() > BYTES_MAX {
            let reason =
                format!("{} bytes to send, a function takes at most {BYTES_MAX}", payload.len());
            drop(heard.send(Heard::Refused(reason)));
            return Box::new(Invocation { task: None });
        }
        let invoke = self.client.invoke().function_name(&self.function);
        let invoke = invoke.log_type(LogType::Tail).payload(Blob::new(payload));
        let task = runtime().spawn(async move {
            for word in judge(invoke.send().await) {
                // Nobody listens to what is stopped.
                drop(heard.send(word));
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

/// What a function's error looks like.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError {
    error_type: Option<String>,
    error_message: Option<String>,
}

fn judge(invoked: Result<InvokeOutput, SdkError<InvokeError>>) -> Vec<Heard> {
    match invoked {
        Ok(output) => answered(&output),
        Err(SdkError::ServiceError(answer)) => {
            let (status, error) = (answer.raw().status().as_u16(), answer.err());
            let code = error.code().unwrap_or("no code");
            let message = error.message().map(|message| format!(", {message}")).unwrap_or_default();
            let reason = format!("status {status}, {code}{message}");
            // Too many at a time, something the matter with the service, a function that is just being changed.
            let passing = matches!(status, 409 | 429 | 500..);
            vec![if passing { Heard::Busy(reason) } else { Heard::Refused(reason) }]
        }
        // It may have begun.
        Err(cause) => {
            vec![Heard::Death { how: DisplayErrorContext(cause).to_string(), log: None }]
        }
    }
}

fn answered(output: &InvokeOutput) -> Vec<Heard> {
    let log = output.log_result.as_ref().and_then(|log| {
        let log = BASE64_STANDARD.decode(log).ok()?;
        Some(String::from_utf8_lossy(&log).trim_end().to_string()).filter(|log| !log.is_empty())
    });
    let payload = output.payload.as_ref().map(Blob::as_ref).unwrap_or_default();
    if output.function_error.is_some() {
        let error = serde_json::from_slice::<FunctionError>(payload);
        let how = match error {
            Ok(FunctionError { error_type: Some(kind), error_message: Some(message) }) => {
                format!("{kind}: {message}")
            }
            Ok(FunctionError { error_type: Some(text), .. })
            | Ok(FunctionError { error_message: Some(text), .. }) => text,
            _ => String::from_utf8_lossy(payload).into_owned(),
        };
        return vec![Heard::Death { how, log }];
    }
    match serde_json::from_slice::<Vec<Said>>(payload) {
        Ok(said) if said.last().is_some_and(|last| !matches!(last, Said::Event(_))) => {
            said.into_iter().map(|said| Heard::Said { said, log: log.clone() }).collect()
        }
        _ => vec![Heard::Refused("its program does not call Functions::serve".to_string())],
    }
}
