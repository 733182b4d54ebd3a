//! The program in an environment of Lambda, which receives one invocation after the other.

use std::io::{self, Write};
use std::panic;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

use super::driver::{Message, Request};
use super::functions::{Context, Failure, Functions};
use super::lambda::BYTES_MAX;

/// How long before the timeout a function should have returned: a tenth of its time, within these
/// bounds.
const MARGIN_MIN: Duration = Duration::from_millis(100);
const MARGIN_MAX: Duration = Duration::from_secs(5);

/// Serves the invocations of this environment until Lambda ends it.
pub(super) fn serve(functions: Functions) -> ! {
    let functions = Arc::new(functions);
    let handler = service_fn(move |event: LambdaEvent<Value>| {
        let functions = functions.clone();
        async move {
            let deadline = deadline(event.context.deadline);
            // Functions block.
            let result =
                tokio::task::spawn_blocking(move || invoke(&functions, event.payload, deadline));
            result.await.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(Runtime::new(handler).run()));
    if let Err(error) = ended {
        let _ = writeln!(io::stderr(), "cannot use Lambda's runtime API: {error}");
        process::exit(1);
    }
    process::exit(0)
}

/// Runs one invocation: a request of a driver, whose result is a list of messages, or anything
/// else, whose result is that of the fallback.
fn invoke(
    functions: &Functions,
    event: Value,
    deadline: Option<Instant>,
) -> Result<Value, Diagnostic> {
    let is_request = event.get("catena").is_some_and(Value::is_string);
    let reports = Mutex::new(Vec::new());
    let report = |progress| {
        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(Message::Progress(progress));
        Ok(())
    };
    if !is_request {
        let context = Context::new(0, deadline, false, &report);
        return functions.run_fallback(event, &context).map_err(|failure| Diagnostic {
            error_type: match failure {
                Failure::Final(_) => "Failed".to_string(),
                Failure::Retry(_) => "Again".to_string(),
            },
            error_message: failure.to_string(),
        });
    }
    let last = match serde_json::from_value::<Request>(event) {
        Ok(request) => {
            let context = Context::new(request.attempt, deadline, false, &report);
            functions.run(request, &context)
        }
        Err(error) => {
            Message::Failed(format!("the driver is another version of this program: {error}"))
        }
    };
    let mut messages = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    messages.push(last);
    let bytes = serde_json::to_vec(&messages).map_or(0, |json| json.len());
    if bytes > BYTES_MAX {
        let reason =
            format!("the result is {bytes} bytes of JSON, Lambda returns at most {BYTES_MAX}");
        messages = vec![Message::Failed(reason)];
    }
    Ok(serde_json::to_value(messages).expect("messages are JSON"))
}

/// Returns when a function should have returned that Lambda ends at `ms` milliseconds since 1970.
fn deadline(ms: u64) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(ms).saturating_sub(now);
    let margin = (left / 10).clamp(MARGIN_MIN, MARGIN_MAX);
    Instant::now().checked_add(left.saturating_sub(margin))
}
