//! The history of tags across restarts, beside other processes, when it is full, and when it is damaged.

use crate::oci::RepositoryRef;
use std::fs;

use sha2::{Digest as _, Sha256};

use super::*;

struct Fixture {
    store: PathBuf,
    memory: TagHistory,
    repository: RepositoryRef,
    needs: Needs,
}

fn all(need: Need) -> Needs {
    Arc::new(move |_: &RepositoryRef, _: &Tag| need)
}

fn place(name: &str, need: Need) -> Fixture {
    let name = format!("countersign-tags-{name}-{}", std::process::id());
    let store = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&store);
    let memory = TagHistory::open(&store).unwrap();
    let repository = "r.example/library/app".parse().unwrap();
    Fixture { store, memory, repository, needs: all(need) }
}

impl Fixture {
    async fn try_note(&self, tag: &str, content: &str, now: i64) -> Result<(), TagsError> {
        self.signed(tag, content, None, now).await
    }

    async fn signed(
        &self,
        tag: &str,
        content: &str,
        signed: Option<i64>,
        now: i64,
    ) -> Result<(), TagsError> {
        let (tag, digest) = (tag.parse().unwrap(), Digest::of(content.as_bytes()));
        let key = (&self.repository, &tag);
        let (signed, now) = (signed.map(Timestamp::from_unix), Timestamp::from_unix(now));
        let noted = self.memory.note(key, &digest, signed, now, IfOlder::Record, &self.needs).await;
        noted.map(drop)
    }

    fn recall(&self, tag: &str) -> Option<Remembered> {
        self.try_recall(tag).unwrap()
    }

    fn try_recall(&self, tag: &str) -> Result<Option<Remembered>, TagsError> {
        self.memory.recall(&self.repository, &tag.parse().unwrap())
    }

    fn restart(&mut self) {
        self.memory.close();
        self.memory = TagHistory::open(&self.store).unwrap();
    }

    fn database(&self) -> PathBuf {
        database::path(&self.store.join("trust"))
    }

    /// Writes a file of the former format and returns its path.
    fn put_file(&self, tag: &str, content: &str) -> PathBuf {
        let name = self.repository.to_string();
        let digest = Digest::of(content.as_bytes());
        let json = serde_json::json!({ "format": 1, "repository": name,
            "tags": { tag: { "digest": digest.to_string(), "since": 100, "newest": [10, 5] } } });
        let folder = self.store.join("trust/tags");
        atomic::make_folder(&folder).unwrap();
        let file = folder.join(format!("{}.json", hex::encode(Sha256::digest(name))));
        atomic::publish(&file, json.to_string().as_bytes()).unwrap();
        file
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.memory.close();
        let _ = fs::remove_dir_all(&self.store);
    }
}

#[tokio::test]
async fn the_newest_signing_time_stays_when_an_older_image_is_admitted() {
    let place = place("newest", Need::Optional);
    place.signed("v1", "one", Some(10), 100).await.unwrap();
    place.signed("v1", "two", Some(5), 200).await.unwrap();
    place.signed("v1", "two", None, 300).await.unwrap();
    let remembered = place.recall("v1").unwrap();
    assert_eq!(remembered.digest, Digest::of(b"two"));
    assert_eq!(remembered.since, Timestamp::from_unix(200));
    assert_eq!(remembered.newest, Some(Timestamp::from_unix(10)));
    assert_eq!(place.recall("v2"), None);
}

/// Both passed every check before either was recorded, so the writer compares again.
#[tokio::test]
async fn of_two_simultaneous_pulls_of_a_tag_the_older_image_is_rejected() {
    for need in [Need::Required, Need::Optional] {
        let place = place("simultaneous", need);
        let writer = place.memory.writer.as_ref().unwrap();
        let note = |content: &str, signed: Option<i64>| Note {
            key: (place.repository.clone(), "v1".parse().unwrap()),
            digest: Digest::of(content.as_bytes()),
            signed: signed.map(Timestamp::from_unix),
            now: Timestamp::from_unix(100),
            if_older: IfOlder::Reject,
            need,
            needs: place.needs.clone(),
        };
        let (newer, older, unknown, same) = tokio::join!(
            writer.note(note("newer", Some(10))),
            writer.note(note("older", Some(9))),
            writer.note(note("unknown", None)),
            writer.note(note("newer", Some(3))),
        );
        let newest = Timestamp::from_unix(10);
        assert_eq!(newer.unwrap(), Noted::Recorded);
        assert_eq!(older.unwrap(), Noted::Older { newest });
        assert_eq!(unknown.unwrap(), Noted::Older { newest });
        assert_eq!(same.unwrap(), Noted::Recorded);
        assert_eq!(place.recall("v1").unwrap().digest, Digest::of(b"newer"));
    }
}

