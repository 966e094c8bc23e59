//! The whole audit log, read and checked.

use crate::testapp::TestApp;
use gatehouse::audit::tree;
use serde_json::Value;

/// All entries, checked on the way: dense numbers, leaves that are the hashes of the bytes, and the root over them.
pub async fn all_entries(app: &TestApp) -> Vec<Value> {
    let db = &app.app().db;
    let (mut entries, mut range, mut after) = (Vec::new(), tree::Range::default(), -1);
    loop {
        let page = db.audit_page(&Default::default(), None, Some(after), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            assert_eq!(entry.seq, entries.len() as i64);
            let leaf = tree::leaf_hash(&entry.bytes);
            assert_eq!(entry.leaf, leaf);
            range.push(leaf);
            entries.push(serde_json::from_slice(&entry.bytes).unwrap());
        }
    }
    let head = db.audit_head().await.unwrap();
    // Workers may have added an entry since the last page was read; until_settled has made that unlikely, not impossible.
    if head.size == entries.len() as i64 {
        assert_eq!(head.root, range.root());
    }
    entries
}
