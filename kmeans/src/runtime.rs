//! The asynchronous runtime of the S3 client, on its own threads. The rest of this crate blocks.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// Enough for the copies and checksums of a fast connection, next to the threads that compute.
const THREADS: usize = 2;

/// Returns the runtime, which the first call starts.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3-sdk")
            .enable_all()
            .build()
            .expect("the process can start threads")
    })
}
