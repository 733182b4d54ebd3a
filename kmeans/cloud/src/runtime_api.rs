//! The other side of an invocation: a program in an environment of Lambda, which is handed one call after the other.

use std::io::{self, Write};
use std::panic;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

use super::drive::{Call, Said};
use super::functions::{Context, Functions, Stop};
use super::lambda::BYTES_MAX;
use crate::runtime::runtime;

/// How much before its time is over a function should have answered: a tenth of what it has, within these.
const MARGIN_MIN: Duration = Duration::from_millis(100);
const MARGIN_MAX: Duration = Duration::from_secs(5);

/// Serves the calls that Lambda hands to this environment, for good.
pub fn serve(functions: Functions) -> ! {
    let functions = Arc::new(functions);
    let handler = service_fn(move |event: LambdaEvent<Value>| {
        let functions = functions.clone();
        async move {
            let deadline = deadline(event.context.deadline);
            // Functions block.
            let answered =
                tokio::task::spawn_blocking(move || answer(&functions, event.payload, deadline));
            answered.await.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
        }
    });
    let ended = runtime().block_on(Runtime::new(handler).run());
    if let Err(error) = ended {
        let _ = writeln!(io::stderr(), "the runtime's interface cannot be used: {error}");
        process::exit(1);
    }
    process::exit(0)
}

fn answer(
    functions: &Functions,
    event: Value,
    deadline: Option<Instant>,
) -> Result<Value, Diagnostic> {
    let is_call = event.get("catena").is_some_and(Value::is_string);
    let told = Mutex::new(Vec::new());
    let tell = |event| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(Said::Event(event));
        Ok(())
    };
    if !is_call {
        let context = Context::new(0, deadline, false, &tell);
        return functions.run_otherwise(event, &context).map_err(|stop| Diagnostic {
            error_type: match stop {
                Stop::Failed(_) => "Failed".to_string(),
                Stop::Again(_) => "Again".to_string(),
            },
            error_message: stop.to_string(),
        });
    }
    let said = match serde_json::from_value::<Call>(event) {
        Ok(call) => {
            let context = Context::new(call.attempt, deadline, false, &tell);
            functions.run(call, &context)
        }
        Err(error) => Said::Failed(format!("a call of another version of this program: {error}")),
    };
    let mut answer = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    answer.push(said);
    let json = serde_json::to_vec(&answer).map_or(0, |json| json.len());
    if json > BYTES_MAX {
        let message = format!("{json} bytes to answer, a function answers at most {BYTES_MAX}");
        answer = vec![Said::Failed(message)];
    }
    Ok(serde_json::to_value(answer).expect("an answer is JSON"))
}

/// When a function should have answered that is ended at so many milliseconds since 1970.
fn deadline(ms: u64) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(ms).saturating_sub(now);
    let margin = (left / 10).clamp(MARGIN_MIN, MARGIN_MAX);
    Instant::now().checked_add(left.saturating_sub(margin))
}
