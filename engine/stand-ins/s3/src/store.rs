//! The objects, and S3's operations on them. Each operation checks and writes under one lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::lock;

/// All buckets. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
}

/// A stored object.
#[derive(Clone, Debug)]
struct Stored {
    contents: Bytes,
    tag: ETag,
    modified: SystemTime,
    content_type: Option<String>,
    metadata: Option<Metadata>,
}

/// An unfinished multipart upload.
#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    content_type: Option<String>,
    metadata: Option<Metadata>,
    parts: BTreeMap<i32, (Bytes, [u8; 16])>,
}

/// The most entries in a page of a listing.
const PAGE_MAX: i32 = 1_000;

impl Store {
    pub(super) fn make_bucket(&self, bucket: &str) {
        lock(&self.state).buckets.entry(bucket.into()).or_default();
    }

    pub(super) fn insert(&self, bucket: &str, key: &str, contents: Bytes) -> S3Result<ETag> {
        lock(&self.state).insert(bucket, key, Stored::new(contents), &Conditions::default())
    }

    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        let state = lock(&self.state);
        state.buckets.get(bucket).into_iter().flat_map(|objects| objects.keys().cloned()).collect()
    }

    pub(super) fn contents(&self, bucket: &str, key: &str) -> Option<Bytes> {
        Some(lock(&self.state).buckets.get(bucket)?.get(key)?.contents.clone())
    }
}

impl State {
    fn bucket(&mut self, bucket: &str) -> S3Result<&mut BTreeMap<String, Stored>> {
        self.buckets.get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// Checks the conditions and inserts; the caller holds the lock over both.
    fn insert(
        &mut self,
        bucket: &str,
        key: &str,
        object: Stored,
        conditions: &Conditions,
    ) -> S3Result<ETag> {
        let objects = self.bucket(bucket)?;
        conditions.check_write(objects.get(key))?;
        let tag = object.tag.clone();
        objects.insert(key.into(), object);
        Ok(tag)
    }

    fn find(&mut self, bucket: &str, key: &str, conditions: &Conditions) -> S3Result<Stored> {
        let found = self.bucket(bucket)?.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        conditions.check_read(found)?;
        Ok(found.clone())
    }

    fn upload(&mut self, id: &str, bucket: &str, key: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id);
        upload
            .filter(|upload| upload.bucket == bucket && upload.key == key)
            .ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

impl Stored {
    fn new(contents: Bytes) -> Stored {
        let tag = ETag::Strong(hex(&Md5::digest(&contents)));
        Stored { contents, tag, modified: SystemTime::now(), content_type: None, metadata: None }
    }
}

/// The conditions of a request on the present object.
#[derive(Default)]
struct Conditions {
    matches: Option<ETagCondition>,
    none_matches: Option<ETagCondition>,
}

impl Conditions {
    /// As in AWS, `If-Match` on a missing object is a 404.
    fn check_write(&self, present: Option<&Stored>) -> S3Result<()> {
        match (&self.matches, present) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(object)) if !fits(condition, object) => {
                return Err(s3_error!(PreconditionFailed));
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
        match (&self.none_matches, present) {
            (Some(condition), Some(object)) if fits(condition, object) => {
                Err(s3_error!(PreconditionFailed))
            }
            (Some(_), _) | (None, _) => Ok(()),
        }
    }

    fn check_read(&self, present: &Stored) -> S3Result<()> {
        if self.matches.as_ref().is_some_and(|condition| !fits(condition, present)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if self.none_matches.as_ref().is_some_and(|condition| fits(condition, present)) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }
}

fn fits(condition: &ETagCondition, object: &Stored) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => *tag == object.tag,
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.make_bucket(&request.input.bucket);
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        lock(&self.state).bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let contents = collect(input.body).await?;
        let object = Stored {
            content_type: input.content_type,
            metadata: input.metadata,
            ..Stored::new(contents)
        };
        let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match };
        let tag = lock(&self.state).insert(&input.bucket, &input.key, object, &conditions)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(tag), ..PutObjectOutput::default() }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match };
        let object = lock(&self.state).find(&input.bucket, &input.key, &conditions)?;
        let total = object.contents.len();
        let (contents, content_range) = match input.range {
            None => (object.contents, None),
            Some(range) => {
                let within = range.check(total as u64)?;
                let stated = format!("bytes {}-{}/{total}", within.start, within.end - 1);
                let [start, end] = [within.start, within.end].map(position);
                (object.contents.slice(start..end), Some(stated))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(length(contents.len())),
            content_range,
            content_type: object.content_type,
            body: Some(Body::from(contents).into()),
            e_tag: Some(object.tag),
            last_modified: Some(object.modified.into()),
            metadata: object.metadata,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match };
        let object = lock(&self.state).find(&input.bucket, &input.key, &conditions)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(length(object.contents.len())),
            content_type: object.content_type,
            e_tag: Some(object.tag),
            last_modified: Some(object.modified.into()),
            metadata: object.metadata,
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let conditions = Conditions { matches: input.if_match, none_matches: None };
        let mut state = lock(&self.state);
        let objects = state.bucket(&input.bucket)?;
        conditions.check_write(objects.get(&input.key))?;
        objects.remove(&input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let mut state = lock(&self.state);
        let page = Page::of(state.bucket(&input.bucket)?, &input)?;
        let count = page.objects.len() + page.prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            common_prefixes: Some(page.prefixes),
            contents: Some(page.objects),
            continuation_token: input.continuation_token,
            delimiter: input.delimiter,
            is_truncated: Some(page.next.is_some()),
            key_count: i32::try_from(count).ok(),
            max_keys: Some(page.most),
            name: Some(input.bucket),
            next_continuation_token: page.next.map(|next| hex(next.as_bytes())),
            prefix: input.prefix,
            start_after: input.start_after,
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut state = lock(&self.state);
        state.bucket(&input.bucket)?;
        state.uploads_begun += 1;
        let id = format!("upload-{}", state.uploads_begun);
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            content_type: input.content_type,
            metadata: input.metadata,
            parts: BTreeMap::new(),
        };
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let contents = collect(input.body).await?;
        let digest: [u8; 16] = Md5::digest(&contents).into();
        let mut state = lock(&self.state);
        let upload = state.upload(&input.upload_id, &input.bucket, &input.key)?;
        upload.parts.insert(input.part_number, (contents, digest));
        let e_tag = Some(ETag::Strong(hex(&digest)));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let wanted = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut state = lock(&self.state);
        let upload = state.upload(&input.upload_id, &input.bucket, &input.key)?;
        let mut contents = Vec::new();
        let mut digests = Md5::new();
        let mut before = 0;
        for part in &wanted {
            let number = part.part_number.unwrap_or_default();
            if number <= before {
                return Err(s3_error!(InvalidPartOrder));
            }
            before = number;
            let stored = upload.parts.get(&number);
            let (bytes, digest) = stored.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag.as_ref().is_some_and(|tag| *tag != ETag::Strong(hex(digest))) {
                return Err(s3_error!(InvalidPart));
            }
            contents.extend_from_slice(bytes);
            digests.update(digest);
        }
        if wanted.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        let object = Stored {
            tag: ETag::Strong(format!("{}-{}", hex(&digests.finalize()), wanted.len())),
            content_type: upload.content_type.clone(),
            metadata: upload.metadata.clone(),
            ..Stored::new(contents.into())
        };
        let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match };
        let tag = state.insert(&input.bucket, &input.key, object, &conditions)?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(tag),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        let mut state = lock(&self.state);
        state.upload(&input.upload_id, &input.bucket, &input.key)?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// A page of a listing.
