//! `countersign demo --once`: every verdict of the gate is the expected one.

use countersign::demo::{self, Style};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_s_verdicts_are_the_expected_ones() {
    let mut page = Vec::new();
    let expected = demo::once(Style::Plain, &mut page).await.unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(expected, "{page}");
    for seen in ["admitted", "absent    digest_not_signed", "refused   content_mismatch"] {
        assert!(page.contains(seen), "{page}");
    }
}
