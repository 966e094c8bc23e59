//! An entry as a line of NDJSON (docs/audit-format.md §5): the evidence. The hashed bytes stand in it as they are.

use crate::store::audit_batches::{Batch, StoredEntry};

/// The lines of a batch.
pub fn ndjson(batch: &Batch) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.len() * 1_536);
    for entry in batch.iter() {
        push_object(&mut lines, &entry);
        lines.push(b'\n');
    }
    lines
}

/// One entry, without a newline.
pub fn push_object(line: &mut Vec<u8>, entry: &StoredEntry<'_>) {
    line.extend_from_slice(b"{\"entry\":");
    line.extend_from_slice(entry.bytes);
    line.extend_from_slice(b",\"leaf\":\"");
    push_hex(line, entry.leaf);
    line.extend_from_slice(b"\",\"details\":[");
    for (n, detail) in entry.details.iter().enumerate() {
        line.extend_from_slice(if n == 0 { b"{\"part\":" } else { b",{\"part\":" });
        push_text(line, detail.part);
        line.extend_from_slice(b",\"salt\":\"");
        push_hex(line, detail.salt);
        line.extend_from_slice(b"\",\"body\":");
        push_text(line, detail.body);
        line.push(b'}');
    }
    line.extend_from_slice(b"]}");
}

fn push_hex(line: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    line.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

/// A JSON string.
fn push_text(line: &mut Vec<u8>, text: &str) {
    // Writing text into memory does not fail.
    let _ = serde_json::to_writer(line, text);
}
