//! What the worker does, against S3 and the ledger on the wire.

use std::collections::BTreeSet;

use std::{collections::BTreeMap, time::Duration};

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};
use worker::{Failure, answer};

use crate::fake::{Aws, Keeps, QUARANTINE, SITE, Version};

async fn run(aws: &Aws, incident: &str, mut payload: Value) -> Result<Value, Failure> {
    payload["incidentId"] = json!(incident);
    answer(&aws.worker(), &payload).await
}

/// An event of now; AWS sends it some seconds later.
fn event(aws: &Aws, name: &str, key: &str, version: Option<&str>) -> Value {
    let mut target = json!({"kind": "object", "bucket": SITE, "key": key});
    if let Some(version) = version {
        target["version"] = json!(version);
    }
    let event = json!({"target": target, "occurredAt": aws.time(), "eventName": name});
    aws.wait(5);
    event
}

fn put(aws: &Aws, key: &str, version: &str) -> Value {
    event(aws, "PutObject", key, Some(version))
}

fn deleted_many(aws: &Aws) -> Value {
    let event = json!({
        "target": {"kind": "bucket", "name": SITE},
        "occurredAt": aws.time(),
        "eventName": "DeleteObjects",
    });
    aws.wait(5);
    event
}

fn with(mut payload: Value, name: &str, value: Value) -> Value {
    payload[name] = value;
    payload
}

/// A page, and the event of its defacement.
fn defaced(aws: &Aws) -> (String, Value) {
    aws.put("a.html", "welcome");
    let bad = aws.put("a.html", "defaced");
    let event = put(aws, "a.html", &bad);
    (bad, event)
}

/// Of which S3 can compare nothing but the size.
fn alike(body: &str) -> Version {
    let kms = ("x-amz-server-side-encryption", "aws:kms");
    let mut version = Version {
        checksum: None,
        ..Version::of(body)
    };
    version.headers.insert(kms.0.to_owned(), kms.1.to_owned());
    version
}

fn summary(done: &Value) -> &str {
    done["summary"].as_str().unwrap()
}

fn left(done: &Value) -> String {
    let lines = done["left"].as_array().map_or(&[][..], Vec::as_slice);
    let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
    lines.join("\n")
}

/// Changes that were made or tried in S3's site bucket.
fn on_site(writes: &[String]) -> Vec<&str> {
    let site = writes.iter().filter(|write| write.contains(" site/"));
    site.map(String::as_str).collect()
}

