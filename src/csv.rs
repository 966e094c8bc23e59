//! CSV for people: every field quoted, and what a spreadsheet would run as a formula neutralised with a leading
//! apostrophe (security.md, CSV). A view; NDJSON is the evidence.

use std::io;

/// Records as bytes, each with CRLF at its end (RFC 4180).
pub struct Records(csv::Writer<Vec<u8>>);

impl Records {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut builder = csv::WriterBuilder::new();
        builder.quote_style(csv::QuoteStyle::Always).terminator(csv::Terminator::CRLF);
        Self(builder.from_writer(Vec::with_capacity(bytes)))
    }

    pub fn push<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        for field in fields {
            match neutral(field) {
                None => self.0.write_field(field),
                Some(text) => self.0.write_field(text),
            }
            .map_err(io::Error::other)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(io::Error::other)
    }

    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(|e| io::Error::other(e.to_string()))
    }
}

/// One record as CSV bytes.
pub fn record<'a>(fields: impl IntoIterator<Item = &'a str>) -> io::Result<Vec<u8>> {
    let mut records = Records::with_capacity(256);
    records.push(fields)?;
    records.into_bytes()
}

/// The text to write instead of one that a spreadsheet would run.
fn neutral(field: &str) -> Option<String> {
    let dangerous =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠');
    field.starts_with(dangerous).then(|| format!("'{field}"))
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
