//! What AWS Lambda is to a program and to those who invoke it, on this machine, for tests.
//!
//! Whoever invokes speaks the interface that the SDK speaks; a program is served the interface that a runtime polls.
//! In between it is as there:
//!
//! 1. An environment is a process. It has one invocation at a time; one that finds none idle has another started, up
//!    to the function's concurrency, beyond which it is refused.
//! 2. An environment that waits for its next invocation is frozen: its process is stopped until there is one.
//! 3. One that takes longer than the function may is killed, and its invocation answered with an error, as is that of
//!    one that ends or is killed by somebody else.
//! 4. What an environment writes is its log, of which an invocation may ask for the end.
//!
//! There are no permissions, and nothing keeps a process from what is on this machine. Building it takes the feature
//! `server`, and so does the program of the same name, which is one for trying things out by hand.

#![cfg(feature = "server")]

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

/// What a function is.
#[derive(Clone, Debug)]
pub struct Function {
    /// What polls for invocations.
    pub program: PathBuf,
    /// The environment's variables, beside those that Lambda sets.
    pub variables: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Environments there may be.
    pub concurrency: usize,
}

impl Function {
    /// A program with a timeout of a minute and as many environments as anybody asks for.
    pub fn new(program: impl Into<PathBuf>) -> Function {
        let (program, timeout) = (program.into(), Duration::from_secs(60));
        Function { program, variables: Vec::new(), timeout, concurrency: 1_000 }
    }

    /// The same, with another variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Function {
        self.variables.push((name.into(), value.into()));
        self
    }
}

/// One invocation that is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// The function.
    pub function: String,
    /// From the start of the process until it asked for its first invocation, if this is that.
    pub init: Option<Duration>,
    /// From when it was handed the invocation until it had answered, or was found dead.
    pub duration: Duration,
    /// Whether it answered, and that no error.
    pub is_ok: bool,
}

/// Functions that can be invoked until this is dropped, and their environments with it.
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
    /// Starts serving invocations on a port of its own, on a thread of its own.
    ///
    /// # Panics
    ///
    /// If there is no loopback or no thread to be had.
    pub fn start<'a>(functions: impl IntoIterator<Item = (&'a str, Function)>) -> StandIn {
        StandIn::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), functions)
    }

    /// The same at a given address.
    ///
    /// # Panics
    ///
    /// If the address cannot be had.
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

    /// What to tell a client as its endpoint.
    pub fn endpoint_url(&self) -> String {
        self.shared.endpoint_url.clone()
    }

    /// The processes of a function that have an invocation at the moment.
    pub fn busy(&self, function: &str) -> Vec<u32> {
        let environments = lock(&self.shared.environments);
        let busy = environments.iter().filter(|environment| environment.is_busy(function));
        busy.map(|environment| environment.pid()).collect()
    }

    /// Kills a process, as a machine that fails would.
    pub fn kill(&self, pid: u32) {
        process::signal(pid, "-KILL");
    }

    /// The invocations that are over, in the order in which they were.
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

/// A test that failed elsewhere is no reason to fail here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