/// After a power loss, only what was on disk when `note` returned is left.
#[tokio::test]
async fn a_required_record_is_on_disk_before_the_decision_is_answered() {
    let place = place("durable", Need::Required);
    for (tag, content) in [("v1", "one"), ("v2", "two"), ("v1", "three")] {
        place.signed(tag, content, Some(10), 100).await.unwrap();
        let copy = place.store.join("copy/trust");
        atomic::make_folder(&copy).unwrap();
        fs::copy(place.database(), database::path(&copy)).unwrap();
        let after = TagHistory::open(&place.store.join("copy")).unwrap();
        let tag = tag.parse().unwrap();
        let recalled = after.recall(&place.repository, &tag).unwrap().unwrap();
        assert_eq!(recalled.digest, Digest::of(content.as_bytes()));
        assert_eq!(recalled.newest, Some(Timestamp::from_unix(10)));
        after.close();
        fs::remove_dir_all(place.store.join("copy")).unwrap();
    }
}

#[tokio::test]
async fn every_record_survives_a_restart() {
    for need in [Need::Required, Need::Optional] {
        let mut place = place("restart", need);
        place.try_note("v1", "one", 100).await.unwrap();
        place.restart();
        assert_eq!(place.recall("v1").unwrap().digest, Digest::of(b"one"));
        let tags = |content| {
            let digest = Digest::of(content);
            place.memory.tags_of(&place.repository, &digest).unwrap()
        };
        assert_eq!((tags(b"one"), tags(b"two")), (vec!["v1".parse().unwrap()], vec![]));
    }
}

#[tokio::test]
async fn a_record_is_written_when_it_becomes_required() {
    let mut place = place("becomes", Need::Optional);
    place.try_note("v1", "one", 100).await.unwrap();
    place.needs = all(Need::Required);
    place.try_note("v1", "one", 200).await.unwrap();
    let looking = TagHistory::look(&place.store);
    let tag = "v1".parse().unwrap();
    assert!(looking.recall(&place.repository, &tag).unwrap().is_some());
}

/// One signed image can have any number of tags.
#[tokio::test]
async fn many_other_tags_do_not_evict_a_history_that_a_rule_depends_on() {
    let place = place("full", Need::Required);
    place.signed("v1", "new", Some(60), 100).await.unwrap();
    let others = (0..MAX_TAGS + 50).map(|number| format!("other{number}"));
    let noted = others.map(|tag| {
        let place = &place;
        async move { place.try_note(&tag, "same", 102).await }
    });
    let noted = futures_util::future::join_all(noted).await;
    let refused = noted.iter().filter(|noted| matches!(noted, Err(TagsError::Full { .. })));
    assert_eq!(refused.count(), 51);
    assert_eq!(place.recall("v1").unwrap().newest, Some(Timestamp::from_unix(60)));
    // A tag that has a record is not affected.
    place.try_note("v1", "newer", 103).await.unwrap();
    let tag = "other7".parse().unwrap();
    place.memory.forget(&place.repository, &tag).unwrap().unwrap();
    place.try_note("one-more", "same", 104).await.unwrap();
}

#[tokio::test]
async fn only_records_that_no_rule_depends_on_are_evicted() {
    let mut place = place("evict", Need::Required);
    let protected = |_: &RepositoryRef, tag: &Tag| match tag.as_str() {
        "v1" => Need::Required,
        _ => Need::Optional,
    };
    place.needs = Arc::new(protected);
    place.try_note("v1", "one", 1).await.unwrap();
    for number in 0..MAX_TAGS + 50 {
        let now = i64::try_from(number).unwrap() + 2;
        place.try_note(&format!("other{number}"), "same", now).await.unwrap();
    }
    assert!(place.recall("v1").is_some());
    assert!(place.recall("other0").is_none());
    assert!(place.recall(&format!("other{}", MAX_TAGS + 49)).is_some());
    place.restart();
    assert!(place.recall("v1").is_some());
    assert!(place.recall("other0").is_none());
}

#[tokio::test]
async fn another_process_reads_the_history_of_a_running_gate() {
    let place = place("look", Need::Required);
    place.try_note("v1", "one", 100).await.unwrap();
    let looking = TagHistory::look(&place.store);
    let (tag, digest) = ("v1".parse().unwrap(), Digest::of(b"two"));
    let key = (&place.repository, &tag);
    let recalled = looking.recall(key.0, key.1).unwrap().unwrap();
    assert_eq!(recalled.digest, Digest::of(b"one"));
    let now = Timestamp::from_unix(200);
    looking.note(key, &digest, None, now, IfOlder::Record, &place.needs).await.unwrap();
    assert_eq!(place.recall("v1").unwrap().digest, Digest::of(b"one"));
}

