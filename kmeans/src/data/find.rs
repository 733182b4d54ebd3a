//! Which files a path means: one file, those of a folder and of the folders in it, or those that match
//! a pattern. What is left out is listed, so that the user learns of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::parts::{Format, PartOrigin};
use crate::error::{Error, Result};
use crate::s3::{self, S3Endpoint, S3Url};

/// How deep folders may be in each other.
const FOLDERS_DEEP_MAX: u32 = 32;

/// The files of a data set.
#[derive(Debug, Default)]
pub(super) struct FoundFiles {
    /// In the order of their names.
    pub(super) origins: Vec<PartOrigin>,
    /// Files and folders that are not data by their names, or of another kind, such as pipes.
    pub(super) skipped: Vec<PathBuf>,
}

/// Returns the files that a path means.
///
/// # Errors
///
/// There are none, or one of several has a name that is not that of data, such as `README.md`, unless
/// `format` says what they are.
pub(super) fn find(
    path: &Path,
    format: Option<Format>,
    endpoint: &S3Endpoint,
) -> Result<FoundFiles> {
    let found = match S3Url::of(path)? {
        Some(url) => find_in_store(&url, endpoint)?,
        None => match fs::metadata(path) {
            Ok(about) if about.is_dir() => find_in_folder(path)?,
            Ok(_) => return Ok(FoundFiles { origins: vec![file(path)], skipped: Vec::new() }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && s3::is_pattern(path) => {
                find_matches(path)?
            }
            Err(cause) => return Err(Error::io(path)(cause)),
        },
    };
    let is_one = matches!(&found.origins[..], [one] if one.path() == path);
    if format.is_none() && !is_one {
        let mut others =
            found.origins.iter().map(PartOrigin::path).filter(|path| Format::of(path).is_none());
        if let Some(first) = others.next() {
            return Err(Error::NotData { path: first, more: others.count() });
        }
    }
    Ok(found)
}

/// Returns whether a name is not that of data.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn file(path: &Path) -> PartOrigin {
    PartOrigin::File(path.to_path_buf())
}

fn find_in_folder(folder: &Path) -> Result<FoundFiles> {
    let mut found = FileList::default();
    found.walk(folder, FOLDERS_DEEP_MAX)?;
    if found.files.is_empty() {
        return Err(Error::EmptyFolder { path: folder.to_path_buf() });
    }
    Ok(found.in_order())
}

fn find_matches(pattern: &Path) -> Result<FoundFiles> {
    let none = || Error::NoMatch { path: pattern.to_path_buf() };
    let text = pattern.to_str().ok_or_else(none)?;
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let mut found = FileList::default();
    for path in glob::glob_with(text, options).map_err(|_| none())? {
        let path = path.map_err(|cause| Error::io(pattern)(cause.into()))?;
        if path.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy())) {
            found.skipped.push(path);
        } else if path.is_dir() {
            found.walk(&path, FOLDERS_DEEP_MAX)?;
        } else {
            found.add(path);
        }
    }
    if found.files.is_empty() {
        return Err(none());
    }
    Ok(found.in_order())
}

#[derive(Debug, Default)]
struct FileList {
    files: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
}

impl FileList {
    /// Adds the files of a folder and of the folders in it. Links to folders are not followed, because
    /// they could lead back.
    fn walk(&mut self, folder: &Path, deep: u32) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            let path = entry.path();
            if is_hidden(&entry.file_name().to_string_lossy()) {
                self.skipped.push(path);
            } else if entry.file_type().map_err(Error::io(&path))?.is_dir() {
                if deep == 0 {
                    return Err(Error::TooDeep { path });
                }
                self.walk(&path, deep - 1)?;
            } else {
                self.add(path);
            }
        }
        Ok(())
    }

    /// Adds a file. Others, such as pipes, cannot be divided among workers.
    fn add(&mut self, path: PathBuf) {
        let list = if path.is_file() { &mut self.files } else { &mut self.skipped };
        list.push(path);
    }

    fn in_order(self) -> FoundFiles {
        let Self { mut files, mut skipped } = self;
        for list in [&mut files, &mut skipped] {
            list.sort();
            list.dedup();
        }
        FoundFiles { origins: files.into_iter().map(PartOrigin::File).collect(), skipped }
    }
}

#[cfg(feature = "s3")]
fn find_in_store(url: &S3Url, endpoint: &S3Endpoint) -> Result<FoundFiles> {
    let (objects, skipped) = s3::S3Store::open(endpoint)?.find(url)?;
    Ok(FoundFiles { origins: objects.into_iter().map(PartOrigin::S3).collect(), skipped })
}

#[cfg(not(feature = "s3"))]
fn find_in_store(url: &S3Url, _: &S3Endpoint) -> Result<FoundFiles> {
    s3::not_built(url)
}