struct Page {
    objects: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    most: i32,
    /// The last name in the page, if more follow.
    next: Option<String>,
}

impl Page {
    fn of(objects: &BTreeMap<String, Stored>, input: &ListObjectsV2Input) -> S3Result<Page> {
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let most = input.max_keys.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
        let after = match &input.continuation_token {
            Some(token) => unhex(token).ok_or_else(|| s3_error!(InvalidArgument))?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let mut page = Page { objects: Vec::new(), prefixes: Vec::new(), most, next: None };
        let mut last = after.clone();
        for (key, object) in objects.range(prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            let group = delimiter
                .and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()))
                .map(|end| key[..prefix.len() + end].to_owned());
            let name = group.as_ref().unwrap_or(key);
            // The previous page may have ended with this group.
            if *name <= last {
                continue;
            }
            if page.objects.len() + page.prefixes.len() >= position(u64::from(most.unsigned_abs()))
            {
                page.next = (most > 0).then_some(last);
                break;
            }
            last.clone_from(name);
            match group {
                Some(group) => page.prefixes.push(CommonPrefix { prefix: Some(group) }),
                None => page.objects.push(Object {
                    e_tag: Some(object.tag.clone()),
                    key: Some(key.clone()),
                    last_modified: Some(object.modified.into()),
                    size: Some(length(object.contents.len())),
                    ..Object::default()
                }),
            }
        }
        Ok(page)
    }
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let collected = Body::from(body).collect().await;
    Ok(collected
        .map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?
        .to_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

fn position(at: u64) -> usize {
    usize::try_from(at).expect("memory is addressed by usize")
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("memory is smaller than i64::MAX")
}
