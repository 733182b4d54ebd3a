//! The store in memory, used in the ways of the tests that rely on it.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use catena_s3_stand_in::StandIn;

use super::*;

const BUCKET: &str = "stand-in";

/// Returns a store with an empty bucket, and a client of it.
async fn store() -> (StandIn, Client) {
    let store = StandIn::start(&[BUCKET]);
    let settings = s3::settings(store.endpoint_url());
    let register = S3Register::open(BUCKET, "", "c", &settings).await.expect("settings");
    (store, register.client().clone())
}

fn status<E>(error: &SdkError<E>) -> u16 {
    error.raw_response().expect("a response").status().as_u16()
}

#[test]
fn objects_are_read_whole_in_part_and_on_a_condition() {
    run(async {
        let (store, client) = store().await;
        let put = client.put_object().bucket(BUCKET).key("k").content_type("text/x");
        let put = put.metadata("worker", "3").body(b"hello".to_vec().into());
        let tag = put.send().await.expect("a place").e_tag.expect("a tag");
        assert_eq!(tag, "\"5d41402abc4b2a76b9719d911017c592\"", "the MD5 of the contents");
        assert_eq!(store.contents(BUCKET, "k").as_deref(), Some(&b"hello"[..]));

        let get = || client.get_object().bucket(BUCKET).key("k");
        for (range, contents, stated) in [
            (None, "hello", None),
            (Some("bytes=1-3"), "ell", Some("bytes 1-3/5")),
            (Some("bytes=3-"), "lo", Some("bytes 3-4/5")),
            (Some("bytes=3-99"), "lo", Some("bytes 3-4/5")),
            (Some("bytes=-2"), "lo", Some("bytes 3-4/5")),
        ] {
            let got = get().set_range(range.map(Into::into)).send().await.expect("the object");
            assert_eq!(got.content_range.as_deref(), stated, "{range:?}");
            assert_eq!(got.content_type.as_deref(), Some("text/x"));
            assert_eq!(got.metadata.as_ref().expect("some")["worker"], "3");
            let bytes = got.body.collect().await.expect("a body").into_bytes();
            assert_eq!(bytes, contents.as_bytes(), "{range:?}");
        }
        let error = get().range("bytes=5-").send().await.expect_err("behind the end");
        assert_eq!(status(&error), 416);
        let error = get().if_none_match(&tag).send().await.expect_err("nothing new");
        assert_eq!(status(&error), 304);
        let error = get().if_match("\"0\"").send().await.expect_err("another");
        assert_eq!(status(&error), 412);
        get().if_match(&tag).send().await.expect("the same");

        let head = client.head_object().bucket(BUCKET).key("k").send().await.expect("the object");
        assert_eq!((head.content_length, head.e_tag), (Some(5), Some(tag)));
        client.delete_object().bucket(BUCKET).key("k").send().await.expect("a deletion");
        let error = client.head_object().bucket(BUCKET).key("k").send().await.expect_err("gone");
        assert_eq!(status(&error), 404);
        let error = get().send().await.expect_err("gone");
        assert_eq!(error.code(), Some("NoSuchKey"));
    });
}

#[test]
fn writes_are_conditional() {
    run(async {
        let (store, client) = store().await;
        let put = |text: &'static str| {
            client.put_object().bucket(BUCKET).key("k").body(text.as_bytes().to_vec().into())
        };
        let error = put("a").if_match("\"0\"").send().await.expect_err("nothing there");
        assert_eq!((status(&error), error.code()), (404, Some("NoSuchKey")), "as AWS answers");
        let tag = put("a").if_none_match("*").send().await.expect("a place").e_tag;
        let tag = tag.expect("a tag");
        let error = put("b").if_none_match("*").send().await.expect_err("something there");
        assert_eq!(status(&error), 412);
        put("b").if_match(&tag).send().await.expect("the same");
        let error = put("c").if_match(&tag).send().await.expect_err("another");
        assert_eq!(status(&error), 412);
        assert_eq!(store.contents(BUCKET, "k").as_deref(), Some(&b"b"[..]));
    });
}

#[test]
fn listings_come_in_pages() {
    run(async {
        let (store, client) = store().await;
        let mut keys: Vec<String> = (0..25).map(|n| format!("in/{n:02}")).collect();
        keys.extend(["in/a/1", "in/a/2", "in/b/1", "in/z"].map(String::from));
        for key in keys.iter().map(String::as_str).chain(["a", "inner", "j"]) {
            store.put(BUCKET, key, key.as_bytes().to_vec());
        }
        for (delimiter, most) in [(None, 1000), (None, 7), (Some("/"), 1), (Some("/"), 4)] {
            let mut listed = Vec::new();
            let mut token = None;
            loop {
                let list = client.list_objects_v2().bucket(BUCKET).prefix("in/").max_keys(most);
                let list = list.set_delimiter(delimiter.map(Into::into));
                let page = list.set_continuation_token(token).send().await.expect("a page");
                assert!(page.key_count <= Some(most));
                listed.extend(page.contents().iter().filter_map(|object| object.key.clone()));
                listed.extend(page.common_prefixes().iter().filter_map(|some| some.prefix.clone()));
                token = page.next_continuation_token;
                assert_eq!(page.is_truncated, Some(token.is_some()));
                if token.is_none() {
                    break;
                }
            }
            let mut expected = keys.clone();
            if delimiter.is_some() {
                expected.retain(|key| key.matches('/').count() == 1);
                expected.extend(["in/a/", "in/b/"].map(String::from));
            }
            listed.sort();
            expected.sort();
            assert_eq!(listed, expected, "{delimiter:?} {most}");
        }
        let list = client.list_objects_v2().bucket(BUCKET).start_after("in/b/1").send().await;
        let list = list.expect("a page");
        let rest: Vec<_> = list.contents().iter().filter_map(|object| object.key()).collect();
        assert_eq!(rest, ["in/z", "inner", "j"]);
        let nowhere = client.list_objects_v2().bucket("nowhere").send().await;
        assert_eq!(nowhere.expect_err("no bucket").code(), Some("NoSuchBucket"));
    });
}

#[test]
fn large_objects_come_in_parts() {
    run(async {
        let (store, client) = store().await;
        let begun = client.create_multipart_upload().bucket(BUCKET).key("k").send().await;
        let id = begun.expect("an upload").upload_id.expect("an id");
        let mut parts = Vec::new();
        for (number, byte) in (1..).zip([b'x', b'y']) {
            let part = client.upload_part().bucket(BUCKET).key("k").upload_id(&id);
            let part = part.part_number(number).body(vec![byte; 1 << 20].into());
            let tag = part.send().await.expect("a place").e_tag;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
        }
        assert_eq!(store.contents(BUCKET, "k"), None, "not before it is complete");
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = client.complete_multipart_upload().bucket(BUCKET).key("k");
        let complete = complete.upload_id(&id).multipart_upload(parts);
        let tag = complete.send().await.expect("an object").e_tag.expect("a tag");
        assert!(tag.ends_with("-2\""), "{tag}");
        let contents = store.contents(BUCKET, "k").expect("an object");
        assert_eq!((contents.len(), contents[0], contents[1 << 20]), (2 << 20, b'x', b'y'));
        let aborted = client.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(&id);
        assert_eq!(status(&aborted.send().await.expect_err("it is complete")), 404);
    });
}