mod a_write {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_kept_and_the_last_good_version_is_back() {
        let aws = Aws::new();
        let (bad, event) = defaced(&aws);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_json_snapshot!(done, @r#"
        {
          "changed": true,
          "summary": "object a.html: version v1 is back (the same CRC-64/NVME checksum); version v2 is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum)",
          "undo": [],
          "paths": [
            "/a.html"
          ]
        }
        "#);
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(
            aws.evidence(),
            [("i-1/a.html".to_owned(), "defaced".to_owned())]
        );
        assert!(aws.versions("a.html").contains(&bad));
        assert_snapshot!(aws.holds(), @r#"quarantine/v2: {"marker":false,"evidence":null} (i-1)"#);
        assert_snapshot!(aws.writes().join("\n"), @"
        UpdateItem
        PutItem
        CopyObject site/a.html
        UpdateItem
        CopyObject quarantine/i-1/a.html
        ");
        assert_eq!(aws.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn is_answered_twice_without_a_second_copy() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        aws.writes();
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(done["paths"], json!(["/a.html"]));
        assert_snapshot!(summary(&done), @"object a.html: a good version is live and stays; version v2 is in quarantine at s3://quarantine/i-1/a.html");
        assert_eq!(aws.writes(), ["UpdateItem"]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_file_that_was_never_there_is_taken_off_with_a_marker() {
        let aws = Aws::new();
        let bad = aws.put("evil.html", "malware");
        let event = put(&aws, "evil.html", &bad);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(summary(&done), @"object evil.html: it is taken off the site; version v1 is kept at s3://quarantine/i-1/evil.html (the same CRC-64/NVME checksum)");
        assert_eq!(left(&done), "");
        assert_eq!(aws.live("evil.html"), None);
        assert_eq!(aws.versions("evil.html"), [&bad, "m2"]);
        assert_eq!(aws.evidence().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn over_an_object_that_ci_had_deleted_is_taken_off_again() {
        let aws = Aws::new();
        aws.put("a.html", "old");
        aws.delete("a.html");
        let bad = aws.put("a.html", "defaced");
        let event = put(&aws, "a.html", &bad);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], true);
        assert_eq!(aws.live("a.html"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn that_ci_has_overwritten_is_kept_and_the_site_is_not_touched() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        let newer = aws.put("a.html", "welcome back");
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: a good version is live and stays; version v2 is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum)");
        assert_eq!(aws.evidence().len(), 1);
        assert_eq!(on_site(&aws.writes()), [""; 0]);
        assert_eq!(aws.version(SITE, "a.html").unwrap().id, newer);
        assert_eq!(done["paths"], json!(["/a.html"]));
    }

    #[tokio::test(start_paused = true)]
    async fn that_ci_overwrites_just_before_we_do_stays_overwritten_by_ci() {
        for deployed in ["welcome back", "defaced"] {
            let aws = Aws::new();
            let (_, event) = defaced(&aws);
            aws.before("CopyObject site", move |state| {
                state.somebody_writes("a.html", Version::of(deployed));
            });
            let done = run(&aws, "i-1", event).await.unwrap();
            // Equal content has equal entity tags: only reading again tells.
            assert_eq!(aws.live("a.html").unwrap(), deployed);
            let tries = if deployed == "defaced" { 2 } else { 1 };
            assert_eq!(on_site(&aws.writes()).len(), tries);
            assert_eq!(aws.open(), 0, "{done}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn loses_its_object_for_a_concurrent_conflict_only_to_try_again() {
        let aws = Aws::new().refusing("CopyObject site", 409, "ConditionalRequestConflict");
        let (_, event) = defaced(&aws);
        let failure = run(&aws, "i-1", event.clone()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_snapshot!(failure, @"object a.html: version v2 is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum); failed: others keep writing a.html; run again");
        aws.granting();
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(aws.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_any_key_is_answered_by_that_key() {
        let long = "k".repeat(1_024);
        for key in [
            "with space.html",
            "a+b.html",
            "100%.html",
            "100%25.html",
            "page?versionId=x",
            "größe/日本.html",
            "/leading/slash",
            "//",
            "a/../b/./c",
            "tab\tnew\nline\u{1}",
            "&amp;<x>\"'",
            &long,
        ] {
            let aws = Aws::new();
            aws.put(&format!("{key}.bak"), "a neighbour");
            aws.put(key, "welcome");
            let bad = aws.put(key, "defaced");
            let event = put(&aws, key, &bad);
            let done = run(&aws, "i-1", event).await.unwrap();
            assert_eq!(aws.live(key).unwrap(), "welcome", "{key}");
            assert_eq!(left(&done), "");
            let evidence = aws.evidence();
            assert_eq!(evidence[0].1, "defaced");
            if key.len() < 1_000 {
                assert_eq!(evidence[0].0, format!("i-1/{key}"));
            } else {
                assert_eq!(evidence[0].0.len(), "i-1/".len() + 64);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn among_many_is_found_over_all_pages() {
        let aws = Aws::new();
        aws.state().page = 2;
        aws.put("a.html", "welcome");
        let bad: Vec<_> = (0..7).map(|n| aws.put("a.html", &n.to_string())).collect();
        aws.put("a.html.bak", "a neighbour");
        for (number, bad) in bad.iter().enumerate() {
            let event = put(&aws, "a.html", bad);
            run(&aws, &format!("i-{number}"), event).await.unwrap();
        }
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn whose_good_version_has_expired_is_replaced_by_our_copy_of_it() {
        let aws = Aws::new();
        let good = aws.put("a.html", "welcome");
        let bad = aws.put("a.html", "defaced");
        let event = put(&aws, "a.html", &bad);
        run(&aws, "i-1", event).await.unwrap();
        aws.purge("a.html", &good);
        let again = aws.put("a.html", "defaced again");
        let event = put(&aws, "a.html", &again);
        run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn is_answered_though_the_answer_to_our_own_write_is_lost() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        aws.losing("CopyObject site");
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: version v1 is back; version v2 is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum)");
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(aws.versions("a.html").len(), 3);

        let bad = aws.put("evil.html", "malware");
        let event = put(&aws, "evil.html", &bad);
        aws.losing("DeleteObject site");
        let done = run(&aws, "i-2", event).await.unwrap();
        assert_snapshot!(summary(&done), @"object evil.html: it is taken off the site; version v5 is kept at s3://quarantine/i-2/evil.html (the same CRC-64/NVME checksum)");
        assert_eq!((aws.live("evil.html"), aws.open()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn of_which_a_copy_is_ours_is_bad_though_the_run_that_made_it_died() {
        // The first bad version goes live again before its own event comes.
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let first = aws.put("a.html", "defaced");
        let second = aws.put("a.html", "d3faced");
        let (first, second) = (put(&aws, "a.html", &first), put(&aws, "a.html", &second));
        aws.dying("CopyObject site");
        let failure = run(&aws, "i-2", second).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        aws.granting();
        run(&aws, "i-1", first).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn is_answered_again_after_a_run_that_died() {
        for call in [
            "CopyObject quarantine",
            "HeadObject quarantine",
            "CopyObject site",
            "HeadObject site",
        ] {
            let aws = Aws::new();
            let (_, event) = defaced(&aws);
            aws.dying(call);
            let failure = run(&aws, "i-1", event.clone()).await.unwrap_err();
            assert_eq!(failure.name(), "Transient", "{call}");
            aws.granting();
            run(&aws, "i-1", event).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "welcome");
            assert_eq!(aws.evidence().len(), 1);
            assert!(aws.versions("a.html").len() <= 3, "{call}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_dry_run_is_only_talked_about() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        let dry = with(event, "dryRun", json!(true));
        let done = run(&aws, "i-1", dry).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(summary(&done), @"object a.html: version v1 would be put back; version v2 would be kept at s3://quarantine/i-1/a.html");
        let bad = aws.put("evil.html", "malware");
        let event = put(&aws, "evil.html", &bad);
        let dry = with(event, "dryRun", json!(true));
        let done = run(&aws, "i-1", dry).await.unwrap();
        assert_snapshot!(summary(&done), @"object evil.html: it would be taken off the site; version v3 would be kept at s3://quarantine/i-1/evil.html");
        assert_eq!(aws.writes(), [""; 0]);
    }
}

mod a_copy {
    use super::*;

    fn dressed(body: &str) -> Version {
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "max-age=60"),
            ("content-disposition", "inline"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("expires", "Wed, 25 Nov 2026 03:00:00 GMT"),
            ("x-amz-meta-build", "17"),
            ("x-amz-website-redirect-location", "/new"),
            ("x-amz-storage-class", "STANDARD_IA"),
        ];
        Version {
            headers: headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            tags: BTreeMap::from([("team".to_owned(), "a & b".to_owned())]),
            grants: vec!["mallory=FULL_CONTROL".to_owned()],
            ..Version::of(body)
        }
    }

    fn huge(body: &str) -> Version {
        Version {
            size: 6 << 30,
            parts: Some(600),
            ..dressed(body)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn takes_everything_with_it_but_the_acl() {
        for version in [dressed as fn(&str) -> Version, huge] {
            let aws = Aws::new();
            aws.put_version("a.html", version("welcome"));
            let bad = aws.put_version("a.html", version("defaced"));
            let event = put(&aws, "a.html", &bad);
            let done = run(&aws, "i-1", event).await.unwrap();
            assert!(summary(&done).contains("CRC-64/NVME"), "{done}");
            let expected = version("");
            for (bucket, key, body) in [
                (SITE, "a.html", "welcome"),
                (QUARANTINE, "i-1/a.html", "defaced"),
            ] {
                let copy = aws.version(bucket, key).unwrap();
                let mut headers = expected.headers.clone();
                if bucket == QUARANTINE {
                    headers.remove("x-amz-storage-class");
                }
                assert_eq!(copy.body, body);
                assert_eq!(copy.headers, headers, "{bucket}");
                assert_eq!(copy.tags, expected.tags);
                assert_eq!(copy.grants, ["owner=FULL_CONTROL"]);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn above_five_gigabytes_is_made_in_parts() {
        let aws = Aws::new();
        aws.put("video.mp4", "welcome");
        let bad = aws.put_version("video.mp4", huge("defaced"));
        let event = put(&aws, "video.mp4", &bad);
        run(&aws, "i-1", event).await.unwrap();
        let copy = aws.version(QUARANTINE, "i-1/video.mp4").unwrap();
        assert_eq!((copy.size, copy.parts), (6 << 30, Some(6)));
        assert_eq!(aws.uploads(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn in_parts_is_aborted_when_it_fails() {
        for (refused, code) in [
            ("UploadPartCopy quarantine", "SlowDown"),
            ("CompleteMultipartUpload quarantine", "InternalError"),
        ] {
            let aws = Aws::new().refusing(refused, 503, code);
            aws.put("video.mp4", "welcome");
            let bad = aws.put_version("video.mp4", huge("defaced"));
            let event = put(&aws, "video.mp4", &bad);
            let failure = run(&aws, "i-1", event).await.unwrap_err();
            assert_eq!(failure.name(), "Transient");
            assert_eq!(aws.uploads(), 0, "aborted");
            // What is bad is not served while its evidence is tried again.
            assert_eq!(aws.live("video.mp4").unwrap(), "welcome");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_parts_lets_a_newer_write_win() {
        let aws = Aws::new();
        aws.put_version("video.mp4", huge("welcome"));
        let bad = aws.put("video.mp4", "defaced");
        let event = put(&aws, "video.mp4", &bad);
        aws.before("CompleteMultipartUpload site", |state| {
            state.somebody_writes("video.mp4", Version::of("welcome back"));
        });
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("video.mp4").unwrap(), "welcome back");
        assert_eq!((aws.uploads(), aws.open()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn that_would_take_longer_than_a_run_is_left_for_a_human() {
        let aws = Aws::new();
        aws.put("video.mp4", "welcome");
        let size = 201 << 30;
        let bad = aws.put_version(
            "video.mp4",
            Version {
                size,
                ..huge("defaced")
            },
        );
        let event = put(&aws, "video.mp4", &bad);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"video.mp4: version v2 is not in quarantine (it is larger than the 200 GiB that a run can copy): keep it by parts, with aws s3api create-multipart-upload, upload-part-copy --copy-source 'site/video.mp4?versionId=v2' and complete-multipart-upload for --bucket quarantine --key i-1/video.mp4");
        assert_eq!(aws.live("video.mp4").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn that_takes_longer_than_a_run_does_not_hold_up_the_site() {
        let aws = Aws::new();
        aws.put("video.mp4", "welcome");
        let version = Version {
            size: 200 << 30,
            ..huge("defaced")
        };
        let bad = aws.put_version("video.mp4", version);
        let event = put(&aws, "video.mp4", &bad);
        aws.state().takes = Duration::from_secs(20);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("video.mp4").unwrap(), "welcome");
        assert_eq!(done["paths"], json!(["/video.mp4"]));
        assert_snapshot!(left(&done), @"video.mp4: version v2 is not in quarantine (it could not be copied in time): keep it by parts, with aws s3api create-multipart-upload, upload-part-copy --copy-source 'site/video.mp4?versionId=v2' and complete-multipart-upload for --bucket quarantine --key i-1/video.mp4");
        assert_eq!((aws.uploads(), aws.evidence()), (0, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn is_made_once_the_site_is_right() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        aws.before("CopyObject quarantine", |state| {
            assert_eq!(state.live("a.html").as_deref(), Some("welcome"));
        });
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.evidence()[0].1, "defaced");
    }

    #[tokio::test(start_paused = true)]
    async fn is_an_upload_where_copies_take_no_condition() {
        let aws = Aws::new().refusing("CopyObject site", 501, "NotImplemented");
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(
            on_site(&aws.writes()),
            [
                "CopyObject site/a.html",
                "CreateMultipartUpload site/a.html",
                "UploadPartCopy site/a.html",
                "CompleteMultipartUpload site/a.html"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn that_fails_inside_a_200_fails() {
        let aws = Aws::new().refusing("CopyObject", 200, "InternalError");
        let (_, event) = defaced(&aws);
        let failure = run(&aws, "i-1", event).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_snapshot!(failure, @"object a.html: left as it is; failed: s3:CopyObject: InternalError: as AWS says; version v2 is not in quarantine yet: s3:CopyObject: InternalError: as AWS says");
        assert_eq!(aws.evidence(), []);
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
    }

    #[tokio::test(start_paused = true)]
    async fn that_differs_from_its_source_is_no_evidence() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        aws.state().corrupts = Some("garbage");
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"
        a.html: its last good version v1 could not be copied (the copy does not hold what its source holds); deploy it, or mend that and start the runbook again with the same input
        a.html: version v2 is not in quarantine (the copy does not hold what its source holds): keep it with aws s3api copy-object --copy-source 'site/a.html?versionId=v2' --bucket quarantine --key i-1/a.html, or mend that and start the runbook again with the same input
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn is_proved_by_what_s3_can_compare() {
        let kms = ("x-amz-server-side-encryption", "aws:kms");
        for (checksum, parts, header, proof) in [
            (Some("crc64nvme"), Some(3), None, "CRC-64/NVME checksum"),
            (Some("crc32"), None, None, "CRC-32 checksum"),
            (Some("sha256"), None, Some(kms), "SHA-256 checksum"),
            (None, None, None, "the same MD5 sum"),
            (None, Some(3), None, "the same size"),
            (None, None, Some(kms), "the same size"),
        ] {
            let aws = Aws::new();
            let mut version = Version {
                parts,
                checksum,
                ..Version::of("defaced")
            };
            version
                .headers
                .extend(header.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let bad = aws.put_version("a.html", version);
            let event = put(&aws, "a.html", &bad);
            let done = run(&aws, "i-1", event.clone()).await.unwrap();
            assert!(summary(&done).contains(proof), "{done}");
            aws.writes();
            run(&aws, "i-1", event).await.unwrap();
            assert_eq!(aws.writes(), ["UpdateItem"], "no second copy");
        }
    }
}

mod a_refusal {
    use super::*;

    const ARCHIVED: (u16, &str) = (403, "ObjectNotInActiveTierError");
    const NO_KEY: (u16, &str) = (403, "AccessDenied");
    const SSE_C: (u16, &str) = (400, "InvalidRequest");

    /// What is left when the bad version cannot be copied; and nothing is, once that is mended.
    async fn of_the_bad_version(refusal: (u16, &'static str)) -> String {
        let aws = Aws::new();
        let (bad, event) = defaced(&aws);
        aws.set("a.html", &bad, |bad| bad.unreadable = Some(refusal));
        let first = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(first["paths"], json!(["/a.html"]));
        assert!(aws.versions("a.html").contains(&bad));
        aws.set("a.html", &bad, |bad| bad.unreadable = None);
        let second = run(&aws, "i-2", event).await.unwrap();
        assert_eq!((left(&second), aws.evidence().len()), (String::new(), 1));
        left(&first)
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_bad_version_leaves_the_evidence_to_a_human_and_restores() {
        assert_snapshot!(of_the_bad_version(ARCHIVED).await, @"a.html: version v2 is archived and not in quarantine: aws s3api restore-object --bucket site --key a.html --version-id v2 --restore-request Days=7; once it is restored, start the runbook again with the same input");
        assert_snapshot!(of_the_bad_version(NO_KEY).await, @"a.html: version v2 is not in quarantine (s3:HeadObject: refused; its owner's ACL, s3:GetObjectVersion or kms:Decrypt may be missing): keep it with aws s3api copy-object --copy-source 'site/a.html?versionId=v2' --bucket quarantine --key i-1/a.html, or mend that and start the runbook again with the same input");
        assert_snapshot!(of_the_bad_version(SSE_C).await, @"a.html: version v2 is not in quarantine (s3:HeadObject: refused; it may be encrypted with a key that only who wrote it has): keep it with aws s3api copy-object --copy-source 'site/a.html?versionId=v2' --bucket quarantine --key i-1/a.html, or mend that and start the runbook again with the same input");
    }

    /// What is left when the good version cannot be copied; and nothing is, once that is mended.
    async fn of_the_good_version(refusal: (u16, &'static str)) -> String {
        let aws = Aws::new();
        let good = aws.put("a.html", "welcome");
        let bad = aws.put("a.html", "defaced");
        aws.set("a.html", &good, |good| good.unreadable = Some(refusal));
        let event = put(&aws, "a.html", &bad);
        let first = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
        assert_eq!(first["paths"], json!(["/a.html"]));
        aws.set("a.html", &good, |good| good.unreadable = None);
        let second = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(left(&second), "");
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        left(&first)
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_good_version_takes_the_bad_one_off_all_the_same() {
        assert_snapshot!(of_the_good_version(ARCHIVED).await, @"a.html: its last good version v1 is archived: aws s3api restore-object --bucket site --key a.html --version-id v1 --restore-request Days=7; once it is restored, start the runbook again with the same input");
        assert_snapshot!(of_the_good_version(NO_KEY).await, @"a.html: its last good version v1 could not be copied (s3:HeadObject: refused; its owner's ACL, s3:GetObjectVersion or kms:Decrypt may be missing); deploy it, or mend that and start the runbook again with the same input");
    }

    #[tokio::test(start_paused = true)]
    async fn to_look_at_what_was_deleted_is_told() {
        let aws = Aws::new().refusing("HeadObject", 403, "AccessDenied");
        aws.put("a.html", "welcome");
        let marker = aws.delete("a.html");
        let event = event(&aws, "DeleteObject", "a.html", Some(&marker));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"a.html: what was deleted, version m2, could not be looked at (s3:HeadObject: refused; its owner's ACL, s3:GetObjectVersion or kms:Decrypt may be missing): mend that and start the runbook again with the same input");
    }

    #[tokio::test(start_paused = true)]
    async fn of_everything_on_the_site_is_a_failure_that_names_what_is_left() {
        let aws = Aws::new()
            .refusing("CopyObject site", 403, "AccessDenied")
            .refusing("DeleteObject site", 403, "AccessDenied");
        let (_, event) = defaced(&aws);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_snapshot!(left(&done), @"s3:DeleteObject: AccessDenied: as AWS says; a.html: its last good version v1 could not be copied (s3:CopyObject: AccessDenied: as AWS says); deploy it, or mend that and start the runbook again with the same input");
        // The evidence is there: nothing was done this time.
        let failure = run(&aws, "i-1", event).await.unwrap_err();
        assert_eq!(failure.name(), "AccessDenied");
        assert_eq!(aws.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn that_may_pass_is_left_to_a_retry() {
        for (call, status, code) in [
            ("GetBucketVersioning", 503, "SlowDown"),
            ("ListObjectVersions", 503, "SlowDown"),
            ("HeadObject site", 503, "SlowDown"),
            ("CopyObject quarantine", 503, "SlowDown"),
            ("CopyObject site", 500, "InternalError"),
            ("PutItem", 400, "ThrottlingException"),
            ("UpdateItem", 400, "ProvisionedThroughputExceededException"),
        ] {
            let aws = Aws::new().refusing(call, status, code);
            let (_, event) = defaced(&aws);
            let failure = run(&aws, "i-1", event.clone()).await.unwrap_err();
            assert_eq!(failure.name(), "Transient", "{call}: {failure}");
            aws.granting();
            run(&aws, "i-1", event).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "welcome", "{call}");
            assert_eq!(aws.evidence().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_bucket_is_a_failure_by_its_class() {
        for (status, code, name) in [
            (404, "NoSuchBucket", "TargetNotFound"),
            (403, "AccessDenied", "AccessDenied"),
        ] {
            let aws = Aws::new().refusing("GetBucketVersioning", status, code);
            let (_, event) = defaced(&aws);
            let failure = run(&aws, "i-1", event).await.unwrap_err();
            assert_eq!(failure.name(), name);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn to_mark_or_to_lock_is_never_in_the_way() {
        // The fake bucket has MFA delete on and refuses to delete versions or to name a lock.
        let aws = Aws::new();
        let bad = aws.put("evil.html", "malware");
        let event = put(&aws, "evil.html", &bad);
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("evil.html"), None);
        assert_eq!(aws.versions("evil.html").len(), 2);
    }
}

mod a_deletion {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn brings_the_object_back() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let marker = aws.delete("a.html");
        let event = event(&aws, "DeleteObject", "a.html", Some(&marker));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: version v1 is back (the same CRC-64/NVME checksum)");
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(left(&done), "");
        assert_eq!(aws.evidence(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn that_ci_deploys_over_just_before_we_write_stays_overwritten_by_ci() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let marker = aws.delete("a.html");
        let event = event(&aws, "DeleteObject", "a.html", Some(&marker));
        aws.before("CopyObject site", |state| {
            state.somebody_writes("a.html", Version::of("welcome back"));
        });
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome back");
        assert_eq!((aws.versions("a.html").len(), aws.open()), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn that_ci_repeats_just_before_we_write_is_respected() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let marker = aws.delete("a.html");
        let event = event(&aws, "DeleteObject", "a.html", Some(&marker));
        // A condition cannot tell one marker from another.
        aws.before("CopyObject site", |state| {
            state.somebody_writes("a.html", Version::marker());
        });
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
        assert_eq!(aws.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_is_named() {
        let aws = Aws::new();
        aws.put("a.html", "old");
        let lost = aws.put("a.html", "welcome");
        aws.purge("a.html", &lost);
        let event = event(&aws, "DeleteObject", "a.html", Some(&lost));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(left(&done), @"a.html: version v2 was deleted for good and cannot be brought back: deploy it again if the site needs it");
        assert_eq!(aws.live("a.html").unwrap(), "old");
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_does_not_make_a_copy_of_the_version_bad() {
        let aws = Aws::new();
        let good = aws.put("a.html", "welcome");
        let bad = aws.put("a.html", "defaced");
        let first = put(&aws, "a.html", &bad);
        run(&aws, "i-1", first).await.unwrap();
        aws.purge("a.html", &good);
        let event = event(&aws, "DeleteObject", "a.html", Some(&good));
        run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_of_what_we_put_back_makes_us_put_it_back_again() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        let ours = aws.version(SITE, "a.html").unwrap().id;
        aws.purge("a.html", &ours);
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        let event = super::event(&aws, "DeleteObject", "a.html", Some(&ours));
        run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_for_good_makes_nothing_live_that_is_in_quarantine() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        aws.put("b.html", "welcome, too");
        let ours = aws.version(SITE, "a.html").unwrap().id;
        aws.purge("a.html", &ours);
        aws.delete("b.html");
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        let done = run(&aws, "i-2", deleted_many(&aws)).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(aws.live("b.html").unwrap(), "welcome, too");
        assert_eq!(done["paths"], json!(["/a.html", "/b.html"]));
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_of_a_version_called_null_is_told() {
        let aws = Aws::new();
        let event = super::event(&aws, "DeleteObject", "a.html", Some("null"));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"a.html: version null was deleted for good and cannot be brought back: deploy it again if the site needs it");
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_of_a_bad_version_called_null_is_told() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let event = put(&aws, "a.html", "null");
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"a.html: version null was deleted for good before it could be kept");
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn for_good_of_the_bad_version_does_not_hide_its_copy() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let first = aws.put("a.html", "defaced");
        let second = aws.put("a.html", "defaced again");
        let (first_event, second_event) =
            (put(&aws, "a.html", &first), put(&aws, "a.html", &second));
        run(&aws, "i-2", second_event).await.unwrap();
        assert_eq!(
            aws.live("a.html").unwrap(),
            "defaced",
            "not known as bad yet"
        );
        aws.purge("a.html", &first);
        let done = run(&aws, "i-1", first_event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_snapshot!(left(&done), @"a.html: version v2 was deleted for good before it could be kept");
    }
}

mod many_deletions {
    use super::*;

    fn deleted(aws: &Aws, keys: usize) -> Value {
        let keys: Vec<_> = (0..keys).map(|n| format!("img/{n:03} +.png")).collect();
        for key in &keys {
            aws.put(key, key);
        }
        aws.put("old.html", "old");
        aws.delete("old.html");
        aws.put("kept.html", "kept");
        aws.wait(60);
        for key in &keys {
            aws.put_now(key, Version::marker());
        }
        deleted_many(aws)
    }

    fn all_live(aws: &Aws, keys: usize) -> bool {
        (0..keys).all(|n| {
            let key = format!("img/{n:03} +.png");
            aws.live(&key) == Some(key)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn are_found_and_all_taken_back() {
        let aws = Aws::new();
        let event = deleted(&aws, 40);
        aws.state().page = 7;
        aws.delete("later.html");
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert!(all_live(&aws, 40));
        assert_snapshot!(summary(&done), @"bucket site: put back: 40 objects, img/000 +.png, img/001 +.png, img/002 +.png, img/003 +.png, img/004 +.png and others; what it deleted by version, if anything, cannot be listed");
        assert_eq!(left(&done), "");
        assert_eq!(done["paths"].as_array().unwrap().len(), 40);
        assert_eq!(done["paths"][0], "/img/000%20+.png");
        assert_eq!((aws.live("old.html"), aws.live("later.html")), (None, None));
        aws.writes();
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(done["paths"].as_array().unwrap().len(), 40);
        assert_eq!(on_site(&aws.writes()), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_cloudfront_takes_purge_everything() {
        let aws = Aws::new();
        let event = deleted(&aws, 301);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert!(all_live(&aws, 301));
        assert_eq!(done["paths"], json!(["/*"]));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_fit_in_a_run_go_on_in_the_next() {
        let aws = Aws::new();
        let event = deleted(&aws, 64);
        aws.state().takes = Duration::from_mins(1);
        let failure = run(&aws, "i-1", event.clone()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert!(!all_live(&aws, 64));
        assert_snapshot!(failure, @"bucket site: put back: 32 objects, img/000 +.png, img/001 +.png, img/002 +.png, img/003 +.png, img/004 +.png and others; failed: 32 objects, such as img/032 +.png: not reached in time; run again to go on");
        aws.state().takes = Duration::ZERO;
        let done = run(&aws, "i-1", event).await.unwrap();
        assert!(all_live(&aws, 64));
        assert_eq!(done["paths"].as_array().unwrap().len(), 64);
    }

    /// A call that left a marker on `junk` only, and deleted versions by their ids as well.
    fn also_for_good(aws: &Aws, versions: &[(&str, &str)]) -> Value {
        aws.put("junk", "junk");
        aws.wait(60);
        for (key, version) in versions {
            aws.purge(key, version);
        }
        aws.put_now("junk", Version::marker());
        deleted_many(aws)
    }

    #[tokio::test(start_paused = true)]
    async fn that_took_our_copy_for_good_do_not_leave_the_bad_version_live() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        let ours = aws.version(SITE, "a.html").unwrap().id;
        let event = also_for_good(&aws, &[("a.html", &ours)]);
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        let done = run(&aws, "i-2", event.clone()).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(aws.live("junk").unwrap(), "junk");
        assert_snapshot!(left(&done), @"a.html: version v3, by which we had put it right, was deleted for good; what else the same call deleted cannot be listed: deploy the site again");
        assert_eq!(done["paths"], json!(["/a.html", "/junk"]));
        // A retry tells it again.
        let again = run(&aws, "i-2", event.clone()).await.unwrap();
        assert_eq!(
            (left(&again), again["changed"] == true),
            (left(&done), false)
        );
        // To any other call, all is well.
        let other = run(&aws, "i-3", event).await.unwrap();
        assert_eq!(left(&other), "");
    }

    #[tokio::test(start_paused = true)]
    async fn that_took_our_copy_and_its_source_take_the_bad_version_off() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        let ours = aws.version(SITE, "a.html").unwrap().id;
        let event = also_for_good(&aws, &[("a.html", &ours), ("a.html", "v1")]);
        let done = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
        assert_snapshot!(left(&done), @"a.html: version v3, by which we had put it right, was deleted for good, and so was version v1, which it was a copy of: deploy it again");
    }

    #[tokio::test(start_paused = true)]
    async fn that_took_our_marker_for_good_do_not_leave_the_file_live() {
        let aws = Aws::new();
        let bad = aws.put("evil.html", "malware");
        let event = put(&aws, "evil.html", &bad);
        run(&aws, "i-1", event).await.unwrap();
        let ours = aws.version(SITE, "evil.html").unwrap().id;
        let event = also_for_good(&aws, &[("evil.html", &ours)]);
        assert_eq!(aws.live("evil.html").unwrap(), "malware");
        aws.state().page = 1;
        let done = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("evil.html"), None);
        assert_snapshot!(left(&done), @"evil.html: version m2, by which we had put it right, was deleted for good; what else the same call deleted cannot be listed: deploy the site again");
    }

    #[tokio::test(start_paused = true)]
    async fn that_took_a_deployment_over_what_is_in_quarantine_are_told() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        let newer = aws.put("a.html", "welcome back");
        run(&aws, "i-1", event).await.unwrap();
        let event = also_for_good(&aws, &[("a.html", &newer)]);
        let done = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_snapshot!(left(&done), @"a.html: version v2 is in quarantine and was live, so that what had replaced it was deleted for good: deploy it again if the site needs it");
    }

    #[tokio::test(start_paused = true)]
    async fn that_took_our_copy_a_moment_after_a_marker_do_not_leave_the_bad_version_live() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        let event = deleted_many(&aws);
        aws.put_now("a.html", Version::marker());
        run(&aws, "i-1", event).await.unwrap();
        aws.put_now("a.html", Version::of("defaced"));
        let bad = aws.version(SITE, "a.html").unwrap().id;
        let event = put(&aws, "a.html", &bad);
        run(&aws, "i-2", event).await.unwrap();
        let ours = aws.version(SITE, "a.html").unwrap().id;
        aws.remove("a.html", &ours);
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        let done = run(&aws, "i-3", deleted_many(&aws)).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_snapshot!(left(&done), @"a.html: version v5, by which we had put it right, was deleted for good; what else the same call deleted cannot be listed: deploy the site again");
    }

    #[tokio::test(start_paused = true)]
    async fn do_not_take_what_has_expired_for_deleted() {
        let aws = Aws::new();
        let (bad, event) = defaced(&aws);
        run(&aws, "i-1", event).await.unwrap();
        let ours = aws.version(SITE, "a.html").unwrap().id;
        aws.put("a.html", "welcome back");
        let event = also_for_good(
            &aws,
            &[("a.html", "v1"), ("a.html", &bad), ("a.html", &ours)],
        );
        let done = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(left(&done), "");
        assert_eq!(done["paths"], json!(["/junk"]));
        assert_eq!(aws.live("a.html").unwrap(), "welcome back");
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_object_each_are_written_once_each() {
        let aws = Aws::new();
        let event = deleted(&aws, 8);
        run(&aws, "i-1", event.clone()).await.unwrap();
        aws.writes();
        for number in 2..10 {
            let done = run(&aws, &format!("i-{number}"), event.clone())
                .await
                .unwrap();
            assert_eq!(done["paths"].as_array().unwrap().len(), 8);
        }
        assert_eq!(aws.writes(), [""; 0]);
        assert!(all_live(&aws, 8));
    }

    #[tokio::test(start_paused = true)]
    async fn that_are_not_all_looked_at_in_time_say_so() {
        let aws = Aws::new();
        for key in ["a.html", "b.html"] {
            aws.put(key, key);
        }
        aws.wait(60);
        let event = also_for_good(&aws, &[]);
        aws.state().page = 1;
        aws.state().takes = Duration::from_secs(70);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"what is live from a.html on was not compared in time with what is in quarantine: deploy the site again");
    }

    #[tokio::test(start_paused = true)]
    async fn that_left_no_marker_were_for_good() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        aws.wait(60);
        let event = deleted_many(&aws);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(left(&done), @"no object of bucket site was deleted with a delete marker around 2026-11-25T03:02:00Z: versions were deleted for good, which cannot be listed; deploy the site again");
    }

    #[tokio::test(start_paused = true)]
    async fn of_which_some_cannot_be_taken_back_are_named() {
        let aws = Aws::new().refusing("CopyObject site/img/001", 403, "AccessDenied");
        let event = deleted(&aws, 3);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], true);
        assert_snapshot!(left(&done), @"img/001 +.png: its last good version v2 could not be copied (s3:CopyObject: AccessDenied: as AWS says); deploy it, or mend that and start the runbook again with the same input");
        assert_eq!(aws.live("img/001 +.png"), None);
        assert!(aws.live("img/002 +.png").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_the_ledger() {
        let aws = Aws::new().refusing("UpdateItem", 500, "InternalServerError");
        let event = deleted(&aws, 3);
        let failure = run(&aws, "i-1", event).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(on_site(&aws.writes()), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_dry_run_are_only_talked_about() {
        let aws = Aws::new();
        let event = with(deleted(&aws, 3), "dryRun", json!(true));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(summary(&done), @"bucket site: would be put back: img/000 +.png, img/001 +.png, img/002 +.png; what it deleted by version, if anything, cannot be listed");
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn are_let_go_by_an_undo() {
        let aws = Aws::new();
        let event = deleted(&aws, 3);
        run(&aws, "i-1", event.clone()).await.unwrap();
        let done = run(&aws, "i-1", with(event, "undo", json!(true)))
            .await
            .unwrap();
        assert_snapshot!(summary(&done), @"bucket site: taken off the site: img/000 +.png, img/001 +.png, img/002 +.png");
        assert_eq!(aws.live("img/000 +.png"), None);
        assert_eq!(aws.live("kept.html").unwrap(), "kept");
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn without_versions_are_left_for_a_human() {
        let aws = Aws::keeping(Keeps::Nothing);
        let event = deleted(&aws, 3);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"bucket site keeps no versions, so there is no good version to put back: deploy the site again, and turn versioning on: aws s3api put-bucket-versioning --bucket site --versioning-configuration Status=Enabled");
        assert_eq!(aws.writes(), [""; 0]);
    }
}

mod without_versions {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_evidence_is_kept_and_the_object_deleted() {
        let aws = Aws::keeping(Keeps::Nothing);
        aws.put("a.html", "defaced");
        let event = event(&aws, "PutObject", "a.html", None);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
        assert_eq!(aws.evidence()[0].1, "defaced");
        assert_snapshot!(summary(&done), @"object a.html: version null is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum); it is taken off the site");
        assert_snapshot!(left(&done), @"bucket site keeps no versions, so there is no good version to put back: deploy the site again, and turn versioning on: aws s3api put-bucket-versioning --bucket site --versioning-configuration Status=Enabled");
        assert_eq!(aws.open(), 0);

        aws.writes();
        let again = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(again["changed"], false);
        assert_eq!(left(&again), left(&done));
        assert_eq!(aws.writes(), [""; 0]);

        aws.put("a.html", "deployed");
        let after = run(&aws, "i-2", event).await.unwrap();
        assert_eq!(left(&after), "");
        assert_eq!(aws.live("a.html").unwrap(), "deployed");
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_without_evidence_is_not_touched() {
        let aws = Aws::keeping(Keeps::Nothing).refusing("CopyObject", 403, "AccessDenied");
        aws.put("a.html", "defaced");
        let event = event(&aws, "PutObject", "a.html", None);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        assert_snapshot!(left(&done), @"
        a.html: version null is not in quarantine (s3:CopyObject: AccessDenied: as AWS says): keep it with aws s3api copy-object --copy-source 'site/a.html?versionId=null' --bucket quarantine --key i-1/a.html, or mend that and start the runbook again with the same input
        a.html is as it was, since the bucket keeps no versions and no copy of it is in quarantine; once one is, start the runbook again with the same input
        ");
        aws.granting();
        run(&aws, "i-2", event).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_overwritten_meanwhile_stays() {
        let aws = Aws::keeping(Keeps::Nothing);
        aws.put("a.html", "defaced");
        let event = event(&aws, "PutObject", "a.html", None);
        aws.before("DeleteObject site", |state| {
            state.somebody_writes("a.html", Version::of("deployed"));
        });
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "deployed");
    }

    #[tokio::test(start_paused = true)]
    async fn another_object_of_the_same_size_is_kept_before_it_is_deleted() {
        let aws = Aws::keeping(Keeps::Nothing).refusing("DeleteObject site", 503, "SlowDown");
        aws.put_version("a.html", alike("defaced"));
        let event = event(&aws, "PutObject", "a.html", None);
        let failure = run(&aws, "i-1", event.clone()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(aws.evidence()[0].1, "defaced");
        let written = aws.version(SITE, "a.html").unwrap().modified;
        let second = Version {
            modified: written + 2,
            ..alike("d3faced")
        };
        aws.put_now("a.html", second);
        aws.granting();
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html"), None);
        assert_eq!(aws.evidence()[0].1, "d3faced");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_is_left_for_a_human() {
        let aws = Aws::keeping(Keeps::Nothing);
        aws.put("b.html", "a neighbour");
        let event = event(&aws, "DeleteObject", "a.html", None);
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(left(&done), @"bucket site keeps no versions, so there is no good version to put back: deploy the site again, and turn versioning on: aws s3api put-bucket-versioning --bucket site --versioning-configuration Status=Enabled");
    }

    #[tokio::test(start_paused = true)]
    async fn an_undo_puts_the_copy_back_unless_something_newer_is_there() {
        for deployed in [None, Some("deployed")] {
            let aws = Aws::keeping(Keeps::Nothing);
            aws.put("a.html", "legitimate");
            let event = event(&aws, "PutObject", "a.html", None);
            run(&aws, "i-1", event.clone()).await.unwrap();
            if let Some(deployed) = deployed {
                aws.put("a.html", deployed);
            }
            let undo = with(event, "undo", json!(true));
            run(&aws, "i-1", undo).await.unwrap();
            let expected = deployed.unwrap_or("legitimate");
            assert_eq!(aws.live("a.html").unwrap(), expected);
        }
    }
}

mod with_versioning_suspended {
    use super::*;

    fn suspended(aws: &Aws) {
        aws.put("a.html", "welcome");
        aws.state().keeps = Keeps::Suspended;
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_version_comes_back_over_what_is_in_quarantine() {
        for version in [None, Some("null")] {
            let aws = Aws::new();
            suspended(&aws);
            aws.put("a.html", "defaced");
            let event = event(&aws, "PutObject", "a.html", version);
            let done = run(&aws, "i-1", event.clone()).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "welcome");
            assert_eq!(aws.evidence()[0].1, "defaced");
            insta::allow_duplicates! {
                assert_snapshot!(left(&done), @"bucket site keeps no versions, so the last good version may be lost: deploy the site again, and turn versioning on: aws s3api put-bucket-versioning --bucket site --versioning-configuration Status=Enabled");
            }
            assert_eq!(aws.open(), 0);

            let again = run(&aws, "i-1", event.clone()).await.unwrap();
            assert_eq!(again["changed"], false);
            aws.put("a.html", "deployed");
            run(&aws, "i-2", event).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "deployed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_in_quarantine_is_not_overwritten() {
        let aws = Aws::new().refusing("CopyObject quarantine", 403, "AccessDenied");
        suspended(&aws);
        aws.put("a.html", "defaced");
        let event = event(&aws, "PutObject", "a.html", Some("null"));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        assert!(
            left(&done).contains("no copy of it is in quarantine"),
            "{done}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_object_comes_back() {
        let aws = Aws::new();
        suspended(&aws);
        aws.delete("a.html");
        let event = event(&aws, "DeleteObject", "a.html", Some("null"));
        run(&aws, "i-1", event).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn another_object_of_the_same_size_is_not_taken_for_ours() {
        let aws = Aws::new();
        let first = aws.put_version("a.html", alike("d3faced"));
        let first = put(&aws, "a.html", &first);
        aws.state().keeps = Keeps::Suspended;
        aws.put_version("a.html", alike("defaced"));
        let second = event(&aws, "PutObject", "a.html", Some("null"));
        aws.dying("CopyObject site");
        run(&aws, "i-2", second).await.unwrap_err();
        assert_eq!(aws.live("a.html").unwrap(), "d3faced");
        aws.put_version("a.html", alike("welcome"));
        aws.granting();
        run(&aws, "i-1", first).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_was_never_there_is_taken_off() {
        let aws = Aws::new();
        suspended(&aws);
        aws.put("evil.html", "malware");
        let event = event(&aws, "PutObject", "evil.html", Some("null"));
        run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!((aws.live("evil.html"), aws.open()), (None, 0));
        let again = run(&aws, "i-1", event).await.unwrap();
        assert_eq!(again["changed"], false);
    }
}

mod without_a_ledger {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_evidence_is_kept_and_the_live_object_waits() {
        for (code, again) in [
            ("InternalServerError", true),
            ("AccessDeniedException", false),
        ] {
            let aws = Aws::new()
                .refusing("Query", 500, code)
                .refusing("UpdateItem", 500, code);
            let (_, event) = defaced(&aws);
            let answered = run(&aws, "i-1", event.clone()).await;
            assert_eq!(aws.evidence()[0].1, "defaced");
            assert_eq!(aws.live("a.html").unwrap(), "defaced");
            assert_eq!(on_site(&aws.writes()), [""; 0]);
            if again {
                let failure = answered.unwrap_err();
                assert_eq!(failure.name(), "Transient");
                assert_snapshot!(failure, @"object a.html: version v2 is kept at s3://quarantine/i-1/a.html (the same CRC-64/NVME checksum); failed: nothing on the site is replaced without the ledger: dynamodb:UpdateItem: InternalServerError: as AWS says");
            } else {
                assert_snapshot!(left(&answered.unwrap()), @"nothing on the site is replaced without the ledger: dynamodb:UpdateItem: AccessDeniedException: as AWS says");
            }
            aws.granting();
            run(&aws, "i-1", event).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "welcome");
        }
    }
}

mod an_acl {
    use super::*;

    const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers=READ";

    fn opened(aws: &Aws) -> (String, Value) {
        let version = aws.put("a.html", "welcome");
        let grants = ["owner=FULL_CONTROL", EVERYBODY, "mallory=WRITE_ACP"];
        aws.set("a.html", &version, |version| {
            version.grants = grants.map(str::to_owned).to_vec();
        });
        let event = event(aws, "PutObjectAcl", "a.html", Some(&version));
        (version, event)
    }

    fn grants(aws: &Aws) -> Vec<String> {
        aws.version(SITE, "a.html").unwrap().grants
    }

    #[tokio::test(start_paused = true)]
    async fn is_closed_and_opened_by_an_undo() {
        let aws = Aws::new();
        let (_, event) = opened(&aws);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: its ACL lost 2 grants to others; what it holds is as it was");
        assert_eq!(grants(&aws), ["owner=FULL_CONTROL"]);
        assert_eq!(aws.evidence(), []);
        assert_snapshot!(aws.holds(), @r#"acl/v1: {"owner":"owner","grants":[{"permission":"FULL_CONTROL","id":"owner"},{"permission":"READ","uri":"http://acs.amazonaws.com/groups/global/AllUsers"},{"permission":"WRITE_ACP","id":"mallory"}]} (i-1)"#);

        let again = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(again["changed"], false);

        let undo = with(event, "undo", json!(true));
        let done = run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(done["changed"], true);
        assert_eq!(
            grants(&aws),
            ["owner=FULL_CONTROL", EVERYBODY, "mallory=WRITE_ACP"]
        );
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn is_closed_without_a_ledger_and_its_undo_handed_over() {
        let aws = Aws::new().refusing("UpdateItem", 500, "InternalServerError");
        let (_, event) = opened(&aws);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(grants(&aws), ["owner=FULL_CONTROL"]);
        let undo = with(event, "undo", json!(true));
        let undo = with(undo, "holds", done["undo"].clone());
        run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(grants(&aws).len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_version_that_is_gone_needs_nothing() {
        let aws = Aws::new();
        let (version, event) = opened(&aws);
        aws.put("a.html", "newer");
        run(&aws, "i-1", event.clone()).await.unwrap();
        aws.purge("a.html", &version);
        let done = run(&aws, "i-1", event.clone()).await.unwrap();
        assert_eq!(done["changed"], false);
        let undo = with(event, "undo", json!(true));
        run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn that_may_not_be_read_or_written_is_a_failure() {
        for call in ["GetObjectAcl", "PutObjectAcl"] {
            let aws = Aws::new().refusing(call, 403, "AccessDenied");
            let (_, event) = opened(&aws);
            let failure = run(&aws, "i-1", event).await.unwrap_err();
            assert_eq!(failure.name(), "AccessDenied");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_dry_run_is_only_talked_about() {
        let aws = Aws::new();
        let (_, event) = opened(&aws);
        let dry = with(event, "dryRun", json!(true));
        let done = run(&aws, "i-1", dry).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: its ACL would lose 2 grants to others; what it holds is as it was");
        assert_eq!(aws.writes(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn is_no_tag() {
        let aws = Aws::new();
        let version = aws.put("a b.html", "welcome");
        let event = event(&aws, "PutObjectTagging", "a b.html", Some(&version));
        let done = run(&aws, "i-1", event).await.unwrap();
        assert_snapshot!(left(&done), @"the tags of a b.html were changed, and nobody recorded what they were: aws s3api get-object-tagging --bucket site --key 'a b.html' --version-id v1; put-object-tagging sets them");
        assert_eq!(aws.writes(), [""; 0]);
    }
}

mod an_undo {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn makes_a_legitimate_write_live_again() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        let undo = with(event, "undo", json!(true));
        let dry = with(undo.clone(), "dryRun", json!(true));
        aws.writes();
        let done = run(&aws, "i-1", dry).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: let go of version v2; version v2 would be put back");
        assert_eq!(aws.writes(), [""; 0]);

        let done = run(&aws, "i-1", undo.clone()).await.unwrap();
        assert_snapshot!(summary(&done), @"object a.html: let go of version v2; version v2 is back (the same CRC-64/NVME checksum)");
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        assert_eq!((aws.holds(), aws.open()), (String::new(), 0));
        assert_eq!(aws.evidence().len(), 1);

        let done = run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_snapshot!(summary(&done), @"object a.html: this incident holds nothing of it");
    }

    #[tokio::test(start_paused = true)]
    async fn leaves_what_other_incidents_quarantined() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        run(&aws, "i-2", event.clone()).await.unwrap();
        let undo = with(event, "undo", json!(true));
        run(&aws, "i-1", undo.clone()).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        run(&aws, "i-2", undo).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
    }

    #[tokio::test(start_paused = true)]
    async fn leaves_a_newer_deployment() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        aws.put("a.html", "deployed");
        let undo = with(event, "undo", json!(true));
        let done = run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(done["changed"], false);
        assert_eq!(aws.live("a.html").unwrap(), "deployed");
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn that_dies_half_way_can_be_repeated() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        let undo = with(event, "undo", json!(true));
        let aws = aws.refusing("DeleteItem", 500, "InternalServerError");
        let failure = run(&aws, "i-1", undo.clone()).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        aws.granting();
        run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "defaced");
        assert_eq!(aws.holds(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_file_that_is_gone_from_the_site_takes_its_copy() {
        let aws = Aws::new();
        let bad = aws.put("new.html", "legitimate");
        let event = put(&aws, "new.html", &bad);
        run(&aws, "i-1", event.clone()).await.unwrap();
        aws.purge("new.html", &bad);
        let undo = with(event, "undo", json!(true));
        let done = run(&aws, "i-1", undo).await.unwrap();
        assert_eq!(done["changed"], true);
        assert_eq!(aws.live("new.html").unwrap(), "legitimate");
    }

    #[tokio::test(start_paused = true)]
    async fn needs_the_ledger() {
        let aws = Aws::new();
        let (_, event) = defaced(&aws);
        run(&aws, "i-1", event.clone()).await.unwrap();
        let aws = aws.refusing("Query", 500, "InternalServerError");
        let undo = with(event, "undo", json!(true));
        let failure = run(&aws, "i-1", undo).await.unwrap_err();
        assert_eq!(failure.name(), "Transient");
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }
}

mod a_human {
    use super::*;

    fn says(aws: &Aws, version: Option<&str>) -> Value {
        let mut payload = event(aws, "", "a.html", version);
        payload.as_object_mut().unwrap().remove("eventName");
        payload
    }

    #[tokio::test(start_paused = true)]
    async fn who_names_no_version_means_what_is_live() {
        let aws = Aws::new();
        aws.put("a.html", "welcome");
        aws.put("a.html", "defaced");
        let payload = says(&aws, None);
        run(&aws, "i-1", payload.clone()).await.unwrap();
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
        assert_eq!(aws.evidence()[0].1, "defaced");
        let again = run(&aws, "i-1", payload).await.unwrap();
        assert_eq!(again["changed"], false);
        assert_eq!(aws.live("a.html").unwrap(), "welcome");
    }

    #[tokio::test(start_paused = true)]
    async fn who_means_a_version_of_ours_means_its_source() {
        for named in [false, true] {
            let aws = Aws::new();
            aws.put("a.html", "welcome");
            // An attack that nobody saw.
            aws.put("a.html", "d3faced");
            let bad = aws.put("a.html", "defaced");
            let seen = put(&aws, "a.html", &bad);
            run(&aws, "i-1", seen).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "d3faced");
            aws.wait(60);
            let live = aws.version(SITE, "a.html").unwrap().id;
            let payload = says(&aws, named.then_some(live.as_str()));
            run(&aws, "i-2", payload).await.unwrap();
            assert_eq!(aws.live("a.html").unwrap(), "welcome");
            assert!(
                aws.evidence()
                    .contains(&("i-2/a.html".to_owned(), "d3faced".to_owned()))
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_names_what_is_not_the_sites_is_refused() {
        let aws = Aws::new();
        let other =
            json!({"target": {"kind": "bucket", "name": "other"}, "occurredAt": aws.time()});
        let failure = run(&aws, "i-1", other).await.unwrap_err();
        assert_eq!(failure.name(), "Protected");
        assert_snapshot!(failure, @"bucket other is not the site's, site");
        let trail = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/t";
        let trail = json!({
            "target": {"kind": "trail", "arn": trail},
            "occurredAt": aws.time(),
        });
        let failure = run(&aws, "i-1", trail).await.unwrap_err();
        assert_eq!(failure.name(), "InvalidInput");
        assert_eq!(aws.writes(), [""; 0]);
    }
}

#[test]
fn the_answers_schema_names_every_field() {
    let schema = schemars::schema_for!(crate::Output);
    let fields = schema.as_value()["properties"].as_object().unwrap();
    let fields: BTreeSet<_> = fields.keys().map(String::as_str).collect();
    assert!(
        fields
            .into_iter()
            .eq(["changed", "left", "paths", "summary", "undo"])
    );
}
