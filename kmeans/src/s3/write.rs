//! Writes one object, with parts sent behind the producer.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use tokio::task::JoinHandle;

use super::{S3Store, S3Url, store};
use crate::error::{Error, Result};
use crate::runtime::runtime;

/// Bytes of the first parts. S3 accepts only the last part below 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// Number of parts after which their size doubles, because S3 accepts 10,000 parts and 5 TiB.
const PARTS_ALIKE: usize = 1_000;

/// The most parts that are being sent; one more is being filled.
const PARTS_AHEAD: usize = 4;

/// A writer of an object. The object appears with [`S3Writer::finish`], or not at all if this is
/// dropped before.
#[derive(Debug)]
pub(crate) struct S3Writer {
    store: Arc<S3Store>,
    url: S3Url,
    bucket: String,
    part: Vec<u8>,
    upload: Option<String>,
    pending: VecDeque<JoinHandle<Result<CompletedPart>>>,
    sent: Vec<CompletedPart>,
}

impl S3Writer {
    /// Creates a writer. Nothing is sent yet.
    pub(crate) fn new(store: Arc<S3Store>, url: S3Url) -> Result<Self> {
        if url.is_folder() {
            return Err(Error::FolderTarget { path: url.to_string().into() });
        }
        let bucket = store.bucket(&url)?;
        let (pending, sent) = (VecDeque::new(), Vec::new());
        Ok(Self { store, url, bucket, part: Vec::new(), upload: None, pending, sent })
    }

    /// Sends the rest and completes the object.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.upload.is_none() {
            let body = std::mem::take(&mut self.part);
            let put = self.store.client.put_object().bucket(&self.bucket).key(&self.url.key);
            let put = store::wait(put.body(body.into()).send());
            return put.map(drop).map_err(|cause| store::failed("write", &self.url, &cause));
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        while self.take_sent()? {}
        let parts = std::mem::take(&mut self.sent);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.store.client.complete_multipart_upload();
        let complete = complete.bucket(&self.bucket).key(&self.url.key);
        let complete = complete.set_upload_id(self.upload.clone()).multipart_upload(parts);
        store::wait(complete.send()).map_err(|cause| store::failed("write", &self.url, &cause))?;
        self.upload = None;
        Ok(())
    }

    /// Returns the size of the part that is being filled.
    fn part_bytes(&self) -> usize {
        PART_BYTES << ((self.sent.len() + self.pending.len()) / PARTS_ALIKE)
    }

    fn send_part(&mut self) -> Result<()> {
        if self.pending.len() == PARTS_AHEAD {
            self.take_sent()?;
        }
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.begin()?,
        };
        let number = i32::try_from(self.sent.len() + self.pending.len() + 1)
            .expect("the size of parts grows with their number");
        let body = std::mem::take(&mut self.part);
        let request = self.store.client.upload_part().bucket(&self.bucket).key(&self.url.key);
        let request = request.upload_id(upload).part_number(number).body(body.into());
        let url = self.url.clone();
        self.pending.push_back(runtime().spawn(async move {
            let sent =
                request.send().await.map_err(|cause| store::failed("write", &url, &cause))?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
        }));
        self.part.reserve_exact(self.part_bytes());
        Ok(())
    }

    /// Waits for the oldest part that is being sent; returns whether there was one.
    fn take_sent(&mut self) -> Result<bool> {
        let Some(part) = self.pending.pop_front() else { return Ok(false) };
        self.sent.push(store::wait(part).expect("a part's task does not panic")?);
        Ok(true)
    }

    fn begin(&mut self) -> Result<String> {
        let create = self.store.client.create_multipart_upload();
        let create = create.bucket(&self.bucket).key(&self.url.key).send();
        let created =
            store::wait(create).map_err(|cause| store::failed("write", &self.url, &cause))?;
        let upload = created.upload_id.unwrap_or_default();
        self.upload = Some(upload.clone());
        Ok(upload)
    }
}

impl Write for S3Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.part_bytes() - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == self.part_bytes() {
            self.send_part().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for S3Writer {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        self.pending.iter().for_each(JoinHandle::abort);
        let abort = self.store.client.abort_multipart_upload();
        let abort = abort.bucket(&self.bucket).key(&self.url.key).upload_id(upload);
        // If this fails, the parts stay until a rule of the bucket deletes them.
        drop(store::wait(abort.send()));
    }
}