#[tokio::test]
async fn another_process_makes_a_running_gate_forget_a_tag() {
    let mut place = place("forget", Need::Required);
    place.try_note("v1", "one", 100).await.unwrap();
    place.try_note("v2", "two", 100).await.unwrap();
    let other = TagHistory::look(&place.store);
    let tag: Tag = "v1".parse().unwrap();
    let forgotten = other.forget(&place.repository, &tag).unwrap();
    assert_eq!(forgotten.unwrap().digest, Digest::of(b"one"));
    assert_eq!(place.recall("v1"), None);
    assert!(place.recall("v2").is_some());
    assert_eq!(other.forget(&place.repository, &tag).unwrap(), None);
    place.restart();
    assert_eq!(place.recall("v1"), None);
}

#[tokio::test]
async fn another_process_forgets_a_tag_when_no_gate_runs() {
    let mut place = place("alone", Need::Required);
    place.try_note("v1", "one", 100).await.unwrap();
    place.memory.close();
    let other = TagHistory::look(&place.store);
    let tag: Tag = "v1".parse().unwrap();
    assert!(other.forget(&place.repository, &tag).unwrap().is_some());
    place.restart();
    assert_eq!(place.recall("v1"), None);
}

#[tokio::test]
async fn files_of_the_former_format_are_moved_once() {
    let mut place = place("files", Need::Required);
    place.try_note("v2", "newer", 200).await.unwrap();
    place.memory.close();
    let file = place.put_file("v1", "one");
    place.restart();
    let remembered = place.recall("v1").unwrap();
    assert_eq!(remembered.digest, Digest::of(b"one"));
    assert_eq!(remembered.newest.unwrap().subsec_nanos(), 5);
    assert!(place.recall("v2").is_some());
    assert!(!file.exists());
    assert!(!place.store.join("trust/tags").exists());
    place.restart();
    assert!(place.recall("v1").is_some());
}

#[tokio::test]
async fn a_damaged_file_of_the_former_format_does_not_reset_its_repository() {
    let mut place = place("damaged-file", Need::Required);
    place.memory.close();
    let file = place.put_file("v1", "one");
    atomic::publish(&file, b"{}").unwrap();
    place.restart();
    assert!(matches!(place.try_recall("v1"), Err(TagsError::Corrupt(_))));
    assert!(matches!(place.try_note("v1", "two", 1).await, Err(TagsError::Corrupt(_))));
    assert!(file.exists());
    let other = "r.example/library/other".parse().unwrap();
    let tag = "v1".parse().unwrap();
    assert_eq!(place.memory.recall(&other, &tag).unwrap(), None);
}

#[tokio::test]
async fn a_damaged_record_does_not_reset_its_tag_and_affects_no_other_tag() {
    let mut place = place("damaged-record", Need::Required);
    place.try_note("v1", "one", 100).await.unwrap();
    place.try_note("v2", "two", 100).await.unwrap();
    place.memory.close();
    let database = redb::Database::open(place.database()).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = redb::TableDefinition::<(&str, &str, &str), &[u8]>::new("tags");
    let key = (place.repository.registry.as_str(), place.repository.name.as_str(), "v1");
    transaction.open_table(table).unwrap().insert(key, &b"{}"[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    place.restart();
    let error = place.try_recall("v1").unwrap_err();
    assert!(matches!(error, TagsError::CorruptRecord(_)), "{error}");
    assert!(place.try_note("v1", "three", 1).await.is_err());
    assert!(place.recall("v2").is_some());
    let tag = "v1".parse().unwrap();
    place.memory.forget(&place.repository, &tag).unwrap();
    assert_eq!(place.recall("v1"), None);
}

#[tokio::test]
async fn a_damaged_database_does_not_reset_the_history() {
    let mut place = place("damaged", Need::Required);
    place.try_note("v1", "one", 100).await.unwrap();
    place.memory.close();
    atomic::publish(&place.database(), b"{}").unwrap();
    place.restart();
    let error = place.try_recall("v1").unwrap_err();
    assert!(matches!(error, TagsError::Unreadable { .. }), "{error}");
    assert!(place.try_note("v1", "two", 1).await.is_err());
}

#[tokio::test]
async fn each_tag_writes_only_its_own_record() {
    fn written() -> u64 {
        let io = fs::read_to_string("/proc/self/io").unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
        line.parse().unwrap()
    }
    // With one file for each repository, 2,000 tags wrote 217 MB.
    for (need, tags, most) in
        [(Need::Required, 200, 20_000_000), (Need::Optional, 2_000, 20_000_000)]
    {
        let place = place("bytes", need);
        let before = written();
        for number in 0..tags {
            place.try_note(&format!("v{number}"), "same", number).await.unwrap();
        }
        place.memory.close();
        let bytes = written() - before;
        assert!(bytes < most, "{tags} tags, {need:?}: {bytes} bytes");
    }
}

#[tokio::test]
async fn ended_completes_when_the_history_is_closed() {
    use futures_util::FutureExt as _;

    let place = place("ended", Need::Optional);
    assert!(place.memory.ended().now_or_never().is_none());
    place.memory.close();
    place.memory.ended().await;
}
