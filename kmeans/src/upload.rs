//! Copies files to a store, several at a time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Result};
use crate::output::OutputFile;
use crate::s3::{S3Endpoint, S3Url};

/// Files that are copied at the same time, each in several parts at a time.
const FILES_AT_ONCE: usize = 4;

/// Bytes per read.
const BUFFER_BYTES: usize = 1 << 20;

/// A file and the object it is copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The file on this machine.
    pub file: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// The object in the store.
    pub to: S3Url,
}

/// Lists the copies of the files, and of the files in folders, to `to`. They keep their names,
/// unless there is one file and `to` does not end with a slash.
///
/// # Errors
///
/// Missing files, and a `to` that is not in a store.
pub fn plan(files: &[PathBuf], to: &Path) -> Result<Vec<Transfer>> {
    let to = S3Url::of(to)?.ok_or_else(|| Error::Url { path: to.to_path_buf() })?;
    let mut found = Vec::new();
    let mut is_folder = files.len() > 1 || to.is_folder();
    for file in files {
        let about = fs::metadata(file).map_err(Error::io(file))?;
        if !about.is_dir() {
            found.push((file.clone(), about.len()));
            continue;
        }
        is_folder = true;
        let mut inside = Vec::new();
        for entry in fs::read_dir(file).map_err(Error::io(file))? {
            let path = entry.map_err(Error::io(file))?.path();
            let about = fs::metadata(&path).map_err(Error::io(&path))?;
            if about.is_file() {
                inside.push((path, about.len()));
            }
        }
        inside.sort();
        found.append(&mut inside);
    }
    let target = |file: &Path| {
        let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if is_folder { to.join(&name) } else { to.clone() }
    };
    Ok(found.into_iter().map(|(file, bytes)| Transfer { to: target(&file), file, bytes }).collect())
}

/// Copies the files; calls `on_bytes` with the number of bytes as they are sent.
///
/// # Errors
///
/// The first error; objects that were completed before it remain.
pub fn run(
    plan: Vec<Transfer>,
    endpoint: &S3Endpoint,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let queue = Mutex::new(plan.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..FILES_AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(transfer) = next() {
                        transfer.run(endpoint, on_bytes)?;
                    }
                    Ok(())
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| sender.join().expect("senders do not panic"))
    })
}

impl Transfer {
    fn run(&self, endpoint: &S3Endpoint, on_bytes: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let path = PathBuf::from(self.to.to_string());
        let mut from = File::open(&self.file).map_err(Error::io(&self.file))?;
        let mut out = OutputFile::create(&path, endpoint)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = from.read(&mut buffer).map_err(Error::io(&self.file))?;
            if count == 0 {
                return out.finish();
            }
            out.write_all(&buffer[..count]).map_err(Error::io(&path))?;
            on_bytes(count as u64);
        }
    }
}
