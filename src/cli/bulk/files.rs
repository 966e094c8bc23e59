//! What a command is told in text: a filter, and a file of posts.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{fs::File, io::Read, path::Path};

/// Mistakes named before the rest of a file is passed over.
const NAMED: usize = 20;

/// The query of a posts page as the machine door takes it.
pub fn filter(query: &str) -> Result<Value, String> {
    let mut filter = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes()) {
        match name.as_ref() {
            "tenant" | "status" | "platform" => {
                let list = filter.entry(name.into_owned()).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(value.into_owned().into());
                }
            }
            "q" => {
                filter.insert("q".into(), value.into_owned().into());
            }
            // Pages write their times without seconds and zone; they are UTC.
            "from" | "to" => {
                let text = if value.ends_with('Z') { value.into_owned() } else { format!("{value}:00Z") };
                filter.insert(name.into_owned(), text.into());
            }
            "when" if value == "none" => {
                filter.insert("noTime".into(), true.into());
            }
            "sort" | "per" | "page" => {}
            other => return Err(format!("there is no filter {other:?}")),
        }
    }
    Ok(filter.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    tenant: String,
    post_group_id: String,
    scheduled_time: Option<String>,
    /// Must be the plan's: a plan does one thing.
    action: Option<String>,
}

/// The posts a CSV file names; a file with mistakes is refused as a whole, and the mistakes are named.
pub fn posts(path: &Path, action: &str) -> Result<Value, String> {
    let shown = path.display();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| format!("{shown}: {error}"))?)
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let (mut posts, mut wrong) = (Vec::new(), Vec::new());
    for (n, row) in reader.deserialize::<Row>().enumerate() {
        match row {
            Ok(row) if row.action.as_deref().is_some_and(|own| !own.is_empty() && own != action) => {
                let own = row.action.unwrap_or_default();
                wrong.push(format!("row {}: its action is {own}, the plan's is {action}", n + 2));
            }
            Ok(row) => {
                let mut post = json!({ "tenant": row.tenant, "postGroupId": row.post_group_id });
                if let Some(time) = row.scheduled_time.filter(|time| !time.is_empty()) {
                    post["scheduledTime"] = time.into();
                }
                posts.push(post);
            }
            Err(error) => wrong.push(format!("row {}: {error}", n + 2)),
        }
        if wrong.len() > NAMED {
            break;
        }
    }
    if wrong.is_empty() { Ok(posts.into()) } else { Err(format!("{shown}: {}", wrong.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_query_is_a_filter() {
        let read = filter("?status=failed&status=paused&from=2026-03-15T10%3A00&when=none&per=50&q=a%26b");
        let expected = json!({
            "status": ["failed", "paused"], "from": "2026-03-15T10:00:00Z", "noTime": true, "q": "a&b",
        });
        assert_eq!(read, Ok(expected));
        assert_eq!(filter(""), Ok(json!({})));
        assert!(filter("colour=red").is_err());
    }

    #[test]
    fn a_file_with_mistakes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posts.csv");
        std::fs::write(&path, "tenant,postGroupId,scheduledTime\n t1 , p1,\nt2,p2,2030-01-01T00:00:00Z\n")
            .unwrap();
        let expected = json!([
            { "tenant": "t1", "postGroupId": "p1" },
            { "tenant": "t2", "postGroupId": "p2", "scheduledTime": "2030-01-01T00:00:00Z" },
        ]);
        assert_eq!(posts(&path, "delete"), Ok(expected));
        std::fs::write(&path, "tenant,postGroupId\nt1\nt2,p2\n").unwrap();
        assert!(posts(&path, "delete").unwrap_err().contains("row 2"));
        std::fs::write(&path, "tenant,postGroupId,action\nt1,p1,delete\nt2,p2,pause\n").unwrap();
        assert!(posts(&path, "delete").unwrap_err().contains("row 3: its action is pause"));
        std::fs::write(&path, "tenant,postGroupId,scheduldTime\nt1,p1,2030-01-01T00:00:00Z\n").unwrap();
        assert!(posts(&path, "delete").unwrap_err().contains("scheduldTime"));
        assert!(posts(Path::new("/nowhere"), "delete").is_err());
    }
}
