//! CSV for people: every field quoted, and what a spreadsheet would run as a formula neutralised with a leading
//! apostrophe (security.md, CSV). A view; NDJSON is the evidence.

use std::io;

/// One record as CSV bytes, with CRLF at its end (RFC 4180).
pub fn record<'a>(fields: impl IntoIterator<Item = &'a str>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let fields: Vec<String> = fields.into_iter().map(neutral).collect();
    writer.write_record(&fields).map_err(io::Error::other)?;
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

fn neutral(field: &str) -> String {
    let dangerous =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠');
    match field.chars().next() {
        Some(first) if dangerous(first) => format!("'{field}"),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formulas_are_text() {
        let line = String::from_utf8(record(["=1+1", "a\"b", "", "-5", "plain"]).unwrap()).unwrap();
        assert_eq!(line, "\"'=1+1\",\"a\"\"b\",\"\",\"'-5\",\"plain\"\r\n");
    }

    proptest! {
        #[test]
        fn reading_gives_back_what_was_written(fields in proptest::collection::vec(".*", 1..6)) {
            let bytes = record(fields.iter().map(String::as_str)).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let row = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(row.len(), fields.len());
            for (read, written) in row.iter().zip(&fields) {
                prop_assert!(read == written || read.strip_prefix('\'') == Some(written));
                prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
            }
        }
    }
}
