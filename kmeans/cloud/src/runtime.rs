//! The one asynchronous runtime of this program: the SDK's, on threads of its own. Everything else blocks.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// Enough for the copies and checksums of a fast link beside the threads that compute.
const THREADS: usize = 2;

/// It is started by whoever needs it first, and stays.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sdk")
            .enable_all()
            .build()
            .expect("there are threads to be had")
    })
}
