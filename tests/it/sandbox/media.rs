//! Uploads, downloads, and what becomes of files.

use serde_json::{Value, json};

use super::{Bench, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_download_list_and_delete() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let post = bench.post(&user, None).await;
    let body = json!({
        "fileName": "../my photo?.jpg", "contentType": "image/jpeg", "postGroupId": post, "type": "image",
    });
    let (status, slot) = bench.api("POST", "get-upload-url", Some(&user), Some(body)).await;
    let text = |name: &str| slot[name].as_str().expect("text").to_owned();
    let (upload, file, media) = (text("uploadUrl"), text("fileUrl"), text("mediaId"));
    assert_eq!((status, &slot["success"], media.len()), (200, &json!(true), 24));

    let get = || async { read(bench.http.get(&file).send().await.expect("an answer")).await };
    assert_eq!(get().await.0, 404, "nothing is there yet");
    let forged = format!("{}?token=0", upload.split('?').next().unwrap_or(""));
    let put = |url: String| async {
        let request = bench.http.put(url).header("content-type", "image/jpeg").body("picture");
        read(request.send().await.expect("an answer")).await
    };
    assert_eq!(put(forged).await.0, 403);
    assert_eq!(put(upload.clone()).await.0, 200);
    let answer = bench.http.get(&file).send().await.expect("an answer");
    assert_eq!(answer.headers().get("content-type").map(|value| value.as_bytes()), Some(&b"image/jpeg"[..]));
    assert_eq!(
        answer.headers().get("x-content-type-options").map(|value| value.as_bytes()),
        Some(&b"nosniff"[..])
    );
    assert_eq!(answer.text().await.ok().as_deref(), Some("picture"));
    let (_, list) = bench.api("GET", "list-posts", Some(&user), None).await;
    assert_eq!(list["posts"][0]["mediaUrls"], json!([file]));

    assert_eq!(bench.api("DELETE", &format!("delete-post/{post}"), Some(&user), None).await.0, 200);
    assert_eq!(get().await.0, 404);
    assert_eq!(put(upload).await.0, 403, "the record is gone, and the slot with it");
    let actions = ["post.create", "media.create", "media.upload", "media.delete", "post.delete"];
    assert_eq!(bench.journal(&post).await, actions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_urls_are_refused_as_documented() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let post = bench.post(&ann, None).await;
    let full = json!({ "fileName": "a.jpg", "contentType": "image/jpeg", "postGroupId": post });
    for missing in ["fileName", "contentType", "postGroupId"] {
        let mut body = full.clone();
        body[missing] = Value::Null;
        let (status, answer) = bench.api("POST", "get-upload-url", Some(&ann), Some(body)).await;
        let error = "fileName, contentType, and postGroupId are required";
        assert_eq!((status, answer), (400, json!({ "error": error })), "{missing}");
    }
    let (status, answer) = bench.api("POST", "get-upload-url", Some(&bob), Some(full)).await;
    assert_eq!((status, answer), (404, json!({ "error": "Post group not found" })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_storage_refuses_the_file_and_can_be_tried_again() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let post = bench.post(&user, None).await;
    let body = json!({ "fileName": "a.mp4", "contentType": "video/mp4", "postGroupId": post });
    let (_, slot) = bench.api("POST", "get-upload-url", Some(&user), Some(body)).await;
    let upload = slot["uploadUrl"].as_str().expect("a URL");
    bench.faults(json!([{ "match": { "path": "/_storage/" }, "times": 1, "failStorage": true }])).await;
    for status in [500, 200] {
        let answer = bench.http.put(upload).body("film").send().await.expect("an answer");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_url_is_good_for_an_hour() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let post = bench.post(&user, None).await;
    let body = json!({ "fileName": "a.jpg", "contentType": "image/jpeg", "postGroupId": post });
    let moment = || jiff::Timestamp::now().as_millisecond();
    let before = moment();
    let (_, slot) = bench.api("POST", "get-upload-url", Some(&user), Some(body)).await;
    let after = moment();
    let (upload, media) =
        (slot["uploadUrl"].as_str().expect("a URL"), slot["mediaId"].as_str().expect("an id"));
    let shown = bench.control("GET", &format!("posts/{post}"), Value::Null).await;
    let expires: jiff::Timestamp =
        shown["media"][0]["uploadExpiresAt"].as_str().expect("a time").parse().expect("a time");
    let hour = 3_600_000;
    assert!((before + hour..=after + hour).contains(&expires.as_millisecond()), "{shown}");

    let put =
        || async { read(bench.http.put(upload).body("picture").send().await.expect("an answer")).await };
    let expire = |at: &'static str| {
        let (path, body) = (format!("media/{media}"), json!({ "uploadExpiresAt": at }));
        let bench = &bench;
        async move { bench.control("PATCH", &path, body).await }
    };
    expire("2020-01-01T00:00:00Z").await;
    assert_eq!(put().await, (403, json!({ "error": "Upload URL is invalid or has expired" })));
    let shown = bench.control("GET", &format!("posts/{post}"), Value::Null).await;
    assert_eq!(shown["media"][0]["uploaded"], false);
    expire("2099-01-01T00:00:00Z").await;
    assert_eq!(put().await.0, 200);
    let expected = ["post.create", "media.create", "media.update", "media.update", "media.upload"];
    assert_eq!(bench.journal(&post).await, expected);
    let unknown = format!("media/{}", "0".repeat(24));
    let body = json!({ "uploadExpiresAt": "2020-01-01T00:00:00Z" });
    assert_eq!(bench.try_control("PATCH", &unknown, body).await.0, 404);
}
