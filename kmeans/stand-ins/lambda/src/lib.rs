//! A stand-in for AWS Lambda on this machine, for tests.
//!
//! It serves the interface through which the SDK invokes functions, and the runtime API that the
//! program of a function polls. It behaves as Lambda does:
//!
//! 1. An environment is a process and has one invocation at a time. An invocation that finds no
//!    idle environment starts another one, up to the function's concurrency; beyond that it is
//!    throttled.
//! 2. An environment that waits for its next invocation is frozen: its process is stopped.
//! 3. An environment that exceeds the function's timeout is killed, and the invocation returns an
//!    error; so does the invocation of an environment that exits or is killed from outside.
//! 4. The output of an environment is its log; an invocation may ask for the end of it.
//!
//! There is no sandbox and there are no permissions. The program of the same name serves one
//! function, to try things out by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

mod environment;
mod invoke;
mod process;

use environment::Environment;

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// The program that polls for invocations.
    pub program: PathBuf,
    /// The environment's variables, in addition to those that Lambda sets.
    pub variables: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// The most environments at a time.
    pub concurrency: usize,
}

impl Function {
    /// Creates a function with a timeout of a minute and practically unlimited concurrency.
    pub fn new(program: impl Into<PathBuf>) -> Function {
        let (program, timeout) = (program.into(), Duration::from_secs(60));
        Function { program, variables: Vec::new(), timeout, concurrency: 1_000 }
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Function {
        self.variables.push((name.into(), value.into()));
        self
    }
}

/// A finished invocation.
#[derive(Clone, Debug)]
pub struct Report {
    /// The function.
    pub function: String,
    /// From the start of the process until it polled for its first invocation, if this was that.
    pub init: Option<Duration>,
    /// From the program's receiving the invocation until it had responded or was found dead.
    pub duration: Duration,
    /// Whether it responded without an error.
    pub is_ok: bool,
}

/// Functions that can be invoked until this is dropped; their environments end with it.
#[derive(Debug)]
pub struct StandIn {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    endpoint_url: String,
    functions: BTreeMap<String, Function>,
    environments: Mutex<Vec<Arc<Environment>>>,
    reports: Mutex<Vec<Report>>,
}

impl StandIn {
    /// Starts serving invocations on a free port of the loopback interface, on its own thread.
    ///
    /// # Panics
    ///
    /// There is no loopback interface, or no thread can be started.
    pub fn start<'a>(functions: impl IntoIterator<Item = (&'a str, Function)>) -> StandIn {
        StandIn::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), functions)
    }

    /// Starts serving invocations at an address.
    ///
    /// # Panics
    ///
    /// The address cannot be bound.
    pub fn start_at<'a>(
        address: SocketAddr,
        functions: impl IntoIterator<Item = (&'a str, Function)>,
    ) -> StandIn {
        let functions = functions.into_iter().map(|(name, function)| (name.to_owned(), function));
        let listener = std::net::TcpListener::bind(address).expect("an address to listen at");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            endpoint_url: format!("http://{address}"),
            functions: functions.collect(),
            environments: Mutex::default(),
            reports: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let served = shared.clone();
        let thread = std::thread::Builder::new().name("lambda-stand-in".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = invoke::serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        let thread = Some(thread.expect("a thread"));
        StandIn { shared, stop: Some(stop), thread }
    }

    /// Returns the endpoint URL for clients.
    pub fn endpoint_url(&self) -> String {
        self.shared.endpoint_url.clone()
    }

    /// Returns the processes of a function that have an invocation at the moment.
    pub fn busy(&self, function: &str) -> Vec<u32> {
        let environments = lock(&self.shared.environments);
        let busy = environments.iter().filter(|environment| environment.is_busy(function));
        busy.map(|environment| environment.pid()).collect()
    }

    /// Kills a process, as the failure of a machine would.
    pub fn kill(&self, pid: u32) {
        process::signal(pid, "-KILL");
    }

    /// Returns the finished invocations, in the order in which they finished.
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.shared.reports).clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for environment in lock(&self.shared.environments).drain(..) {
            environment.end();
        }
    }
}

/// Locks a mutex, also after a panic: a test that failed elsewhere is no reason to fail here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
