//! A register in a directory, for nodes on one host.
//!
//! Readers take no lock: a rename replaces the record, so a reader gets either the old or the new one.
//! Writers take an advisory lock on a file beside the record, compare and replace, and release the
//! lock; the kernel releases the lock of a process that dies. The file system must be local, because
//! over a network neither the lock nor the rename is reliable.
//!
//! All of this runs on threads that may block, because the control thread has heartbeats to send and a
//! disk may be slow.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Condition, READ_TIME_MAX, RecordToken, Register, RegisterError, StoreOutcome, WRITE_TIME_MAX,
};
use catena_core::chain::record::{RECORD_BYTES_MAX, RecordError};

/// The register of one cluster in a directory: `directory/cluster/config.json`.
#[derive(Clone, Debug)]
pub(crate) struct FileRegister {
    files: Arc<RegisterFiles>,
}

/// The files of a register. `config.lock` is never removed, because a writer that waits for it would
/// lock another file than a writer that came later.
#[derive(Debug)]
struct RegisterFiles {
    cluster: String,
    directory: PathBuf,
    record: PathBuf,
    next: PathBuf,
    lock: PathBuf,
    probe: PathBuf,
}

/// How long a writer waits for the lock. Shorter than [`WRITE_TIME_MAX`], so that the outcome is known:
/// nothing was stored.
const LOCK_TIME_MAX: Duration = Duration::from_secs(2);

/// How often it tries. Waiting in the kernel would have no timeout.
const LOCK_TIME_BETWEEN: Duration = Duration::from_millis(1);

const _: () = assert!(LOCK_TIME_MAX.as_millis() < WRITE_TIME_MAX.as_millis());

impl FileRegister {
    /// Returns the register of a cluster below a directory, which the first write creates.
    pub(crate) fn new(directory: &Path, cluster: &str) -> FileRegister {
        let directory = directory.join(cluster);
        let files = RegisterFiles {
            cluster: cluster.into(),
            record: directory.join("config.json"),
            next: directory.join("config.json.next"),
            lock: directory.join("config.lock"),
            probe: directory.join("config.json.probe"),
            directory,
        };
        FileRegister { files: Arc::new(files) }
    }
}

impl Register for FileRegister {
    fn cluster(&self) -> &str {
        &self.files.cluster
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        let files = self.files.clone();
        let loading = blocking(move || files.load());
        match tokio::time::timeout(READ_TIME_MAX, loading).await {
            Ok(loaded) => loaded,
            Err(_) => Err(RegisterError::TimedOut(READ_TIME_MAX)),
        }
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        let (files, condition) = (self.files.clone(), on.clone());
        let storing = blocking(move || files.store(&condition, &bytes));
        match tokio::time::timeout(WRITE_TIME_MAX, storing).await {
            Ok(stored) => stored,
            // The thread goes on and may store the record later.
            Err(_) => Ok(StoreOutcome::Unknown(format!(
                "no reply from the disk within {WRITE_TIME_MAX:?}"
            ))),
        }
    }

    async fn probe(&self) -> Result<(), RegisterError> {
        let files = self.files.clone();
        match tokio::time::timeout(WRITE_TIME_MAX, blocking(move || files.probe())).await {
            Ok(probed) => probed,
            Err(_) => Err(RegisterError::TimedOut(WRITE_TIME_MAX)),
        }
    }
}

impl RegisterFiles {
    /// Writes a file and the directory to the disk, as replacing the record does.
    fn probe(&self) -> Result<(), RegisterError> {
        write_through(&self.probe, b"a write that changes nothing\n")
            .and_then(|()| File::open(&self.directory))
            .and_then(|directory| directory.sync_all())
            .map_err(failed("write", &self.probe))
    }

    fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        let file = match File::open(&self.record) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &self.record)(error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
        let length = read.map_err(failed("read", &self.record))?;
        if length > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: length }.into());
        }
        let token = RecordToken::new(format!("{:032x}", xxh3_128(&bytes)));
        Ok(Some((bytes, token)))
    }

    fn store(&self, condition: &Condition, bytes: &[u8]) -> Result<StoreOutcome, RegisterError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: bytes.len() }.into());
        }
        self.make_directory().map_err(failed("create", &self.directory))?;
        // Released when it is dropped, on every way out.
        let _lock = self.lock()?;
        let holds = match (self.load()?, condition) {
            (None, Condition::Absent) => true,
            (Some((_, token)), Condition::Is(base)) => token == *base,
            (None, Condition::Is(_)) | (Some(_), Condition::Absent) => false,
        };
        if !holds {
            return Ok(StoreOutcome::Lost);
        }
        // This overwrites what a writer that died has left there.
        write_through(&self.next, bytes).map_err(failed("write", &self.next))?;
        let replaced = fs::rename(&self.next, &self.record)
            .and_then(|()| File::open(&self.directory))
            .and_then(|directory| directory.sync_all());
        match replaced {
            Ok(()) => Ok(StoreOutcome::Won(RecordToken::new(format!("{:032x}", xxh3_128(bytes))))),
            // Others may read the new record already, and a crash may still undo the rename.
            Err(error) => Ok(StoreOutcome::Unknown(format!(
                "cannot replace {}: {error}",
                self.record.display()
            ))),
        }
    }

    /// Creates the directory so that it survives a crash, as the record in it must.
    fn make_directory(&self) -> io::Result<()> {
        let missing: Vec<&Path> =
            self.directory.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            if let Some(parent) = path.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<File, RegisterError> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&self.lock);
        let file = open.map_err(failed("open", &self.lock))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_TIME_MAX => {
                    std::thread::sleep(LOCK_TIME_BETWEEN);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(RegisterError::Locked {
                        path: self.lock.clone(),
                        waited: LOCK_TIME_MAX,
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed("lock", &self.lock)(error)),
            }
        }
    }
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegisterError {
    move |source| RegisterError::File { action, path: path.into(), source }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
