//! Copies files to a store, several at a time.

use std::collections::HashMap;
use std::ffi::OsStr;
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

/// How deep folders may be in each other.
const FOLDERS_DEEP_MAX: u32 = 32;

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

/// What an upload copies, and what it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The copies.
    pub transfers: Vec<Transfer>,
    /// Files and folders in folders that are left out: hidden ones, whose names begin with a dot, and
    /// links to folders.
    pub skipped: Vec<PathBuf>,
}

/// Lists the copies of the files, and of the files in folders and in the folders in them, to `to`.
///
/// Files keep their names, unless there is one file and `to` does not end with a slash. The contents
/// of a single folder keep their places below it; of several folders, each keeps its name, too.
///
/// # Errors
///
/// Missing files, a `to` that is not in a store, and two files that would become the same object.
pub fn plan(files: &[PathBuf], to: &Path) -> Result<Plan> {
    let to = S3Url::of(to)?.ok_or_else(|| Error::Url { path: to.to_path_buf() })?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut plan = Plan::default();
    for file in files {
        let about = fs::metadata(file).map_err(Error::io(file))?;
        if about.is_dir() {
            let to = if files.len() > 1 {
                let folder = file.canonicalize().map_err(Error::io(file))?;
                to.join(&name(&folder).unwrap_or_default())
            } else {
                to.clone()
            };
            plan.add_folder(file, &to, FOLDERS_DEEP_MAX)?;
            continue;
        }
        let is_folder = files.len() > 1 || to.is_folder();
        let to = if is_folder { to.join(&name(file).unwrap_or_default()) } else { to.clone() };
        plan.transfers.push(Transfer { file: file.clone(), bytes: about.len(), to });
    }
    let mut targets = HashMap::new();
    for Transfer { file, to, .. } in &plan.transfers {
        if let Some(first) = targets.insert(&to.key, file) {
            let (first, second) = (first.clone(), file.clone());
            return Err(Error::SameTarget { first, second, to: to.to_string() });
        }
    }
    Ok(plan)
}

impl Plan {
    fn add_folder(&mut self, folder: &Path, to: &S3Url, deep: u32) -> Result<()> {
        let mut inside = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            inside.push(entry.map_err(Error::io(folder))?.path());
        }
        inside.sort();
        for path in inside {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let link = fs::symlink_metadata(&path).map_err(Error::io(&path))?;
            let about = fs::metadata(&path).map_err(Error::io(&path))?;
            if name.starts_with('.') || (about.is_dir() && link.is_symlink()) {
                self.skipped.push(path);
            } else if about.is_dir() {
                if deep == 0 {
                    return Err(Error::TooDeep { path });
                }
                self.add_folder(&path, &to.join(&name), deep - 1)?;
            } else if about.is_file() {
                self.transfers.push(Transfer {
                    file: path,
                    bytes: about.len(),
                    to: to.join(&name),
                });
            } else {
                self.skipped.push(path);
            }
        }
        Ok(())
    }
}

/// Copies the files; calls `on_bytes` with the number of bytes as they are sent. Files named
/// `_SUCCESS`, which say that a folder is complete, are copied when all others have been.
///
/// # Errors
///
/// The first error; objects that were completed before it remain.
pub fn run(
    transfers: Vec<Transfer>,
    endpoint: &S3Endpoint,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let is_mark = |transfer: &Transfer| transfer.file.file_name() == Some(OsStr::new("_SUCCESS"));
    let (marks, others) = transfers.into_iter().partition::<Vec<_>, _>(is_mark);
    run_all(others, endpoint, on_bytes)?;
    run_all(marks, endpoint, on_bytes)
}

fn run_all(
    transfers: Vec<Transfer>,
    endpoint: &S3Endpoint,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let queue = Mutex::new(transfers.into_iter());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_left_out_or_replaced_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["day1/a.csv", "day1/deep/b.csv", "day1/.env", "day2/a.csv", "day2/.git/c"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "1\n").unwrap();
        }
        let plan = |files: &[&str]| {
            let files: Vec<PathBuf> = files.iter().map(|name| path(name)).collect();
            plan(&files, Path::new("s3://b/days/"))
        };
        let keys = |plan: &Plan| -> Vec<String> {
            plan.transfers.iter().map(|transfer| transfer.to.key.clone()).collect()
        };
        let both = plan(&["day1", "day2/"]).unwrap();
        assert_eq!(keys(&both), ["days/day1/a.csv", "days/day1/deep/b.csv", "days/day2/a.csv"]);
        assert_eq!(both.skipped, [path("day1/.env"), path("day2/.git")]);
        assert_eq!(keys(&plan(&["day1"]).unwrap()), ["days/a.csv", "days/deep/b.csv"]);
        let error = plan(&["day1/a.csv", "day2/a.csv"]).unwrap_err().to_string();
        assert!(error.contains("would both become s3://b/days/a.csv; give them"), "{error}");
    }
}
